"""Methods that ask one question about the unmarked picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import ndimage

from lvlm_ad.backend import Request
from lvlm_ad.methods.contract import Conversation, Method, View
from lvlm_ad.prompts.drawing import Pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer, Picture
    from lvlm_ad.text2seg.finding import Finding

__all__ = ["IMAGE_SIZE", "OneQuestion", "defects"]

IMAGE_SIZE = 896
"""A multiple of 14, 16, 28 and 32: models whose coordinates are pixels of their own resized picture do not resize it,
so that these are pixels of the picture that is sent."""


class OneQuestion(Method):
    """Asks one question about the picture, without marks and without a division. Subclasses define ``read``.

    Attributes:
        question_options: options of the question besides the format; see ``Request``.

    Example:
        >>> from lvlm_ad.text2seg import read
        >>> from lvlm_ad.text2seg.finding import Finding
        >>> class Plain(OneQuestion):
        ...     places = ""
        ...     def read(self, answer, view):
        ...         return Finding.of(read(answer, 0))
        >>> Plain().image_size
        896
    """

    question_options: ClassVar[dict[str, Any]] = {}
    needs_regions: ClassVar[bool] = False
    image_size: ClassVar[int | None] = IMAGE_SIZE

    def inspect(self, view: View) -> Conversation:
        """Ask about the picture and read the answer."""
        picture = self.picture(view)
        if isinstance(picture, np.ndarray):
            picture = view.picture(Pixels(picture))
        pictures = (*view.references, picture)
        answer = yield Request(pictures, self.text(view), {"format": view.format, **self.question_options})
        return self.read(answer, view)

    def is_usable(self, answer: Answer, view: View) -> bool:
        """Return whether the answer is complete and gives an image score."""
        return answer.outcome != "truncated" and self.read(answer, view).usable

    def picture(self, view: View) -> Picture | NDArray[np.uint8]:
        """Return the picture to send, or its pixels, uint8 ``(S, S, 3)``: of the image's size.

        A picture of ``view.picture`` need not be drawn again by the next command; pixels are computed each time.
        """
        return view.picture()

    def text(self, view: View) -> str:
        """Return the question."""
        return view.text()

    def read(self, answer: Answer, view: View) -> Finding:
        """Return what an answer says."""
        raise NotImplementedError


def defects(mask: NDArray[np.bool_]) -> Iterator[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Yield each defect of a mask: an 8-connected component.

    Args:
        mask: bool ``(H, W)``.

    Yields:
        Rows and columns of its bounding box, and the defect's own pixels in it, bool ``(h, w)``.

    Example:
        >>> (((rows, columns), own),) = defects(np.eye(3, dtype=bool))
        >>> columns.stop, int(own.sum())
        (3, 3)
    """
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.int8))
    # None would stand for a number that no pixel has.
    found: list[Any] = ndimage.find_objects(labels)
    for number, (rows, columns) in enumerate(found, start=1):
        yield (rows, columns), labels[rows, columns] == number
