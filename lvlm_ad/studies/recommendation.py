"""Which model and method to take: a few images of a few candidates, and no more than the answer needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.studies.condition import study_name
from lvlm_ad.studies.former import RECOMMENDATION, refuse_other_study
from lvlm_ad.studies.images import StudyImages, chosen_images
from lvlm_ad.studies.pricing import total_price
from lvlm_ad.studies.recommend_candidates import candidates_of, models_at_hand
from lvlm_ad.studies.recommend_figures import recommendation_of
from lvlm_ad.studies.recommend_rounds import Rounds, design_of, round_sizes
from lvlm_ad.studies.runner import forecast_study, study_progress

if TYPE_CHECKING:
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.log import Progress
    from lvlm_ad.studies.recommend_record import Recommendation
    from lvlm_ad.workers import Workers

__all__ = ["RecommendOptions", "price_recommend", "recommend"]

_FEWEST = 2
"""Images of each class that a category needs."""


@dataclass(frozen=True)
class RecommendOptions:
    """What a recommendation compares, besides the models of its configuration.

    Attributes:
        methods: how images are inspected; empty: as the configuration says.
        margin: differences in image AUROC up to this do not matter, in 0..1.
        name: the name of its folder; empty: made of the data set.
    """

    methods: tuple[str, ...] = ()
    margin: float = 0.02
    name: str = ""


def recommend(
    config: RunConfig,
    options: RecommendOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Recommendation:
    """Find the model and the method to take, asking no more than that needs.

    All candidates are asked about a few images. One is dropped if another is surely better, or costs no more and is
    surely not worse by more than the margin; the others are asked about twice as many images, and so on.
    ``recommend.json`` and the runs are in ``config.out``/studies/NAME, answers in ``config.out``: they are shared with
    bench, and the same command asks only what is missing.

    Args:
        config: a data set, settings, ``max_cost`` as the budget of all questions; the models, or none: a few at hand.
        options: what is compared.
        progress: receives reports on how far it has come.
        workers: see ``bench``.

    Returns:
        What ``recommend.json`` holds.

    Raises:
        ConfigError: a name, setting or value is wrong; there are fewer than two candidates; there is no budget, or it
            is less than the first round costs; no candidate could be asked; the folder holds a study or another
            recommendation.
        DataError: the data set cannot be used, or has too few labelled images.
        KeyboardInterrupt: Ctrl-C in the first round, of which nothing can be said yet.

    Example::

        config = RunConfig(models=["gpt-6-luna", "gemini"], data=Path("parts"), max_cost=2.0)
        recommend(config, RecommendOptions(methods=("regions", "boxes"))).sentence
    """
    rounds = _rounds(config, options or RecommendOptions(), progress, workers)
    images = rounds.images
    design = design_of(rounds.name, rounds.config, images, len(images.dataset), rounds.candidates)
    refuse_other_study(RECOMMENDATION, design)
    found = recommendation_of(rounds, rounds.run())
    found.write(design.folder)
    return found


def price_recommend(
    config: RunConfig,
    options: RecommendOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> dict[str, Any]:
    """Estimate what the first round would ask and cost, without asking; no key is needed.

    Args:
        config: as for ``recommend``.
        options: as for ``recommend``.
        progress: receives reports.
        workers: see ``bench``.

    Returns:
        What ``total_price`` returns for the first round; "left_out" (empty), "rounds" (images asked about after each),
        "budget_usd", and "all_rounds_usd": the cost if no candidate is dropped, None if unknown.

    Raises:
        ConfigError: a name, setting or value is wrong; there are fewer than two candidates, or there is no budget.
        PluginError: a model or a method cannot be loaded.
        DataError: the data set cannot be used, or has too few labelled images.

    Example::

        price_recommend(RunConfig(models=["gpt-6-luna", "gemini"], data=Path("parts"), max_cost=2.0))["all_rounds_usd"]
    """
    rounds = _rounds(config, options or RecommendOptions(), progress, workers)
    images = rounds.images.dataset
    sizes = round_sizes(len(images), len(images.categories))
    design = design_of(rounds.name, rounds.config, rounds.images, sizes[0], rounds.candidates)
    price = total_price(design, forecast_study(design, progress, workers))
    known = price["cost_usd"] is not None and price["to_ask"]
    each = price["cost_usd"] / price["to_ask"] if known else None
    ahead = price["to_ask"] + price["questions"] * (len(images) - sizes[0]) / sizes[0]
    whole = None if each is None else each * ahead
    return {**price, "left_out": [], "rounds": sizes, "budget_usd": config.max_cost, "all_rounds_usd": whole}


def _rounds(config: RunConfig, options: RecommendOptions, progress: Progress | None, workers: Workers | None) -> Rounds:
    if config.max_cost is None:
        raise ConfigError("A recommendation needs a budget: the USD that may be spent, as --budget.")
    if not 0 < options.margin < 1:
        raise ConfigError(f"--margin takes percentage points above 0 and below 100; got {100 * options.margin:g}.")
    progress = study_progress(progress)
    images = _labelled(chosen_images(config))
    at_hand = [] if config.models else models_at_hand()
    for one in at_hand:
        progress.note(f"{one.model} is a candidate: {one.why}.")
    candidates, shared = candidates_of(config, options.methods, at_hand)
    name = options.name or study_name("recommend", images.dataset.name, images.dataset.split)
    config = replace(config, settings=shared)
    return Rounds(name, config, images, candidates, options.margin, progress, workers)


def _labelled(images: StudyImages) -> StudyImages:
    """Return the images with a label.

    Raises:
        DataError: no category has two good and two anomalous ones.
    """
    samples = tuple(sample for sample in images.dataset if sample.is_labelled)
    counts = {name: [0, 0] for name in images.dataset.categories}
    for sample in samples:
        counts[sample.category][sample.label] += 1
    if not any(min(one) >= _FEWEST for one in counts.values()):
        good, anomalous = (sum(one[kind] for one in counts.values()) for kind in (0, 1))
        raise DataError(
            f"{images.dataset.root} has {good} good and {anomalous} anomalous images with a label; a recommendation "
            f"needs at least {_FEWEST} of each in a category, better 50: sort some into good/ and folders named after "
            f"their defect."
        )
    if len(samples) == len(images.dataset):
        return images
    return StudyImages(replace(images.dataset, samples=samples), whole=False, available=images.available)
