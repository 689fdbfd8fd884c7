"""Which runs share a table, how they are ranked, and what the notes say."""

from dataclasses import replace

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import make_board, model_title, outcomes, writable
from lvlm_ad.runs import METRIC_NAMES


def ranks(board):
    """Each table's names and ranks, a single rank as a number."""
    single = {(1, 1): 1, (2, 2): 2, (3, 3): 3, (4, 4): 4}
    return [{entry.name: single.get(entry.rank, entry.rank) for entry in group.entries} for group in board.groups]


def notes(board):
    """The notes of each row of the only table."""
    (group,) = board.groups
    return {entry.name: "; ".join(entry.notes) for entry in group.entries}


def test_rows_under_the_same_conditions_are_ranked_together(make_run):
    """Best first; equal values share a range of ranks; the sentence says how many rows are compared."""
    board = make_board([make_run("a", 0.7), make_run("b", 0.9), make_run("c", 0.9), make_run("d", 0.1)])
    assert ranks(board) == [{"b": (1, 2), "c": (1, 2), "a": 3, "d": 4}]
    assert board.groups[0].ranking.startswith("4 rows are ranked together")


def test_a_run_that_no_table_can_hold_is_left_out(make_run):
    """Its values break the writing of its row; the others have their table."""
    odd = make_run("b")
    odd = replace(odd, metrics={**odd.metrics, "mean": {**odd.metrics["mean"], "image_auroc": 10**400}})
    good = make_run("a")
    kept, (problem,) = writable([odd, good])
    assert kept == [good]
    assert problem.startswith(f"The run {odd.dir} cannot be used: OverflowError")


def test_rows_say_that_their_data_set_was_not_compared(make_run):
    """Once for all rows of a table, and only where the data set is one of those named."""
    runs = [make_run("a", 0.7), make_run("b", 0.9)]
    (group,) = make_board(runs, verified=True, unchecked={runs[0].manifest.dataset.name}).groups
    assert group.notes()[0][1:] == ("all rows", "labels and pixel counts were not compared with the images and masks")
    (group,) = make_board(runs, verified=True, unchecked={"another"}).groups
    assert "not compared" not in str(group.notes())


def test_what_the_images_cannot_tell_apart_shares_ranks(make_run):
    """A small difference is no rank, even between intervals that do not overlap; the middle row may be either."""
    tight = {"interval": {"image_auroc": [0.5, 0.98]}}
    board = make_board([make_run(name, value, mean=tight) for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.7))])
    assert ranks(board) == [{"a": (1, 2), "b": (1, 3), "c": (2, 3)}]


def test_differences_to_the_best_row_have_intervals(make_run):
    """The interval contains the difference; that of a row with equal value contains 0."""
    best, equal, other = make_board([make_run("a", 0.9), make_run("b", 0.9), make_run("c", 0.7)]).groups[0].entries
    assert (best.difference, best.difference_interval, equal.difference) == (None, None, 0.0)
    assert equal.difference_interval[0] < 0 < equal.difference_interval[1]
    assert other.difference == pytest.approx(-0.2)
    assert other.difference_interval[0] < -0.2 < other.difference_interval[1] < 0


def test_a_row_ranked_alone_has_nothing_to_compare_with(make_run):
    """Its rank is 1 of 1, which the sentence explains; its files are not read."""
    run = make_run("a", 0.7)
    (group,) = make_board([replace(run, predictions=[])]).groups
    assert (ranks(make_board([run])), group.ranking) == ([{"a": 1}], "Only one row can be ranked: nothing to compare.")
    assert group.entries[0].rank == (1, 1)


def test_too_few_images_give_no_ranks(make_run):
    """Five good and five defective images tell nobody apart, and neither row is marked as the best."""
    few = [
        replace(run, predictions=[one for one in run.predictions if one.category == "a" and one.id[-2:] in kept])
        for run in (make_run("a", 1.0), make_run("b", 0.0))
        for kept in [{f"{number:02}" for number in range(5)}]
    ]
    runs = [
        replace(
            one,
            manifest=one.manifest.model_copy(
                update={"dataset": one.manifest.dataset.model_copy(update={"n_images": 10})}
            ),
        )
        for one in few
    ]
    (group,) = make_board(runs).groups
    assert [(one.name, one.kind, one.rank) for one in group.entries] == [("a", "ranked", None), ("b", "ranked", None)]
    assert group.ranking.startswith("Too few images to rank")
    assert {group.place(one, "image_auroc") for one in group.entries} == {""}


