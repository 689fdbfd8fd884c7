"""Pictures that a question shows, described by everything that they depend on besides the image.

A description costs nothing. So a bench can look up a picture that was drawn before, and another process can draw it.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from lvlm_ad.backend import Picture
from lvlm_ad.datasets.depth import is_deep
from lvlm_ad.datasets.hashing import hash_files
from lvlm_ad.datasets.images import read_image, resize_image, resize_mask
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.prompts.marks import MarkStyle, draw_marks
from lvlm_ad.regions import Regions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lvlm_ad.datasets.depth import Depth
    from lvlm_ad.store import Database

__all__ = ["DRAWING_VERSION", "WHOLE", "Drawing", "ImageFile", "Images", "Marked", "Pixels", "Whole", "drawings_in"]

DRAWING_VERSION = 1
"""Raised when a drawing of lvlm-ad gives other pixels, so that pictures of older versions are not used."""


class Images(Protocol):
    """The image that a picture shows. Each attribute is read from the file when it is first used."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """uint8 ``(S, S, 3)``, RGB, stretched to the protocol's size."""

    @property
    def original(self) -> NDArray[np.uint8]:
        """uint8 ``(H, W, 3)``, RGB, as it is in its file."""


class ImageFile:
    """An image's file; see ``Images``. Another process gets the path, not the pixels.

    Args:
        path: the file.
        depth: the range of its category's images with more than 8 bits; None: such an image is scaled by its type.
        side: the side to which ``image`` is stretched.
        cache: keeps hashes of files; None: the file is read for its hash.
    """

    def __init__(self, path: Path, depth: Depth | None, side: int, cache: Database | None = None) -> None:
        self.path, self._depth, self._side, self._cache = path, depth, side, cache

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_depth": self._depth, "_side": self._side, "_cache": None}

    @cached_property
    def original(self) -> NDArray[np.uint8]:
        """The image as it is in its file, uint8 ``(H, W, 3)``, RGB.

        Raises:
            ImageError: the file cannot be read.
        """
        return read_image(self.path, None if self._depth is None else self._depth.highest)

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """The image stretched to the side, uint8 ``(S, S, 3)``, RGB.

        Raises:
            ImageError: the file cannot be read.
        """
        return resize_image(self.original, (self._side, self._side))

    def identity(self) -> dict[str, Any]:
        """Return what the pixels depend on: the SHA-256 (hex) of the file, the side, and the range of deep images.

        Raises:
            DataError: the file cannot be read.
        """
        identity: dict[str, Any] = {"file": hash_files([self.path], self._cache)[0], "side": self._side}
        if self._depth is not None and is_deep(self.path):
            identity["highest"] = [self._depth.highest(kind) for kind in "if"]
        return identity


@dataclass(frozen=True, eq=False)
class Drawing:
    """One picture of an image. Subclasses are frozen dataclasses, whose fields are all that ``draw`` depends on.

    A field holds a JSON value, an array, ``Regions``, another drawing, a dataclass of such values, or a tuple of them.
    It must survive pickling, because another process may draw.

    Attributes:
        version: which version of ``draw`` this is; raise it when the same fields give other pixels. None: each command
            draws the picture anew, because nobody could know whether one that was kept is up to date. A subclass does
            not inherit it.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, eq=False)
        ... class Half(Drawing):
        ...     left: bool = True
        ...     def draw(self, images):
        ...         middle = images.image.shape[1] // 2
        ...         return images.image[:, :middle] if self.left else images.image[:, middle:]
        >>> Half(left=False).identity()
        {'drawing': 'lvlm_ad.prompts.drawing.Half', 'version': None, 'left': False}
    """

    version: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        if "version" not in vars(cls):
            cls.version = None

    def draw(self, images: Images) -> NDArray[np.uint8]:
        """Return the picture, uint8 ``(h, w, 3)``, RGB; the image's arrays are not changed."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Return class, version and fields as JSON values; arrays and regions as their SHA-256."""
        own = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return {"drawing": _name(type(self)), "version": self.version, **own}

    @property
    def can_be_kept(self) -> bool:
        """Whether it has a version, and every drawing in its fields has one."""
        return all(one.version is not None for one in drawings_in(self))


