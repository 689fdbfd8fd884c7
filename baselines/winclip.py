"""WinCLIP (Jeong et al., CVPR 2023, arXiv 2303.14814): CLIP on windows of a picture, compared with words for states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ._clip_baseline import ClipBaseline, ClipOptions

if TYPE_CHECKING:
    from lvlm_ad.baseline import BaselineOptions

    from ._winclip import Windows

__all__ = ["WinClip", "WinClipOptions"]


class WinClipOptions(ClipOptions):
    """Options of WinCLIP."""

    variant: Literal["paper", "zqhang"] = "paper"
    """paper: what comes closest to the published scores. zqhang: prompts, names, temperature and squeezed pictures of
    that re-implementation, whose tables others cite."""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Of the softmax over cosines; None: the model's own, or 0.07 for zqhang."""


class WinClip(ClipBaseline):
    """Scores a picture by CLIP's words for its states, its map by overlapping windows.

    A picture that is not square is looked at in square tiles. With reference images (``shots``) it is WinCLIP+: windows
    and patches are also compared with those of the references.
    """

    Options: ClassVar[type[BaselineOptions]] = WinClipOptions

    def make(self) -> Windows:
        """Build what scores."""
        from ._winclip import Windows  # noqa: PLC0415 - it imports torch

        assert isinstance(self.options, WinClipOptions)  # noqa: S101 - narrows the type; Options fixes it
        return Windows(self.clip, self.prototypes, self.options)
