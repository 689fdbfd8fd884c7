"""What travels to workers: models by their settings, a class of the user's own by its file, images by their content."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.backend import Backend, as_answer
from lvlm_ad.baseline import Baseline
from lvlm_ad.engines.cutting import cut
from lvlm_ad.engines.host import Described
from lvlm_ad.plugins import Model, build, load_plugin
from lvlm_ad.regions import StoredDivision, division_options
from lvlm_ad.versions import versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer, Request
    from lvlm_ad.baseline import DenseScores, View
    from lvlm_ad.datasets import Sample
    from lvlm_ad.presets import ModelPreset

__all__ = ["Files", "MakeDivider", "MakePlugin", "cut_there", "files_of", "shipped"]

Files = tuple[bytes, bytes]
"""The contents of an image file and of its mask file; empty without one."""


@dataclass(frozen=True)
class MakePlugin:
    """Makes a model on a worker.

    Attributes:
        preset: its settings.
        label: see ``Model``.
        path: where the file of the user's own class is on the machine that asks; empty: the class is installed.
        content: of that file.
    """

    preset: ModelPreset
    label: str = ""
    path: str = ""
    content: bytes = field(default=b"", repr=False)

    def __call__(self) -> HeldPlugin:
        """Build it."""
        name = self.preset.plugin
        if self.path:
            # Its class, where one is named, stands behind the file.
            name = _own_file(self.path, self.content) + name[name.index(".py") + len(".py") :]
        plugin = load_plugin(self.preset.kind, name)
        return HeldPlugin(build(Model(self.preset, plugin, self.label)))


def shipped(model: Model) -> MakePlugin:
    """Return what makes a model on a worker; a class of the user's own travels by its file's content."""
    # Named by its file, ".py" or ".py:Class"; a module or a package must be installed there.
    if not model.preset.plugin.partition(":")[0].endswith(".py"):
        return MakePlugin(model.preset, model.label)
    path = Path(str(sys.modules[model.plugin.__module__].__file__))
    return MakePlugin(model.preset, model.label, str(path), path.read_bytes())


def _own_file(path: str, content: bytes) -> str:
    """Return where a file is: at the same place if it is the same file there, else in a folder of its own.

    At the same place what lies beside it is found too.
    """
    there = Path(path)
    try:
        if there.read_bytes() == content:
            return path
    except OSError:
        pass
    folder = Path(tempfile.mkdtemp(prefix="lvlm-ad-"))
    (folder / there.name).write_bytes(content)
    return str(folder / there.name)


class HeldPlugin:
    """A backend or baseline on a worker.

    Args:
        plugin: the one.
    """

    def __init__(self, plugin: Backend | Baseline) -> None:
        self._plugin = plugin

    def describe(self) -> Described:
        """Say what it is; its files are found for it, and hashed."""
        plugin = self._plugin
        facts: dict[str, Any] = {"environment": plugin.environment()}
        if isinstance(plugin, Backend):
            facts["capabilities"] = plugin.capabilities
        else:
            names = ("rows", "reference_row", "sees_truth", "seeded", "concurrency", "label", "notes")
            facts |= {name: getattr(plugin, name) for name in names}
        return Described(plugin.identity(), versions(), facts=facts)

    def answer(self, request: Request) -> Answer:
        """Ask the model once; see ``Backend.answer``."""
        assert isinstance(self._plugin, Backend)  # noqa: S101 - who asks knows what it is
        return as_answer(self._plugin.answer(request), f"{type(self._plugin).__name__}.answer")

    def score(self, view: View, references: tuple[Sequence[NDArray[Any]], Sequence[NDArray[Any]]]) -> DenseScores:
        """Score a view that travels without its references; see ``Baseline.score``."""
        assert isinstance(self._plugin, Baseline)  # noqa: S101 - likewise
        whole = replace(view, references=references[0], original_references=references[1])
        return self._plugin.score(whole)

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> Sequence[float]:
        """Settle the image scores of a category; see ``Baseline.finalize_category``."""
        assert isinstance(self._plugin, Baseline)  # noqa: S101 - likewise
        return self._plugin.finalize_category(parts)

    def close(self) -> None:
        """Close it."""
        self._plugin.close()


def files_of(sample: Sample) -> Files:
    """Read an image file and its mask file as they are.

    Raises:
        OSError: one cannot be read.
    """
    return sample.image_path.read_bytes(), sample.mask_path.read_bytes() if sample.mask_path else b""


def cut_there(
    sample: Sample,
    hashes: tuple[str, str],
    how: tuple[str, Mapping[str, Any], int],
    files: Files | None,
) -> StoredDivision | str | None:
    """Cut an image on a worker.

    Args:
        sample: the image, its paths those of the machine that asks.
        hashes: SHA-256 of its files.
        how: method, options and side.
        files: the contents of its files; None: they may be at the same place here.

    Returns:
        The division, what is wrong with its files, or None: they are not here, or are others.
    """
    if files is None:
        return cut(sample, *how) if _same(sample, hashes) else None
    with tempfile.TemporaryDirectory(prefix="lvlm-ad-") as folder:
        # The endings tell what kind of file it is.
        image = Path(folder) / f"image{sample.image_path.suffix}"
        image.write_bytes(files[0])
        mask = None
        if sample.mask_path is not None:
            mask = Path(folder) / f"mask{sample.mask_path.suffix}"
            mask.write_bytes(files[1])
        return cut(sample.at(image, mask), *how)


def _same(sample: Sample, hashes: tuple[str, str]) -> bool:
    paths = (sample.image_path, sample.mask_path)
    return all(path is None or _hash(path) == digest for path, digest in zip(paths, hashes, strict=True))


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


@dataclass(frozen=True)
class MakeDivider:
    """Makes what cuts many images with one model on a worker.

    Attributes:
        method: the division's name.
        options: its options.
        side: of the square that images are stretched to.
    """

    method: str
    options: Mapping[str, Any]
    side: int

    def __call__(self) -> HeldDivider:
        """Make it; its model is loaded with the first image."""
        return HeldDivider(self)


class HeldDivider:
    """A division that holds a model, on a worker.

    Args:
        how: the method.
    """

    def __init__(self, how: MakeDivider) -> None:
        self._how = how
        self._options = division_options(how.method, dict(how.options))

    def describe(self) -> Described:
        """Say which weights it has."""
        return Described(self._options.identity(), versions())

    def cut(self, sample: Sample, hashes: tuple[str, str], files: Files | None) -> StoredDivision | str | None:
        """Cut an image; see ``cut_there``."""
        return cut_there(sample, hashes, (self._how.method, self._how.options, self._how.side), files)

    def close(self) -> None:
        """Unload the model."""
        self._options.release()