def test_a_row_without_an_interval_is_not_ranked(make_run):
    """Nor is one whose predictions are missing, of other images, or give another value; the reason stands beside it."""
    runs = [make_run(name, value) for name, value in (("a", 0.9), ("b", 0.7), ("c", 0.5), ("d", 0.4), ("e", 0.3))]
    reason = {"interval": {}, "no_interval": {"image_auroc": "too few images"}}
    runs[1] = make_run("no interval", 0.7, mean=reason)
    runs[2] = replace(runs[2], predictions=[])
    runs[3] = replace(runs[3], predictions=[one.model_copy(update={"id": f"{one.id}x"}) for one in runs[3].predictions])
    runs[4] = replace(runs[4], predictions=runs[0].predictions)
    runs.append(make_run("f", 0.1))
    (group,) = make_board(runs).groups
    assert ranks(make_board(runs)) == [{"a": 1, "no interval": None, "c": None, "d": None, "e": None, "f": 2}]
    assert {one.name: one.reason for one in group.entries if one.kind == "apart"} == {
        "no interval": "Image AUROC: no interval: too few images",
        "c": "its predictions cannot be read; 'lvlm-ad leaderboard --verify' says why",
        "d": "its predictions are of other images than those of most rows",
        "e": "its predictions give another image AUROC than metrics.json; 'lvlm-ad leaderboard --verify' says more",
    }


def test_a_table_of_reference_rows_says_why_there_is_no_interval(make_run):
    """They are not ranked, so no row gives the reason; a table with an interval needs none."""
    reason = {"interval": {}, "no_interval": {"image_auroc": "too few images"}}
    runs = [make_run(name, 1.0, mean=reason, model={"frame": True}) for name in ("chance", "oracle")]
    assert make_board(runs).groups[0].ranking == "No interval of Image AUROC: too few images."
    assert make_board([*runs[:1], make_run("oracle", 1.0, model={"frame": True})]).groups[0].ranking == ""


def test_intervals_of_an_older_rule_are_not_used(make_run):
    """That of image AUROC follows from the predictions, for the mean and each category; other metrics have none."""
    run = make_run("a", 0.9)
    run.metrics["intervals"] = {"level": 0.95, "resamples": 1000}
    (entry,) = make_board([run]).groups[0].entries
    low, high = entry.intervals.pop("image_auroc")
    assert low < 0.9 < high
    assert (low, high) != (0.8, 1.0)
    assert (entry.kind, entry.intervals) == ("ranked", {})
    assert entry.category_intervals.keys() == {"a", "b"}
    (entry,) = make_board([run], "pixel_ap").groups[0].entries
    assert (entry.kind, entry.rank) == ("apart", None)
    assert "an older version measured it; run the same bench again" in entry.reason


def test_an_older_run_whose_predictions_have_one_class_has_no_interval(make_run):
    """Its AUROC cannot follow from them, so the row says that instead of ending the leaderboard."""
    run = make_run("a", 0.9)
    run.metrics["intervals"] = {"level": 0.95, "resamples": 1000}
    run = replace(run, predictions=[one.model_copy(update={"label": True}) for one in run.predictions])
    (entry,) = make_board([run]).groups[0].entries
    assert "no category of its predictions has good and defective images" in entry.reason


def test_what_costs_no_less_and_is_worse_for_sure_is_off_the_front(make_run):
    """A row that may be better, or is cheaper, may be on the front; a row of unknown cost has no place there."""
    runs = [make_run(name, value) for name, value in (("best", 0.9), ("near", 0.85), ("bad", 0.5), ("cheap", 0.4))]
    runs[3] = replace(runs[3], predictions=[one.model_copy(update={"cost_usd": 0.0}) for one in runs[3].predictions])
    unknown = make_run("unknown", 0.95)
    unknown = replace(unknown, predictions=[one.model_copy(update={"cost_usd": None}) for one in unknown.predictions])
    (group,) = make_board([*runs, unknown]).groups
    found = {one.name: one.may_be_on_front for one in group.entries}
    assert found == {"unknown": None, "best": True, "near": True, "bad": False, "cheap": True}
    chances = {one.name: one.front_probability for one in group.entries}
    assert chances["unknown"] is None
    assert chances["best"] > chances["near"] > chances["bad"] == 0 < chances["cheap"] == 1


def test_costs_count_images_that_were_asked_about(make_run):
    """Failed ones, too, but not those that nobody asked about; no cost of a point where AUROC may be chance."""
    answers = {"ok": 60, "failed": 10, "unasked": 10, "usable": 60}
    (entry,) = make_board([make_run("a", 0.9, answers=answers)]).groups[0].entries
    assert entry.usd_per_image == pytest.approx(0.5 / 70)
    points = [make_board([make_run("a", value)]).groups[0].entries[0].usd_per_point for value in (0.9, 0.55)]
    assert points == [pytest.approx(0.5 / 40), None]


