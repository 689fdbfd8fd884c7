"""Load a data set by name."""

from __future__ import annotations

from collections.abc import Callable
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

_LAYOUTS: dict[str, Callable[[Path, int | None], Listing]] = {
    "demo": read_demo,
    "folder": read_folder,
    "mvtec": read_mvtec,
    "visa": read_visa,
}
"""Name -> lists a data set from (root, mask threshold). A new layout is a function here, in a file of its own."""

_DEMO_THRESHOLD = 127

_HIGHEST_THRESHOLD = 65534
"""Masks have up to 16 bits; above this no pixel could be defective."""


def load_dataset(name: str, root: Path | str | None = None, *, mask_threshold: int | None = None) -> Dataset:
    """Load a data set's test split. Files are listed, not decoded; ``check_dataset`` decodes them.

    Args:
        name: "mvtec", "visa", "folder" or "demo".
        root: the folder with the data; None: the user's cache, where ``lvlm-ad data download`` puts it and where the
            demo is drawn.
        mask_threshold: a mask's pixel is defective above this value, 0..65534; None: chosen for each mask, as the
            data set's notes say.

    Returns:
        The data set, in the same order on every machine.

    Raises:
        ConfigError: the name is unknown, the root is missing or the threshold is out of range.
        DataError: the root does not hold this data set, or something in it is wrong; see docs/datasets.md.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("good", "bent"):
        ...         folder = Path(root, "bolts", kind)
        ...         folder.mkdir(parents=True)
        ...         Image.new("L", (4, 4)).save(folder / "0.png")
        ...     [sample.id for sample in load_dataset("folder", Path(root, "bolts"))]
        ['bolts/good/0', 'bolts/bent/0']
    """
    listing = list_dataset(name, root, mask_threshold)
    dataset = listing.dataset()
    errors = [problem.message for problem in listing.problems if problem.severity == "error"]
    if errors:
        more = f" (The first of {len(errors)} problems; `lvlm-ad data check` lists them all.)"
        raise DataError(errors[0] + (more if len(errors) > 1 else ""))
    return dataset


def list_dataset(name: str, root: Path | str | None, mask_threshold: int | None) -> Listing:
    """List a data set together with everything that is wrong in its listing.

    Raises:
        ConfigError: the name is unknown, the root is missing or the threshold is out of range.
        DataError: the root does not hold this data set.
    """
    if name not in _LAYOUTS:
        raise ConfigError(f"There is no data set {name!r}.{nearest(name, _LAYOUTS)}")
    if mask_threshold is not None and not 0 <= mask_threshold <= _HIGHEST_THRESHOLD:
        raise ConfigError(f"The mask threshold {mask_threshold} is out of range; give 0 to {_HIGHEST_THRESHOLD}.")
    folder = Path(root).expanduser() if root else default_root(name)
    if name == "demo":
        # A demo that is there is read whatever its settings. Its masks hold 0 or 255: there is no threshold to choose.
        drawn = folder if is_file(folder / SETTINGS_FILE) else make_demo(folder)
        return read_demo(drawn, _DEMO_THRESHOLD if mask_threshold is None else mask_threshold)
    if not root and (name == "folder" or not folder.is_dir()):
        download = "" if name == "folder" else f", or download it: lvlm-ad data download {name}"
        raise ConfigError(f"The data set {name!r} needs a root: give the folder with the data (--data PATH){download}.")
    return _LAYOUTS[name](folder, mask_threshold)


def default_root(name: str) -> Path:
    """Return the folder in the user's cache that holds a data set if no root is given."""
    # A demo that an older version has drawn shows other pictures.
    return user_cache() / (f"demo-{VERSION}" if name == "demo" else name)
