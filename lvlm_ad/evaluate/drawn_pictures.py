"""Pictures for questions: each is looked up when a question needs it, and drawn only if it was not kept."""

from __future__ import annotations

import threading
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from lvlm_ad.backend import Picture
from lvlm_ad.deferred import deferred
from lvlm_ad.errors import CacheError
from lvlm_ad.evaluate.kept_pictures import KeptPicture, key_of
from lvlm_ad.log import event
from lvlm_ad.prompts.drawing import Drawing, draw, drawings_in

if TYPE_CHECKING:
    from lvlm_ad.evaluate.kept_pictures import KeptPictures
    from lvlm_ad.prompts.drawing import ImageFile
    from lvlm_ad.workers import Workers

__all__ = ["DrawnPictures"]


class DrawnPictures:
    """Pictures of one image, each looked up or drawn when its digest or its file is first needed.

    When one must be drawn, all others that were asked for so far and are not kept are drawn with it, so that the image
    is read once.

    Args:
        image: the image's file.
        kept: pictures of earlier commands.
        workers: the processes that draw them.
    """

    def __init__(self, image: ImageFile, kept: KeptPictures, workers: Workers) -> None:
        self.image, self._kept, self._workers = image, kept, workers
        self._wanted: list[_Wanted] = []
        self._drawing = threading.Lock()

    def picture(self, drawing: Drawing) -> Picture:
        """Return a picture; see ``View.picture``."""
        wanted = _Wanted(drawing)
        self._wanted.append(wanted)
        return Picture(
            data=deferred(partial(self._data, wanted)),
            media_type="image/png",
            digest=deferred(lambda: self._known(wanted).digest),
            size=deferred(lambda: self._known(wanted).size),
        )

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return self.image.identity()

    def _data(self, wanted: _Wanted) -> bytes:
        if wanted.data is None and (known := self._find(wanted)) is not None:
            wanted.data = self._kept.read(known.digest)
        if wanted.data is None:
            self._draw(wanted)
        assert wanted.data is not None  # noqa: S101 - narrows the type
        return wanted.data

    def _known(self, wanted: _Wanted) -> KeptPicture:
        if self._find(wanted) is None:
            self._draw(wanted)
        assert wanted.known is not None  # noqa: S101 - narrows the type
        return wanted.known

    def _find(self, wanted: _Wanted) -> KeptPicture | None:
        """Look up digest and size."""
        if wanted.known is None and wanted.drawing.can_be_kept:
            wanted.key = wanted.key or key_of(self._identity, wanted.drawing.identity())
            # None must not replace what another thread drew in the meantime.
            if (found := self._kept.find(wanted.key)) is not None:
                wanted.known = found
        return wanted.known

    def _draw(self, wanted: _Wanted) -> None:
        """Draw a picture, and with it those of which not even the digest is known."""
        with self._drawing:
            if wanted.data is not None:
                return
            missing = [one for one in self._wanted if one is wanted or self._find(one) is None]
            drawings = [one.drawing for one in missing]
            call = self._workers.call if all(map(_is_known_elsewhere, drawings)) else self._workers.call_here
            event("drawn", pictures=len(drawings))
            # A copy starts without pixels and is gone after this: pixels read into ``self.image`` itself would stay in
            # memory until the answer comes.
            for one, picture in zip(missing, call(draw, copy(self.image), drawings), strict=True):
                if one.known is not None and one.known.digest != picture.digest:
                    raise CacheError(
                        f"The cache's digest of a picture of {self.image.path} is not that of what is drawn now. "
                        "Delete the cache; lvlm-ad makes it again."
                    )
                one.known, one.data = KeptPicture(picture.digest, picture.size or (0, 0)), picture.data
                if one.key:
                    self._kept.keep(one.key, picture)


@dataclass(eq=False)
class _Wanted:
    """A picture that a question may need.

    Attributes:
        drawing: what it shows.
        key: what it is kept under; empty: not computed yet, or it cannot be kept.
        known: its digest and size; None: not looked up, or not kept.
        data: its file; None: not read or drawn yet.
    """

    drawing: Drawing
    key: str = ""
    known: KeptPicture | None = None
    data: bytes | None = None


def _is_known_elsewhere(drawing: Drawing) -> bool:
    """Return whether a drawing and those in it are lvlm-ad's own: another process may not find a user's class."""
    return all(type(one).__module__.startswith("lvlm_ad.") for one in drawings_in(drawing))