@pytest.mark.parametrize(
    "other",
    [
        {"division": "e"},
        {"fingerprint": "g"},
        {"dataset": "mvtec"},
        {"prompt": "q"},
        {"protocol": {"binary": True}},
        {"protocol": {"shots": 2}},
        {"protocol": {"image_size": 256}},
    ],
    ids=str,
)
def test_other_conditions_are_another_table(make_run, other):
    """Another division, data set, prompt, painting, size or number of reference images is not ranked together."""
    board = make_board([make_run("a", 0.7), make_run("b", 0.9, whole=False, **other)])
    assert sorted(ranks(board), key=str) == [{"a": 1}, {"b": 1}]


def test_reference_rows_stand_in_every_table_of_their_division_unranked(make_run, make_reference_row):
    """They are asked nothing, and come after all measured rows, whatever their values."""
    oracle = make_reference_row("oracle", 1.0)
    board = make_board([oracle, make_run("a", 0.7), make_run("b", 0.8, prompt="q"), make_run("c", division="e")])
    assert sorted(ranks(board), key=str) == [{"a": 1, "oracle": None}, {"b": 1, "oracle": None}, {"c": 1}]
    assert list(ranks(board)[0])[-1] == "oracle"


def test_a_baseline_stands_in_the_table_of_every_prompt(make_run):
    """Through the same regions and with as many reference images."""
    baseline = make_run("clip", 0.6, prompt="")
    board = make_board([baseline, make_run("a", 0.7), make_run("b", 0.8, prompt="q")])
    assert ranks(board) == [{"a": (1, 2), "clip": (1, 2)}, {"b": 1, "clip": 2}]
    few = make_run("c", protocol={"shots": 2})
    assert sorted(ranks(make_board([baseline, few])), key=str) == [{"c": 1}, {"clip": 1}]


def test_own_maps_join_tables_with_as_many_reference_images(make_run, make_own_map):
    """Unranked, and in a table of their own if there is no such table; they do not decide its title."""
    zero, few = make_own_map("m0", 0.9), make_own_map("m2", protocol={"shots": 2})
    board = make_board([few, zero, make_run("a", 0.7)])
    assert ranks(board) == [{"m0 (dense)": None, "a": 1}, {"m2 (dense)": None}]
    assert board.groups[0].title == "demo: 80 images, 2 categories · superpixel division d · prompt class p"
    board = make_board([few, make_run("b", protocol={"shots": 2})])
    assert ranks(board) == [{"b": 1, "m2 (dense)": None}]
    assert board.groups[0].title.endswith("2 reference images")
    assert "own anomaly map" in notes(board)["m2 (dense)"]


def test_conditions_that_vary_one_thing_are_named(make_run, make_own_map):
    """The title names what is not as usual; another set of reference images is another table, for baselines too."""
    changes = {"numbering": 2, "withhold": "name", "visual": "image"}
    for at, (name, value) in enumerate(changes.items()):
        board = make_board([make_run("a"), make_run("b", protocol={name: value}, prompt=f"q{at}")])
        titles = [group.title.rpartition(" · ")[2] for group in board.groups]
        assert titles == ["prompt class p", f"{name}={value}"]
    again = make_board([make_run("a"), make_run("b", protocol={"repeat": 1})])
    assert len(again.groups) == 1
    sets = [{"shots": 2}, {"shots": 2, "reference_set": 1}]
    runs = [make_run("a", protocol=sets[0]), make_own_map("m", protocol=sets[0]), make_own_map("n", protocol=sets[1])]
    usual, other = make_board(runs).groups
    assert usual.title.endswith("2 reference images")
    assert other.title.endswith("2 reference images · reference_set=1")


@pytest.mark.parametrize(
    ("changes", "verified", "why"),
    [
        ({"model": {"sees_truth": True}}, False, "given the ground truth"),
        ({"answers": {"failed": 1}}, False, "run the same command again"),
        ({"answers": {"refused": 3}, "on_failure": "exclude", "mean": {"n_measured": 7}}, False, "on 7 of 80 images"),
        ({"protocol": {"scoring": "expected"}}, True, "cannot be verified"),
    ],
)
def test_rows_that_cannot_be_compared_are_not_ranked(make_run, changes, verified, why):
    """Methods that see the truth, missing answers, left-out images, and scores that cannot be recomputed."""
    board = make_board([make_run("a", 0.7), make_run("b", 0.9, **changes)], verified=verified)
    assert ranks(board) == [{"b": None, "a": 1}]
    assert why in notes(board)["b"]


