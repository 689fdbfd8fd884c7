"""CLIP-AC (Jeong et al., CVPR 2023): plain CLIP asked whether a picture is normal or anomalous; it locates nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from ._clip_baseline import ClipBaseline, ClipOptions

if TYPE_CHECKING:
    from lvlm_ad.baseline import BaselineOptions, Row

    from ._clip_ac import TextOnly

__all__ = ["ClipAc", "ClipAcOptions"]


class ClipAcOptions(ClipOptions):
    """Options of CLIP-AC."""

    prompts: Literal["plain", "templates", "winclip"] = "plain"
    """plain: "a photo of a normal {}." against "anomalous"; templates: the same two words in the 22 templates; winclip:
    WinCLIP's ensemble, which gives WinCLIP's image score."""


class ClipAc(ClipBaseline):
    """Scores a picture by text alone, its map is empty: what CLIP gives for the least effort."""

    Options: ClassVar[type[BaselineOptions]] = ClipAcOptions
    rows: ClassVar[tuple[Row, ...]] = ("regions",)

    def __init__(self, options: ClipAcOptions) -> None:
        super().__init__(options)
        self.notes = (*self.notes, "scores whole images and locates nothing")

    def make(self) -> TextOnly:
        """Build what scores."""
        from ._clip_ac import TextOnly  # noqa: PLC0415 - it imports torch

        assert isinstance(self.options, ClipAcOptions)  # noqa: S101 - narrows the type; Options fixes it
        return TextOnly(self.clip, self.prototypes, self.options.prompts)
