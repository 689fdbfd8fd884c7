"""Reproduce a published result: check each step, run the whole recipe, and compare with the published numbers.

    python benchmarks/reproduce.py                                          # the recipes, and what each needs
    python benchmarks/reproduce.py winclip --steps --weights random         # check the steps alone; no data needed
    python benchmarks/reproduce.py winclip --dataset mvtec --data DIR [--weights FILE] [--limit N]
    python benchmarks/reproduce.py gpt-4v-ad --dataset visa --data DIR --max-cost USD [--dry-run]

The steps are checked first: the package's result of each step is compared with a second computation
(``straight_clip.py``, ``reproduce_regions.py``, ``straight_metrics.py``, which say what they are written from and what
they share with the package), or with a hash. Then the bench runs. It stores every answer, so the same command again
continues it. Last, each published metric stands beside the measured one, with the tolerance of ``reproduce.toml`` and
the reason for it.

Exit status: 0 within the tolerance of the recipe's first published result, all steps agree, the whole test split
measured; 1 otherwise; 2 if something is missing or wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from reproduce_recipes import DATASETS, Recipe, load_recipes, recipe_named
from reproduce_step import Step, compared
from reproduce_verdict import compare, conclusion, print_lines, print_steps, sentence
from soft_pictures import soft_pictures
from straight_metrics import drawn_maps, image_values, pixel_values

import lvlm_ad
from lvlm_ad.cli.terminal import Bars
from lvlm_ad.datasets import Dataset, load_dataset
from lvlm_ad.datasets.images import read_image
from lvlm_ad.datasets.sample import PUBLISHED_IMAGES
from lvlm_ad.errors import ConfigError, LvlmAdError, nearest
from lvlm_ad.evaluate import RunConfig, dry_run
from lvlm_ad.metrics import image_metrics, pixel_metrics
from lvlm_ad.plugins import build, find_model
from lvlm_ad.presets import Protocol, load_download, parse_settings
from lvlm_ad.runs import METRIC_TITLES

if TYPE_CHECKING:
    from lvlm_ad.runs import Run

WITHIN, OUTSIDE, WRONG = 0, 1, 2

_EXACT = 1e-9
"""Largest difference of metrics in float64."""


def list_recipes(recipes: Sequence[Recipe]) -> None:
    """Print what can be reproduced, and what each needs."""
    for recipe in recipes:
        print(f"{recipe.name}\n    {recipe.title}\n    needs {recipe.needs}")
        for dataset, title in DATASETS.items():
            results = [f"{one.name}: {in_words(one.values)}" for one in recipe.published_on(dataset)]
            print(f"    {title}: {'; '.join(results) or 'no published number is known'}")


def in_words(values: Mapping[str, float]) -> str:
    """Write metrics in percent, such as "image AUROC 91.8, pixel AUROC 85.1"."""
    return ", ".join(f"{METRIC_TITLES[name]} {value:.1f}" for name, value in values.items())


def check_pictures(dataset: Dataset | None) -> list[np.ndarray]:
    """Return three pictures for the steps: from all over the data set; or drawn ones, the last of them not square."""
    if dataset is not None:
        return [read_image(dataset[at].image_path) for at in (0, len(dataset) // 2, -1)]
    *others, last = soft_pictures(3, 300)
    return [*others, last[:200]]


def check_steps(recipe: Recipe, settings: Mapping[str, Any], dataset: Dataset | None) -> Iterator[Step]:
    """Check the steps of a recipe one by one, in the method's order; without a data set on drawn pictures.

    Raises:
        ConfigError: there is no such setting, or it is wrong; or the weights are not available.
    """
    model, known = find_model(recipe.model, dict(settings))
    known |= Protocol.model_fields.keys()
    for name in settings:
        if name not in known:
            raise ConfigError(f"There is no setting {name!r}.{nearest(name, known)}")
    if recipe.checks == "regions":
        from reproduce_regions import region_steps as check  # noqa: PLC0415 - needs no torch
    else:
        from reproduce_clip import clip_steps as check  # noqa: PLC0415 - torch takes seconds, and may not be installed
    steps = check(recipe, model, settings, check_pictures(dataset))
    first = next(steps)  # a mistake is reported before anything is printed
    if dataset is not None:
        yield data_step(dataset)
    yield first
    yield from steps
    yield metrics_step()


def data_step(dataset: Dataset) -> Step:
    """Say whether these are all test images; nobody publishes a hash of their files."""
    whole = PUBLISHED_IMAGES.get(dataset.name)
    if dataset.complete and len(dataset) == whole:
        return Step("data", "agrees", f"the whole test split, {whole:,} images")
    return Step("data", "not checked", f"{len(dataset):,} images, a part of the test split of {whole:,}")


def metrics_step() -> Step:
    """Compute the metrics of drawn maps from their definitions."""
    masks, maps = drawn_maps()
    labels, tops = masks.any(axis=(1, 2)), maps.mean(axis=(1, 2))
    image, pixel = image_metrics(labels, tops), pixel_metrics(masks, maps)
    pairs: list[tuple[Any, Any]] = [
        ([image.auroc, image.ap, image.f1_max], image_values(labels, tops)),
        ([pixel.auroc, pixel.ap, pixel.f1_max, pixel.aupro], pixel_values(masks, maps)),
    ]
    return compared("metrics", "seven metrics of drawn maps", pairs, _EXACT)


def steps_of_run(run: Run) -> list[Step]:
    """Check what only a finished run shows: its means over categories and, of a chat model, which answers it got."""
    steps, again, mean = [], means_of(run), run.metrics["mean"]
    if again is not None:
        ours = [mean[name] for name in ("image_auroc", "image_ap", "image_f1_max")]
        steps.append(compared("means", "image metrics of this run, over its categories", [(ours, again)], _EXACT))
    if run.manifest.model.kind == "backend":
        steps.append(answers_step(run))
    return steps


def means_of(run: Run) -> np.ndarray | None:
    """Return the means over categories of AUROC, AP and F1-max of a run's image scores; None if one is undefined.

    An image without a usable answer counts as not anomalous, as in the run.
    """
    values = []
    for category in run.manifest.dataset.categories:
        images = [one for one in run.predictions if one.category == category]
        labels = np.array([one.label for one in images])
        if labels.all() or not labels.any():
            return None
        scores = np.array([one.image_score if one.usable and one.image_score is not None else 0.0 for one in images])
        values.append(image_values(labels, scores))
    return np.mean(values, axis=0)


def answers_step(run: Run) -> Step:
    """Say how many images of a chat model have no usable answer."""
    counts = run.metrics["answers"]
    names = ("refused", "unparsable", "truncated", "failed", "unasked")
    missing = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    if not missing:
        return Step("answers", "agrees", f"all {counts['total']} are usable")
    more = "; run the same command with a higher --max-cost to ask the rest" if counts["unasked"] else ""
    return Step("answers", "not checked", f"of {counts['total']}: {missing}; they count as not anomalous{more}")


def run_recipe(config: RunConfig) -> Run:
    """Run the bench of a recipe; return its map row, or the only one."""
    with Bars() as bars:
        runs = lvlm_ad.bench(config, bars)
    return next((run for run in runs if run.manifest.model.row == "dense"), runs[0])


def judge(recipe: Recipe, dataset: str, steps: Sequence[Step], run: Run) -> int:
    """Print each published result beside the run, and the conclusion; return the exit status."""
    judged = [(one, compare(one, run.metrics)) for one in recipe.published_on(dataset)]
    for published, lines in judged:
        print_lines(published, lines)
    print()
    if not judged:
        print(f"Nothing to compare: no published number of {recipe.published} on {DATASETS[dataset]} is known.")
    for published, lines in judged:
        print(sentence(published, lines))
    outside = [published for published, lines in judged if not all(line.within for line in lines)]
    for line in conclusion(steps, outside):
        print(line)
    print(f"The run is in {run.dir}.")
    own = bool(judged) and all(line.within for line in judged[0][1])
    incomplete = {"data", "answers"} & {step.name for step in steps if step.state == "not checked"}
    return WITHIN if own and not incomplete and all(step.state != "differs" for step in steps) else OUTSIDE


def settings_of(recipe: Recipe, weights: str | None, changed: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the run: the recipe's, the weights, and what the user sets.

    Raises:
        ConfigError: a setting has no value, or weights are given to a chat model.
    """
    if weights is not None and recipe.checks == "regions":
        raise ConfigError(f"{recipe.name} asks an endpoint: leave --weights out.")
    of_weights = {} if weights is None else {"pretrained": weights}
    return {**recipe.settings, **of_weights, **parse_settings(list(changed))}