def test_an_undefined_metric_is_not_ranked(make_run):
    """A row without the sorting metric is shown last, without a rank."""
    board = make_board([make_run("a", mean={"image_auroc": None}), make_run("b", 0.4)])
    assert list(ranks(board)[0].items()) == [("b", 1), ("a", None)]


def test_sorting_by_another_metric(make_run):
    """Any of the seven metrics may rank, by resamples of the images; a wrong name is answered with the nearest."""
    runs = [make_run("a", 0.9, mean={"image_ap": 0.4}), make_run("b", 0.4, mean={"image_ap": 0.9})]
    assert ranks(make_board(runs, "image_ap")) == [{"b": 1, "a": 2}]
    with pytest.raises(ConfigError, match=r"Did you mean .*'pixel_aupro'"):
        make_board(runs, "pixel_aupr")


def test_rows_with_one_name_say_in_which_options_they_differ(make_run):
    """Their names end with their hashes; options that agree are not mentioned."""
    one = make_run("w", model={"identity": {"variant": "paper", "weights": "0" * 64, "tau": 1}})
    other = make_run("w", model={"identity": {"variant": "zqhang", "weights": "1" * 64, "tau": 1}})
    assert notes(make_board([one, other])) == {
        f"w #{one.manifest.config_hash[:6]}": f"variant paper, weights {'0' * 24}",
        f"w #{other.manifest.config_hash[:6]}": f"variant zqhang, weights {'1' * 24}",
    }


def test_notes_say_what_is_missing(make_run):
    """Failures and the range that they leave, and prompts that are not alike."""
    asked = {"zero_knowledge": False, "with_schema": False}
    answers = {"ok": 7, "refused": 1, "failed": 2, "usable": 7}
    run = make_run("a", 0.7, answers=answers, mean={"range": {"image_auroc": [0.6, 0.81]}}, asked=asked)
    text = notes(make_board([run]))["a"]
    for part in ("1 refused, 2 failed", "between 60.0 and 81.0", "not zero-knowledge", "not given the JSON schema"):
        assert part in text
    undefined = make_run("a", mean={"image_auroc": None, "range": {"image_auroc": [0.6, 0.81]}})
    assert "between" not in notes(make_board([undefined]))["a"], "the range of an undefined metric"


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({"ok": 8, "partial": 2, "usable": 10}, ""),
        ({"ok": 7, "refused": 3, "usable": 7}, "3 of 10 images have no usable answer: 3 refused"),
        (
            {"ok": 2, "refused": 3, "truncated": 5, "usable": 6},
            "4 of 10 images have no usable answer: 3 refused, 5 truncated (4 of these 8 have a score)",
        ),
        ({"ok": 8, "truncated": 2, "usable": 10}, "2 truncated, but with a score"),
    ],
)
def test_outcomes_in_words(make_run, answers, text):
    """The note of a row and the end of a bench say the same; an answer that was cut off may have a score."""
    assert outcomes({"total": 10, **answers}) == text
    assert notes(make_board([make_run("a", answers={"total": 10, **answers})])) == {"a": text}


def test_expected_scores_are_marked(make_run):
    """Rows of both scorings are ranked together; the note says how many scores are expected values."""
    expected = {"protocol": {"scoring": "expected"}}
    whole = make_run("a", 0.7, scores={"total": 20, "expected": 20}, **expected)
    part = make_run("b", 0.8, scores={"total": 20, "expected": 15}, **expected)
    board = make_board([whole, part, make_run("c", 0.9)])
    assert ranks(board) == [{"c": (1, 2), "b": (1, 3), "a": (2, 3)}]
    assert notes(board) == {
        "a": "scores are expected values",
        "b": "scores are expected values (15 of 20; the others as written)",
        "c": "",
    }


def test_published_rows_appear_with_their_source(make_run):
    """Last and unranked, on whole test splits of MVTec AD and VisA only."""
    (group,) = make_board([make_run("a", 0.99, dataset="mvtec")]).groups
    assert [entry.kind for entry in group.entries] == ["ranked", *["published"] * 12]
    assert group.entries[1].name == "AnomalyVFM (RADIO)"
    gpt = next(entry for entry in group.entries if entry.name == "GPT-4V-AD")
    assert gpt.metrics["image_auroc"] == pytest.approx(0.771)
    assert gpt.notes == ("published, not measured here", "Zhang et al., arXiv 2311.02612")
    trained = next(entry for entry in group.entries if entry.name == "AnomalyCLIP")
    assert trained.notes == ("published, not measured here", "VisualAD, CVPR 2026, trained on visa")
    assert {entry.rank for entry in group.entries[1:]} == {None}
    assert [text.partition(":")[0] for text in group.sources][:2] == [
        "Zhang et al., arXiv 2311.02612",
        "Jeong et al., CVPR 2023",
    ]
    assert [len(make_board([make_run("b", **of)]).groups[0].entries) for of in ({}, {"whole": False})] == [1, 1]


