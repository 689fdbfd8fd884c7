"""Loads a data set by name."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.demo import SETTINGS_FILE, VERSION, make_demo
from lvlm_ad.datasets.folder import read_folder
from lvlm_ad.datasets.listing import Listing, is_file
from lvlm_ad.datasets.mvtec import read_demo, read_mvtec
from lvlm_ad.datasets.visa import read_visa
from lvlm_ad.errors import ConfigError, DataError, nearest
from lvlm_ad.weights import user_cache

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import Dataset

__all__ = ["default_root", "list_dataset", "load_dataset"]

_READERS: dict[str, Callable[[Path, int | None], Listing]] = {
    "demo": read_demo,
    "folder": read_folder,
    "mvtec": read_mvtec,
    "visa": read_visa,
}

_DEMO_THRESHOLD = 127

_TOP_THRESHOLD = 65534
"""Masks have up to 16 bits; above this no pixel could be defective."""


def load_dataset(name: str, root: Path | str | None = None, *, mask_threshold: int | None = None) -> Dataset:
    """Load a data set's test split. Files are listed, not decoded; see ``check_dataset`` for that.

    Args:
        name: "mvtec", "visa", "folder" or "demo".
        root: where the data is; None: in the user's cache, where ``lvlm-ad data download`` puts it and the demo is
            drawn.
        mask_threshold: a mask's pixel is defective above this value, 0..65534; None: chosen for each mask, as the
            data set's notes say.

    Returns:
        The data set, in the same order on every machine.

    Raises:
        ConfigError: the name is unknown, the root is missing or the threshold is out of range.
        DataError: the root is not what the name says, or something in it is wrong; see docs/datasets.md.
    """
    listing = list_dataset(name, root, mask_threshold)
    with _no_collection():
        dataset = listing.dataset()
    errors = [problem.message for problem in listing.problems if problem.severity == "error"]
    if len(errors) > 1:
        raise DataError(f"{errors[0]} (The first of {len(errors)} problems; `lvlm-ad data check` lists them all.)")
    if errors:
        raise DataError(errors[0])
    return dataset


def default_root(name: str) -> Path:
    """Return the folder in the user's cache where a data set is looked for if no root is given."""
    # A demo that an older version has drawn shows other pictures.
    return user_cache() / (f"demo-{VERSION}" if name == "demo" else name)


def list_dataset(name: str, root: Path | str | None, mask_threshold: int | None) -> Listing:
    """List a data set with all that is wrong in its listing.

    Raises:
        ConfigError: the name is unknown, the root is missing or the threshold is out of range.
        DataError: the root is not what the name says.
    """
    if name not in _READERS:
        raise ConfigError(f"There is no data set {name!r}.{nearest(name, _READERS)}")
    if mask_threshold is not None and not 0 <= mask_threshold <= _TOP_THRESHOLD:
        raise ConfigError(f"The mask threshold {mask_threshold} is out of range; give 0 to {_TOP_THRESHOLD}.")
    if name == "demo":
        at = _demo_at(Path(root).expanduser() if root else default_root("demo"))
        # Its masks are 0 or 255 by construction; there is nothing to choose and to tell.
        return read_demo(at, _DEMO_THRESHOLD if mask_threshold is None else mask_threshold)
    if not root:
        root = default_root(name)
        if name == "folder" or not root.is_dir():
            had = "" if name == "folder" else f", or have it downloaded: lvlm-ad data download {name}"
            raise ConfigError(f"The data set {name!r} needs a root: give the folder with the data (--data PATH){had}.")
    with _no_collection():
        return _READERS[name](Path(root).expanduser(), mask_threshold)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Make a million objects without looking again and again for garbage among them: there is none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _demo_at(root: Path) -> Path:
    """Make the demo unless one is there, with whatever settings."""
    if is_file(root / SETTINGS_FILE):
        return root
    return make_demo(root)
