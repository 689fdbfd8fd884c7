"""Sentences on whether the best row of a table beats rows without a chat model."""

import re

from lvlm_ad.leaderboard import make_board
from lvlm_ad.site.comparisons import comparisons
from lvlm_ad.site.contents import Table


def sentences(runs, sort="image_auroc"):
    """The comparisons of the only table of runs."""
    (group,) = make_board(runs, sort).groups
    return comparisons(Table(group, "demo", "Demo", 1), {run.dir.name: run for run in runs}, sort)


def test_the_best_row_is_compared_with_contrast_and_winclip(make_run, make_reference_row):
    """Each with the difference on the same images and its interval; the sign says who is better."""
    baseline = {"prompt": "", "model": {"kind": "baseline"}}
    runs = [make_run("best", 0.9), make_run("other", 0.7), make_run("winclip", 0.89, **baseline)]
    first, second = sentences([*runs, make_reference_row("contrast", 0.6)])
    interval = "(95 % interval of the difference: "
    assert first.startswith(
        f"best is surely better than contrast: it scores 30.0 points of image AUROC more {interval}+"
    )
    chance = "best scores 1.0 points of image AUROC more than winclip; on these images that may be chance"
    assert second.startswith(f"{chance} {interval}-")
    low, high = (float(one) for one in second.split(": ")[1].rstrip(").").split(" to "))
    assert low < 1 < high


def test_a_row_that_is_worse_is_called_worse(make_run, make_reference_row):
    """A newcomer sees that the model is not worth its price."""
    (sentence,) = sentences([make_run("best", 0.6), make_reference_row("contrast", 0.95)])
    assert sentence.startswith("best is surely worse than contrast: it scores 35.0 points of image AUROC less (")
    assert re.search(r": -\d+\.\d to -\d+\.\d\)\.$", sentence)


def test_nothing_is_said_where_nothing_can_be_compared(make_run, make_reference_row):
    """Without contrast, without a ranked row, where the best row is the one to beat, and without an interval."""
    assert sentences([make_run("best", 0.9)]) == []
    assert sentences([make_reference_row("contrast", 0.9)]) == []
    assert sentences([make_run("winclip", 0.9, prompt="", model={"kind": "baseline"})]) == []
    without = make_reference_row("contrast", 0.5, mean={"interval": {}})
    assert sentences([make_run("best", 0.9), without]) == []


def test_a_row_that_the_images_nearly_separate_is_perhaps_better(make_run, make_reference_row):
    """An interval without 0 beside the words "may be chance" would read as a contradiction."""
    said = [sentences([make_run("best", 0.9), make_reference_row("contrast", one / 100)])[0] for one in range(60, 90)]
    perhaps = [one for one in said if " is perhaps better than contrast: it scores " in one]
    assert perhaps
    assert all(": +" in one and one.endswith("; these images are too few to be sure.") for one in perhaps)
    assert all("difference: -" in one for one in said if "may be chance" in one)
