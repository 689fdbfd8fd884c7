"""The range of pictures with more than 8 bits: all pictures of a category are scaled alike."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lvlm_ad.datasets.images import deep_values
from lvlm_ad.errors import ImageError

_LOCK = threading.Lock()
_HEADER = 26
_PNG, _TIFF = b"\x89PNG", (b"II", b"MM")


class Depth:
    """The highest values of a category's pictures that have more than 8 bits; they are read when first needed."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._paths = list(paths)
        self._highest: dict[str, float] | None = None

    def add(self, path: Path) -> None:
        """Add a picture."""
        self._paths.append(path)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: the values, read now, in place of the paths of a whole category."""
        self.highest("i")
        return {"_paths": [], "_highest": self._highest}

    def highest(self, kind: str) -> float:
        """Return the highest value in all pictures with a kind of number ("f": floats, else "i"); 0 if none."""
        with _LOCK:
            if self._highest is None:
                self._highest = {"f": 0.0, "i": 0.0}
                for path in filter(is_deep, self._paths):
                    # A file that cannot be read is reported where it is used.
                    with suppress(ImageError):
                        values = deep_values(path)
                        top = float(values.max(initial=0, where=np.isfinite(values)))
                        number = "f" if values.dtype.kind == "f" else "i"
                        self._highest[number] = max(self._highest[number], top)
            return self._highest[kind]


def is_deep(path: Path) -> bool:
    """Return whether a picture has more than 8 bits: a grey PNG of 16 bits, or such a TIFF, or one of floats."""
    with suppress(OSError):
        with path.open("rb") as file:
            start = file.read(_HEADER)
        if start.startswith(_PNG):
            # The bit depth, and the colour type: 0 is grey.
            return start[24:26] == b"\x10\x00"
        if start.startswith(_TIFF):
            with suppress(Exception), Image.open(path, formats=["TIFF"]) as opened:
                return opened.mode.startswith(("I", "F"))
    return False
