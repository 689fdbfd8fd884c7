"""Options of the CLIP baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lvlm_ad.backend import Transport
from lvlm_ad.baseline import BaselineOptions

__all__ = ["ClipAcOptions", "ClipAdOptions", "ClipOptions", "WinClipOptions"]


class ClipOptions(BaselineOptions):
    """Options of every CLIP baseline."""

    model: Annotated[str, Field(min_length=1)] = "ViT-B-16-plus-240"
    """Name of the architecture in open_clip; a plain vision transformer."""
    pretrained: Annotated[str, Field(min_length=1)] = "laion400m_e31"
    """Weights: a tag of open_clip, a file, or "random" (to try things out; the scores mean nothing)."""
    device: Annotated[str, Transport] = "auto"
    """Where it runs: auto (a CUDA GPU, else Apple's GPU, else the CPU), cuda, cuda:1, mps or cpu."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Data type of the image tower; auto: bfloat16 on a CUDA GPU, else float32."""
    batch_size: Annotated[int | None, Field(ge=1), Transport] = None
    """Pictures in one batch; None: 32 on a GPU, 1 on a CPU."""
    text_cache: Annotated[Path | None, Transport] = None
    """Folder for the vectors of prompts; None: lvlm-ad/clip-text in the user's cache."""


class ClipAcOptions(ClipOptions):
    """Options of CLIP-AC."""

    prompts: Literal["plain", "templates", "winclip"] = "plain"
    """plain: "a photo of a normal {}." against "anomalous"; templates: the same two words in the 22 templates; winclip:
    WinCLIP's ensemble, which gives WinCLIP's image score."""


class WinClipOptions(ClipOptions):
    """Options of WinCLIP."""

    variant: Literal["paper", "zqhang"] = "paper"
    """paper: closest to the published scores. zqhang: prompts, names, temperature and resized pictures of that
    re-implementation, whose tables others cite."""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Temperature of the softmax over cosines; None: the model's own, or 0.07 for zqhang."""


class ClipAdOptions(ClipOptions):
    """Options of CLIP-AD."""

    representative: Literal["dbscan", "mean"] = "dbscan"
    """Vector that represents the prompts of a state: the mean of their largest cluster, or of all."""
    eps: Annotated[float, Field(gt=0, le=2)] = 0.5
    """dbscan: distance up to which two unit vectors are neighbours. Published: 0.5, for VisA 1.5."""
    min_samples: Annotated[int, Field(ge=1)] = 15
    """dbscan: neighbours of a core point, including itself. Published: 15, for VisA 25."""
    sigma: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 8.0
    """Sigma of the Gaussian filter on the map, in pixels of the model's picture. Published: 8, for SDP+ on VisA 2."""
    image_score: Literal["category", "sum", "text", "map"] = "category"
    """category: the text's and the map's scores, each stretched to 0..1 over the test images of the category, then
    added, as published. sum: both on a fixed scale. text, map: one of them."""
    heads: Path | None = None
    """SDP+: the file of trained heads."""
    alias: bool | None = None
    """Whether the class tokens include the attention of the next block, as in the released code; None: with heads only,
    which were trained so."""