def test_no_run_replaces_another(make_run):
    """Whoever adds a run with a rival's configuration stands beside it, and both notes say so."""
    first, second = make_run("a", 0.9), make_run("a", 0.5)
    update = {"config_hash": first.manifest.config_hash, "started": "2026-02-01T00:00:00+00:00"}
    second = replace(second, manifest=second.manifest.model_copy(update=update))
    (group,) = make_board([second, first]).groups
    for entry, run, auroc in zip(group.entries, (first, second), (0.9, 0.5), strict=True):
        assert entry.metrics["image_auroc"] == auroc
        assert entry.notes[0] == f"one of 2 runs with the same configuration: {run.dir.name}"


def test_titles_tell_tables_apart(make_run):
    """Two parts of a data set with as many images differ by their hashes; an unusual image size is mentioned."""
    board = make_board([make_run("a", fingerprint="1" * 64), make_run("b", fingerprint="2" * 64)])
    assert [group.title.rpartition(" · ")[2] for group in board.groups] == ["images 11111111", "images 22222222"]
    (group,) = make_board([make_run("a", protocol={"image_size": 256})]).groups
    assert "256 x 256 pixels" in group.title


def test_rows_stand_in_sections(make_run, make_reference_row, make_own_map):
    """Ranked rows first, then those without a rank, reference rows and published ones, each under a heading."""
    runs = [make_reference_row("oracle", 1.0, dataset="mvtec"), make_run("a", 0.2, dataset="mvtec")]
    (group,) = make_board([*runs, make_own_map("d", 0.9, dataset="mvtec")]).groups
    sections = [(heading, [entry.kind for entry in entries]) for heading, entries in group.sections()]
    assert sections == [
        ("", ["ranked"]),
        ("not ranked", ["apart"]),
        ("reference rows", ["frame"]),
        ("published", ["published"] * 12),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": {"row": "dense"}, "prompt": "", "division": ""}, "own anomaly map, not scored by region"),
        ({"mean": {"image_auroc": None}}, "its Image AUROC is undefined"),
        ({"answers": {"unasked": 2}}, "some images were not answered; run the same command again to ask for them"),
        ({"model": {"sees_truth": True}}, "it is given the ground truth"),
    ],
)
def test_a_row_without_a_rank_stands_below_with_its_reason(make_run, changes, reason):
    """However good it is; it is neither best nor second."""
    (group,) = make_board([make_run("b", **{"auroc": 0.9} | changes), make_run("a", 0.2), make_run("c", 0.1)]).groups
    _, last = group.rows()[-1]
    assert (last.kind, last.rank, last.reason, last.notes[0]) == ("apart", None, reason, reason)
    assert {group.place(last, metric) for metric in METRIC_NAMES} == {""}
    assert group.place(group.sections()[0][1][0], "image_ap") == "best"


def test_metrics_undefined_for_the_same_categories_are_one_note(make_run):
    """Several reasons stand in one note, and one reason of several metrics stands once."""
    where, other = "undefined in 2 of 2 categories (a, b)", "mean of the other 1; undefined in 1 of 2 categories (b)"
    undefined = {
        "image_auroc": f"{where}: no image is normal",
        "image_ap": f"{where}: no image is anomalous",
        "pixel_ap": f"{where}: no image is anomalous",
        "pixel_aupro": f"{other}: 3 of 9 images have no ground-truth mask",
    }
    text = notes(make_board([make_run("a", mean={"undefined": undefined})]))["a"]
    assert text == f"{where}: no image is normal, no image is anomalous; pixel metrics: {undefined['pixel_aupro']}"


@pytest.mark.parametrize("blank", ["", "   ", "\u00a0"])
def test_a_blank_name_is_shown_as_words(make_run, blank):
    """In tables, with its label, and as the title of its page; a run may be a stranger's."""
    runs = [make_run(blank, 0.9), make_run(blank, 0.8, model={"label": "b"})]
    names = [entry.name for group in make_board(runs).groups for entry in group.entries]
    assert names == ["(no name)", "(no name) (b)"]
    assert [model_title(run.manifest) for run in runs] == names
