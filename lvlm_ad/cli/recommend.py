"""``lvlm-ad recommend``: which model and method to take."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvlm_ad.cli import shell
from lvlm_ad.cli.study_options import Methods, StudyName, StudySeed
from lvlm_ad.workers import Workers

if TYPE_CHECKING:
    from lvlm_ad.studies import Recommendation


@shell.guarded
def recommend(
    budget: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="USD",
            help="Limit of the cost; only the first question and those already sent can exceed it.",
        ),
    ],
    models: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="Model preset, plugin, preset file or your own class; may be repeated.  [default: a few whose key is "
            "set or whose server runs here]",
        ),
    ] = [],
    dataset: shell.DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    categories: shell.Categories = [],
    methods: Methods = [],
    margin: Annotated[
        float,
        typer.Option(metavar="POINTS", help="Differences in image AUROC, in percentage points, that do not matter."),
    ] = 2.0,
    name: StudyName = "",
    division: shell.Division = None,
    prompt: shell.Prompt = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
    out: shell.Out = Path("runs"),
    concurrency: shell.Concurrency = 16,
    seed: StudySeed = 0,
    retry_failed: shell.RetryFailed = False,
    dry_run: shell.DryRun = False,
    json: shell.Json = False,
) -> None:
    """Find out which model and method to take for your images, asking as few images as the choice needs.

    Every model is asked with every method about a few labelled images. A candidate is dropped if another one is surely
    better, or costs no more and is surely not worse by more than --margin. The others are asked about twice as many
    images, until one remains, all that remain are within the margin, or the budget or the images are used up. Answers
    are shared with bench, and the same command continues after an interruption. OUT/studies/NAME gets recommend.json
    and the runs.

    Exit status: 0 every question answered; 3 a model failed, some answers are missing, or the budget ended it; 2 bad
    usage, configuration or data; 130 interrupted; what is known so far is shown.
    """
    from lvlm_ad.cli.terminal import Bars
    from lvlm_ad.studies import RecommendOptions, price_recommend
    from lvlm_ad.studies import recommend as find

    config = shell.run_config(locals(), max_cost=budget, resamples=0)
    options = RecommendOptions(tuple(methods), margin / 100, name)
    with closing(Workers()) as workers, Bars() as bars:
        found = (price_recommend if dry_run else find)(config, options, bars, workers)
    if isinstance(found, dict):
        _show_price(found, json=json)
        return
    _show(found, out / "studies" / found.name, json=json)
    if found.stop == "interrupted":
        raise KeyboardInterrupt
    if not found.complete:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def _show_price(price: dict[str, Any], *, json: bool) -> None:
    from lvlm_ad.cli.study_tables import show_price
    from lvlm_ad.leaderboard import usd

    show_price(price, json=json)
    if not json:
        every = "an unknown amount" if price["all_rounds_usd"] is None else f"about {usd(price['all_rounds_usd'])} USD"
        rounds = ", ".join(map(str, price["rounds"]))
        shell.show(
            f"This is the first round. All rounds ({rounds} images in all) cost {every} if no candidate is dropped; "
            f"the budget is {usd(price['budget_usd'])} USD."
        )


def _show(found: Recommendation, folder: Path, *, json: bool) -> None:
    """Print the recommendation and a row for each candidate, the best first."""
    from lvlm_ad.cli.study_tables import NONE, percent, table
    from lvlm_ad.escape import escaped
    from lvlm_ad.leaderboard import usd

    console = shell.table_console(shell.BOARD_WIDTH)
    console.print(escaped(found.sentence))
    console.print()
    rows = table("candidate", "image AUROC", "USD an image", "images", "below the best by at most", "dropped in round")
    for one in sorted(found.candidates, key=lambda one: (one.name != found.choice, -(one.image_auroc.value or 0.0))):
        rows.add_row(
            escaped(one.words),
            percent(one.image_auroc),
            NONE if one.usd_per_image.value is None else usd(one.usd_per_image.value),
            str(one.images - one.unasked),
            f"{100 * one.loss:.1f} points" if one.loss < 1 else NONE,
            NONE if one.left_in_round is None else str(one.left_in_round),
        )
    console.print(rows)
    for one in found.candidates:
        if one.reason:
            console.print(escaped(f"{one.name} was dropped: {one.reason}."))
        if one.unasked:
            console.print(escaped(f"{one.name}: {one.unasked} of {one.images} images were not asked about."))
        if unusable := one.images - one.answered - one.unasked:
            console.print(escaped(f"{one.name}: {unusable} of {one.images} images have no usable answer."))
    if found.stop == "budget":
        console.print("The budget ended the comparison; the same command with a higher --budget continues.")
    shell.say(f"recommendation: {folder}")
    shell.say("A model is worth its price only if it beats contrast, which is free: lvlm-ad bench --model contrast")
    if json:
        shell.print_json({"dir": str(folder), **found.model_dump(mode="json")})
