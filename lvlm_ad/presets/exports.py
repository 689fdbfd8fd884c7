"""Where else results are listed: the benchmarks of other sites to which a data set and its metrics belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from lvlm_ad.presets.preset import Preset

__all__ = ["ExportTargets", "HubBenchmark", "PapersBenchmark"]

_Names: TypeAlias = Annotated[Mapping[str, Annotated[str, Field(min_length=1)]], Field(min_length=1)]
_Number: TypeAlias = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HubBenchmark(_Part):
    """A data set of the Hugging Face hub that is registered as a benchmark."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Its name at the hub, such as "org/name"."""
    tasks: _Names
    """Metric, such as image_auroc -> the id of the task in the data set's eval.yaml."""


class PapersBenchmark(_Part):
    """A benchmark of Papers with Code (paperswithcode.co)."""

    task_id: _Number
    """The number of the task at paperswithcode.co."""
    dataset_id: _Number
    """The number of the benchmark at paperswithcode.co."""
    metrics: _Names
    """Metric, such as image_auroc -> its name at paperswithcode.co."""


class DatasetTargets(_Part):
    """The benchmarks of one data set; None: not listed there."""

    huggingface: HubBenchmark | None = None
    paperswithcode: PapersBenchmark | None = None


class ExportTargets(Preset):
    """Ids and addresses for the exports, which only the owner of a leaderboard knows.

    Raises:
        ValidationError: a field is unknown, or a value has another form than the field says.

    Example:
        >>> benchmark = {"id": "org/name", "tasks": {"image_auroc": "detection"}}
        >>> targets = ExportTargets(datasets={"visa": {"huggingface": benchmark}})
        >>> targets.datasets["visa"].huggingface.id, targets.site_url
        ('org/name', '')
    """

    site_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """Address of the site's folder. With it, the feed of new runs has links."""
    source_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """Address at which the runs can be read, such as that of a repository. The page on how to submit a run links it."""
    source_name: str = ""
    """What a link to that address is called."""
    datasets: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")], DatasetTargets] = Field(
        default_factory=dict
    )
    """Name of a data set, as for ``bench`` -> its benchmarks."""