def _name(cls: type) -> str:
    """Return a class's name; outside lvlm-ad with its file, because two files may define the same name."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return name if name.startswith("lvlm_ad.") or not file else f"{Path(file).resolve()}: {name}"


def drawings_in(value: Any) -> Iterator[Drawing]:
    """Yield a drawing and all that its fields hold.

    Example:
        >>> [type(one).__name__ for one in drawings_in((Whole(), Pixels(np.zeros((2, 2, 3), np.uint8))))]
        ['Whole', 'Pixels']
    """
    if isinstance(value, Drawing):
        yield value
    inside: Iterable[Any] = value if isinstance(value, tuple) else ()
    # A division holds none, and reading its arrays takes time.
    if is_dataclass(value) and not isinstance(value, Regions):
        inside = (getattr(value, field.name) for field in fields(value))
    for one in inside:
        yield from drawings_in(one)


def _plain(value: Any) -> Any:
    """Return a field's value as JSON."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(f"{value.dtype.str}{value.shape}".encode() + value.tobytes()).hexdigest()
    if isinstance(value, Regions):
        return value.hash
    if isinstance(value, Drawing | ImageFile):
        return value.identity()
    if is_dataclass(value):
        own = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"class": type(value).__qualname__, **own}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


@dataclass(frozen=True, eq=False)
class Whole(Drawing):
    """The image at the protocol's size.

    Example:
        >>> Whole().identity()["drawing"]
        'lvlm_ad.prompts.drawing.Whole'
    """

    version: ClassVar[int | None] = DRAWING_VERSION

    def draw(self, images: Images) -> NDArray[np.uint8]:
        """Return the image."""
        return images.image


WHOLE = Whole()


@dataclass(frozen=True, eq=False)
class Pixels(Drawing):
    """A picture that is there already: uint8 ``(h, w, 3)``, RGB."""

    pixels: NDArray[np.uint8]
    version: ClassVar[int | None] = DRAWING_VERSION

    def draw(self, images: Images) -> NDArray[np.uint8]:  # noqa: ARG002
        """Return the picture."""
        return self.pixels


@dataclass(frozen=True, eq=False)
class Marked(Drawing):
    """A picture with borders and numbers of regions.

    Attributes:
        regions: the division; it is stretched if it has another size than the picture.
        style: how marks look.
        on: the picture to mark.
        black: draw the marks on black instead, at the picture's size.
        numbers: the regions in the order in which the picture numbers them; empty: their own.

    Example:
        >>> from lvlm_ad.regions import divide
        >>> image = np.zeros((96, 96, 3), np.uint8)
        >>> regions = divide(image, "grid", grid_rows=3, grid_columns=3)
        >>> Marked(regions, MarkStyle(), Pixels(image)).draw(None).shape
        (96, 96, 3)
    """

    regions: Regions
    style: MarkStyle
    on: Drawing = WHOLE
    black: bool = False
    numbers: tuple[int, ...] = ()
    version: ClassVar[int | None] = DRAWING_VERSION

    def draw(self, images: Images) -> NDArray[np.uint8]:
        """Return the picture with its marks."""
        picture, regions = self.on.draw(images), self.regions
        size = picture.shape[0], picture.shape[1]
        if self.numbers:
            regions = regions.renumbered(self.numbers)
        if regions.shape != size:
            regions = Regions(resize_mask(regions.cells, size), regions.membership)
        return draw_marks(np.zeros_like(picture) if self.black else picture, regions, self.style)


class ImagePictures(Protocol):
    """Pictures of one image."""

    @property
    def image(self) -> ImageFile:
        """The image."""

    def picture(self, drawing: Drawing) -> Picture:
        """Return what a drawing shows of it."""


class DrawnHere:
    """Pictures of an image that are drawn at once and not kept; see ``ImagePictures``.

    Args:
        path: the image's file.
        depth: as for ``ImageFile``.
        side: as for ``ImageFile``.
    """

    def __init__(self, path: Path, depth: Depth | None, side: int) -> None:
        self.image = ImageFile(path, depth, side)

    def picture(self, drawing: Drawing) -> Picture:
        """Return what a drawing shows of the image."""
        return Picture.from_pixels(drawing.draw(self.image))


def draw(image: ImageFile, drawings: Sequence[Drawing]) -> list[Picture]:
    """Draw pictures of one image.

    Raises:
        ImageError: its file cannot be read.
        PluginError: a method's drawing raised something else.
    """
    pictures = []
    for drawing in drawings:
        name = f"The drawing {type(drawing).__name__}"
        with plugin_code(f"{name} raised", name=name):
            pictures.append(Picture.from_pixels(drawing.draw(image)))
    return pictures
