"""Images without labels, such as the private ones of MVTec AD 2: what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lvlm_ad.datasets import Sample
from lvlm_ad.datasets.readers import READERS
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.evaluate.run_config import REFERENCE_ROWS, RunConfig

if TYPE_CHECKING:
    from lvlm_ad.datasets import Dataset
    from lvlm_ad.plugins import Model

__all__ = ["predictable", "validation_images"]


def predictable(models: Sequence[Model], config: RunConfig, dataset: Dataset, *, wanted: bool) -> list[Model]:
    """Return the models that the user named; reference rows are left out, since they belong to tables of metrics.

    Args:
        models: those that the user named, and the reference rows.
        config: what the user wants.
        dataset: the images.
        wanted: whether the command can predict images without labels.

    Raises:
        DataError: the command only measures.
        ConfigError: the user named no model, or one that answers with the truth, or an option needs labels.
    """
    where = f"The images of {dataset.name}, split {dataset.split}, have no labels"
    if not wanted:
        usual_split = READERS[dataset.name].split
        raise DataError(f"{where}, so nothing can be measured; choose a split with labels: --split {usual_split}.")
    if not config.models:
        raise ConfigError(f"{where}, so reference rows would say nothing; name a model with --model.")
    named = [one for one in models if one.preset.name not in REFERENCE_ROWS or one.preset.name in config.models]
    for model in named:
        if getattr(model.plugin.cls, "sees_truth", False):
            raise ConfigError(f"{where}, and {model.preset.name} answers with the truth; name another model.")
    usual = RunConfig()
    for name in ("threshold", "cost_miss", "cost_false_alarm", "cost_check", "prevalence"):
        if getattr(config, name) != getattr(usual, name):
            raise ConfigError(f"{where}, so nothing can be said about alarms; leave --{name.replace('_', '-')} out.")
    if config.on_failure != usual.on_failure:
        raise ConfigError(f"{where}, and the server wants a map of each, answered or not; leave --on-failure out.")
    return named


def validation_images(dataset: Dataset, limit: int | None = None) -> tuple[Sample, ...]:
    """Return the normal validation images of each category, at most ``limit`` of it."""
    return tuple(
        Sample(
            f"{category}/validation/{path.stem}",
            category,
            label=False,
            defect="good",
            image_path=path,
            depth=dataset.depths.get(category),
        )
        for category in dataset.categories
        for path in dataset.validation.get(category, ())[:limit]
    )