def without_data(recipe: Recipe, dataset: str) -> str:
    """Say that the data are missing, and where they are."""
    page = load_download(dataset).page
    return f"{recipe.name} needs the images of {DATASETS[dataset]}: give their folder with --data DIR ({page})."


def reproduce(given: argparse.Namespace) -> int:
    """Do what the command line asks for; return the exit status."""
    recipes = load_recipes(given.recipes) if given.recipes else load_recipes()
    if given.name is None:
        list_recipes(recipes)
        return WITHIN
    recipe = recipe_named(given.name, recipes).on(given.dataset)
    settings = settings_of(recipe, given.weights, given.set)
    if given.data is None and not given.steps:
        raise ConfigError(without_data(recipe, given.dataset))
    dataset = None
    if given.data is not None:
        dataset = load_dataset(given.dataset, given.data).select(limit=given.limit)
    if given.steps:
        steps = print_steps(check_steps(recipe, settings, dataset))
        print("", *conclusion(steps, []), sep="\n")
        return OUTSIDE if any(step.state == "differs" for step in steps) else WITHIN
    config = RunConfig(
        models=recipe.model,
        dataset=given.dataset,
        data=given.data,
        limit=given.limit,
        protocol=recipe.protocol,
        settings=settings,
        out=given.out,
        maps=given.maps,
        max_cost=given.max_cost,
        reference_rows=False,
    )
    if given.dry_run:
        return forecast(recipe, config)
    # A missing key is reported before the steps, which take minutes.
    build(find_model(recipe.model, settings)[0]).close()
    steps = print_steps(check_steps(recipe, settings, dataset))
    run = run_recipe(config)
    of_run = print_steps(steps_of_run(run))
    return judge(recipe, given.dataset, [*steps, *of_run], run)


