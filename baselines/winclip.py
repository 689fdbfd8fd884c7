"""WinCLIP (Jeong et al., CVPR 2023, arXiv 2303.14814): CLIP on windows of a picture, compared with words for states."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .clip import ClipBaseline, WinClipOptions

if TYPE_CHECKING:
    from lvlm_ad.baseline import BaselineOptions

    from .clip.model import Clip
    from .clip.prompts import Prototypes
    from .clip.windows import Windows

__all__ = ["WinClip", "WinClipOptions"]


class WinClip(ClipBaseline):
    """Scores a picture by CLIP's words for its states, and its map by overlapping windows.

    Pictures that are not square are cut into square tiles. With reference images (``shots``) it is WinCLIP+, which also
    compares windows and patches with those of the references.
    """

    Options: ClassVar[type[BaselineOptions]] = WinClipOptions

    def __init__(self, options: WinClipOptions) -> None:
        super().__init__(options)
        self._variant, self._temperature = options.variant, options.temperature

    def make(self, clip: Clip, prototypes: Prototypes) -> Windows:
        """Build the method."""
        from .clip.windows import Windows  # noqa: PLC0415 - imports torch

        return Windows(clip, prototypes, variant=self._variant, temperature=self._temperature)
