"""What is asked, and under which conditions: prompts and protocols."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lvlm_ad.presets.preset import Preset

__all__ = ["PromptPreset", "Protocol"]

_NEWER = ("scoring", "repeat", "numbering", "reference_set", "withhold")
"""Conditions that manifests of older versions do not have."""


class PromptPreset(Preset):
    """A question. Placeholders: $class_name, $defects, $n_regions, $pictures, $references."""

    text: Annotated[str, Field(min_length=1)]
    """The question's text."""
    format: Literal["text", "json"] = "text"
    """Format of the answer: text as published, or a JSON object."""
    zero_knowledge: bool = True
    """False if the question names the kinds of defect."""
    pictures: dict[Literal["marked", "image+marked", "image+marks", "image"], str] = Field(default_factory=dict)
    """Sentence about the pictures for each value of ``visual``; each has a default."""
    references: str = ""
    """Sentence about reference images; empty: the default."""
    class_names: dict[str, str] = Field(default_factory=dict)
    """Category -> its name in the question, if not the default."""


class Protocol(Preset):
    """Conditions under which models are compared: the same for all models of a table."""

    image_size: Annotated[int, Field(ge=16, le=8192)] = 768
    """Images are stretched to a square of this side in pixels; regions, maps and metrics have this size."""
    division: str = "superpixel"
    """How images are cut into regions: superpixel, grid or sam."""
    n_segments: int | None = None
    """superpixel: approximate number of segments; None: as published (60)."""
    compactness: float | None = None
    """superpixel: weight of distance against colour; None: as published (20)."""
    grid_rows: int | None = None
    """grid: rows of cells; None: as published (16)."""
    grid_columns: int | None = None
    """grid: columns of cells; None: as published (16)."""
    sam_model: str | None = None
    """sam: the model's name at the Hugging Face hub, or its folder; None: as published (facebook/sam-vit-huge)."""
    sam_points_per_side: int | None = None
    """sam: side of the grid of prompt points; None: as published (32)."""
    pred_iou_thresh: float | None = None
    """sam: least predicted IoU of a mask; None: as published (0.88)."""
    stability_score_thresh: float | None = None
    """sam: least stability of a mask; None: as published (0.95)."""
    crops_nms_thresh: float | None = None
    """sam: masks whose boxes overlap with an IoU above this are duplicates; None: as published (0.7)."""
    sam_points_per_batch: int | None = None
    """sam: points in one batch, for speed; None: 64."""
    sam_device: str | None = None
    """sam: device of the model; None: a GPU if there is one."""
    min_area: float | None = None
    """Least area of a region, in pixels of a 768 x 768 image; None: as published (600)."""
    max_area: float | None = None
    """Largest area of a region, in pixels of a 768 x 768 image; None: as published (120,000)."""
    prompt: str = "class"
    """The prompt preset, or the path of a prompt file."""
    visual: Literal["marked", "image+marked", "image+marks", "image"] = "marked"
    """Which pictures are sent; "image": without borders and numbers, so that the named regions are guesses."""
    shots: Annotated[int, Field(ge=0, le=64)] = 0
    """Number of normal training images shown before the question."""
    reference_set: Annotated[int, Field(ge=0)] = 0
    """With ``shots``: which of the category's disjoint sets of that many training images is shown."""
    withhold: Literal["", "name", "image"] = ""
    """What questions do not tell, to see what a model knows without it. name: they call everything an object, and tell
    nothing of what the data set knows. image: they show no picture of the inspected image."""
    border_width: Annotated[int, Field(ge=0, le=32)] = 2
    """Width of the regions' borders in pixels."""
    number_size: Annotated[int, Field(ge=7, le=128)] = 18
    """Height of the regions' numbers in pixels."""
    number_style: Literal["contrast", "grey"] = "contrast"
    """Colours of the numbers: black on white or white on black, by the image's brightness; or white on grey."""
    binary: bool = False
    """Paint 1 for every region in the answer, whatever its score."""
    scoring: Literal["text", "expected"] = "text"
    """Scores as written, or their expected values over the probabilities of their tokens. Decides how answers are read,
    not what is asked."""
    repeat: Annotated[int, Field(ge=0)] = 0
    """Asks every question once more, as a question of its own: each number has answers of its own, which differ only if
    the model samples them (temperature above 0)."""
    numbering: Annotated[int, Field(ge=0)] = 0
    """Which other numbers the regions bear on the picture, for the method regions alone; 0: the usual ones. Scores,
    maps and metrics have the usual numbers in any case."""

    def newer_settings(self) -> set[str]:
        """Return the names of the settings that older versions did not have and that are not the default.

        A manifest records a newer setting only then, so that runs of older versions keep their hash.

        Example:
            >>> Protocol(repeat=2, shots=1).newer_settings()
            {'repeat'}
        """
        fields = type(self).model_fields
        return {name for name in _NEWER if getattr(self, name) != fields[name].default}

    def division_options(self) -> dict[str, Any]:
        """Return the options of the division that are set."""
        # They are the fields without a default of their own.
        fields = type(self).model_fields
        return {name: value for name, value in self if value is not None and fields[name].default is None}