def forecast(recipe: Recipe, config: RunConfig) -> int:
    """Print what a run would do and cost, without asking."""
    print(f"{recipe.title}\n--protocol {config.protocol}", *(f"--set {k}={v}" for k, v in config.settings.items()))
    for model in dry_run(config):
        cost = "unknown" if model["cost_usd"] is None else f"about {model['cost_usd']:.2f} USD"
        print(f"{model['model']}: {model['questions']} questions, {model['stored']} already answered; cost {cost}.")
    return WITHIN


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="the recipe; without one, the recipes are listed")
    parser.add_argument("--dataset", choices=DATASETS, default="mvtec")
    parser.add_argument("--data", type=Path, help="the data set's folder")
    parser.add_argument("--weights", help="of CLIP: a file, a tag of open_clip, or 'random' to try things out")
    parser.add_argument("--limit", type=int, help="at most this many images of each category")
    parser.add_argument("--max-cost", type=float, help="USD that may be spent")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting other than the recipe's"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="where answers and runs are stored (default: runs)"
    )
    parser.add_argument("--maps", type=Path, help="where the anomaly maps are written (default: nowhere)")
    parser.add_argument("--recipes", type=Path, help="another file of recipes")
    parser.add_argument("--steps", action="store_true", help="check the steps alone")
    parser.add_argument("--dry-run", action="store_true", help="say what the run would ask and cost")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reproduce; an error is one line."""
    try:
        return reproduce(parsed(arguments))
    except LvlmAdError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG


if __name__ == "__main__":
    sys.exit(main())
