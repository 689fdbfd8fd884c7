"""The study of efficiency: quality against USD, seconds and tokens, over models, methods, image sizes and votes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.plugins.own import title_of
from lvlm_ad.studies.efficiency_design import EfficiencyDesign, efficiency_design
from lvlm_ad.studies.efficiency_figures import efficiency_figures
from lvlm_ad.studies.former import refuse_other_study
from lvlm_ad.studies.images import chosen_images
from lvlm_ad.studies.pricing import total_price, without_asked
from lvlm_ad.studies.readings import Readings
from lvlm_ad.studies.record import Study, study_record
from lvlm_ad.studies.runner import forecast_study, run_study
from lvlm_ad.studies.wording import incomplete

if TYPE_CHECKING:
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.log import Progress
    from lvlm_ad.studies.condition import Condition
    from lvlm_ad.workers import Workers

__all__ = ["EfficiencyOptions", "price_efficiency", "study_efficiency"]

_IMAGES = 100
"""Images of a study, unless the user says otherwise."""


@dataclass(frozen=True)
class EfficiencyOptions:
    """What a study of efficiency compares, besides the models of its configuration.

    Attributes:
        methods: how images are inspected; empty: as the configuration says.
        image_sizes: sides of the images in pixels, each 1 or more; empty: the protocol's.
        votes: numbers of answers that are averaged, more than one with the method regions alone; empty: 1.
        images: how many images; None: 100.
        name: the study's name; empty: made of models and data set.
    """

    methods: tuple[str, ...] = ()
    image_sizes: tuple[int, ...] = ()
    votes: tuple[int, ...] = (1,)
    images: int | None = None
    name: str = ""


def study_efficiency(
    config: RunConfig,
    options: EfficiencyOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Study:
    """Measure quality and price of every model with every method, image size and number of votes.

    ``study.json`` and the runs are in ``config.out``/studies/NAME, answers in ``config.out``: they are shared with
    bench, and the same command asks only what is missing.

    Args:
        config: one or more chat models, a data set and settings.
        options: what is compared.
        progress: receives reports on how far it has come.
        workers: see ``bench``.

    Returns:
        What ``study.json`` holds. Its state says whether everything was answered; after Ctrl-C it is "interrupted".

    Raises:
        ConfigError: a name, setting or value is wrong; the folder holds another study.
        DataError: the data set cannot be used.
        FatalError: the first combination was not answered.
        KeyboardInterrupt: Ctrl-C during the first combination, of which nothing can be said yet.

    Example::

        config = RunConfig(models=["gpt-4o", "gpt-4o-mini"], dataset="mvtec", data=Path("mvtec"), max_cost=20.0)
        study_efficiency(config, EfficiencyOptions(methods=("regions", "zoom"), votes=(1, 3))).verdict
    """
    design = _design(config, options or EfficiencyOptions())
    known = refuse_other_study("efficiency", design.study)
    results = run_study(design.study, progress, workers, known=known)
    figures, sentence = efficiency_figures(Readings.of(results), design, config.resamples)
    sentence = incomplete(sentence, results.lacking)
    study = study_record("efficiency", results, sentence, figures.model_dump(mode="json"), design.left_out)
    names = [(one.title, title_of(one.method)) for one in design.combinations.values()]
    models, methods = (", ".join(dict.fromkeys(part)) for part in zip(*names, strict=True))
    study = study.model_copy(update={"model": models, "method": methods})
    study.write(design.study.folder)
    return study


def price_efficiency(
    config: RunConfig,
    options: EfficiencyOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> dict[str, Any]:
    """Estimate what a study would ask and cost, without asking; no key is needed.

    A question that several combinations ask, such as the first one of closer looks and votes, is counted once.

    Args:
        config: as for ``study_efficiency``.
        options: as for ``study_efficiency``.
        progress: receives reports.
        workers: see ``bench``.

    Returns:
        What ``total_price`` returns, where what an earlier combination asks is shared; and "left_out".

    Raises:
        ConfigError: a name, setting or value is wrong.
        PluginError: a model or a method cannot be loaded.
        DataError: the data set cannot be used.

    Example::

        price_efficiency(RunConfig(models=["gpt-4o", "gpt-4o-mini"], data=Path("parts")))["cost_usd"]
    """
    design = _design(config, options or EfficiencyOptions())
    conditions = tuple(one for one in design.study.conditions if one.name in design.combinations)
    forecasts = {
        one.name: found
        for one, found in forecast_study(replace(design.study, conditions=conditions), progress, workers)
    }
    priced: list[tuple[Condition, dict[str, Any]]] = []
    for one in conditions:
        found = forecasts[one.name]
        if (earlier := design.asked_before(one.name)) is not None:
            found = without_asked(found, forecasts[earlier])
        priced.append((one, found))
    return {**total_price(design.study, priced), "left_out": [one.model_dump() for one in design.left_out]}


def _design(config: RunConfig, options: EfficiencyOptions) -> EfficiencyDesign:
    return efficiency_design(
        config,
        chosen_images(config, _IMAGES if options.images is None else options.images),
        methods=options.methods,
        image_sizes=options.image_sizes,
        votes=options.votes,
        name=options.name,
    )
