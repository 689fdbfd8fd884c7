"""Two runs compared: paired, honest about doubt, and refused where a difference would mean nothing."""

import csv
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from lvlm_ad.cli.terminal import print_comparison
from lvlm_ad.compare import adjusted, compare_runs
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.evaluate.images import Images
from lvlm_ad.evaluate.measure import measure_category
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.leaderboard.comparison_table import csv_text, tex
from lvlm_ad.metrics import count_cells
from lvlm_ad.metrics.histograms import histogram_of_cells
from lvlm_ad.metrics.shapes import SHAPE_METRICS
from lvlm_ad.report.run_pages import write_comparison
from lvlm_ad.runs import METRIC_NAMES, Manifest, PredictionRecord, Run, read_run, write_run

CATEGORIES = ("bolt", "nut")


@pytest.fixture
def make_run(tmp_path):
    """Make a run of 40 images in 4 x 4 cells, whose scores rise with the defect by ``skill``."""

    def make(name, skill, seed=0, **changes):
        draw = np.random.default_rng(seed)
        records, results, histograms = [], {}, []
        for category in CATEGORIES:
            truth = np.random.default_rng(CATEGORIES.index(category))
            images = Images()
            for index in range(20):
                label = index >= 8
                mask = np.zeros((16, 16), dtype=bool)
                if label:
                    row, column = truth.integers(0, 12, 2)
                    mask[row : row + 4, column : column + 4] = True
                cells = np.repeat(np.repeat(np.arange(16).reshape(4, 4), 4, axis=0), 4, axis=1)
                counts = count_cells(cells, mask, 16)
                share = np.bincount(counts.cell, counts.pixels, 16) / 16
                values = np.clip(draw.random(16) / 2 + skill * share, 0, 1)
                score = float(np.clip(draw.random() / 2 + skill * label, 0, 1))
                images.add(label, score, histogram_of_cells(counts, values))
                records.append(record(f"{category}/{index:03}", category, label, score))
            found = measure_category(images, "zero", category, 200)
            results[category] = found
            histograms += found.histograms
        facts = {
            "config_hash": f"{seed:064x}",
            "model": {
                "name": name,
                "kind": changes.pop("kind", "backend"),
                "plugin": "openai",
                "identity": {"model": changes.pop("identity", name)},
                "row": "regions",
                "price": {},
            },
            "dataset": {
                "name": "folder",
                "fingerprint": changes.pop("fingerprint", "f"),
                "n_images": 40,
                "categories": list(CATEGORIES),
                "whole": True,
                "notes": [],
            },
            "protocol": {
                "image_size": changes.pop("image_size", 768),
                "shots": changes.pop("shots", 0),
                **changes.pop("protocol", {}),
            },
            "division": {"method": "grid", "options": {}, "hash": changes.pop("division", "d")},
            "prompt": {"name": "class", "hash": changes.pop("prompt", "p")},
            "method": changes.pop("method", {}),
            "on_failure": changes.pop("on_failure", "zero"),
            "seed": 0,
            "versions": {},
            "started": "2026-01-01T00:00:00+00:00",
            "seconds": 1.0,
        }
        assert not changes
        metrics = {
            "mean": summary(results),
            "categories": {category: one.metrics for category, one in results.items()},
            "answers": {"total": 40, "usable": 40},
            "usage": {"input_tokens": None, "output_tokens": None, "cost_usd": 0.0, "seconds": 1.0},
        }
        return Run(tmp_path / f"{name}-{seed}", Manifest.model_validate(facts), metrics, records, histograms)

    return make


def record(sample_id, category, label, score, status="ok"):
    return PredictionRecord(
        id=sample_id,
        category=category,
        label=label,
        defect="hole" if label else "good",
        image_score=score,
        regions={},
        n_regions=16,
        status=status,
        notes=[],
        key="",
        text="",
        input_tokens=None,
        output_tokens=None,
        cost_usd=None,
        seconds=0.0,
        division="d",
    )


def test_a_run_does_not_differ_from_itself(make_run):
    """Every difference is 0, from 0 to 0, with p = 1; no image is ranked differently; that it is one run is said."""
    run = make_run("a", 0.3)
    found = compare_runs(run, run)
    assert found.notes[0] == "a run is compared with itself: every difference is 0"
    assert not any("itself" in note for note in compare_runs(run, make_run("b", 0.3)).notes)
    for one in [*found.mean.values(), *(one for metrics in found.categories.values() for one in metrics.values())]:
        assert (one.difference, one.interval, one.p_value) == (0, (0, 0), 1)
    assert all(image.placements[0] == image.placements[1] for image in found.images)
    assert found.names == ("a #000000", "a #000000")


def part_of(run, chosen):
    """The run with these of each category's 20 images alone: 8 good ones, then 12 defective."""
    chosen = [at for at in range(40) if at % 20 in chosen]
    dataset = run.manifest.dataset.model_copy(update={"n_images": len(chosen)})
    records, histograms = ([of[at] for at in chosen] for of in (run.predictions, run.histograms))
    manifest = run.manifest.model_copy(update={"dataset": dataset})
    return replace(run, manifest=manifest, predictions=records, histograms=histograms)


@pytest.mark.parametrize(
    ("chosen", "image", "pixel"),
    [
        ([7, *range(8, 20)], "fewer than 2 good or 2 defective images", ""),
        ([0, 1, 2, 8], "fewer than 2 good or 2 defective images", "fewer than 3 images with a defect"),
        ([6, 7, 8, 9], "", "fewer than 3 images with a defect"),
        (range(20), "", ""),
    ],
)
def test_a_missing_interval_is_explained(make_run, chosen, image, pixel):
    """By what there are too few of: images of a kind, or images with a defect. There is no p-value either."""
    ours, theirs = part_of(make_run("a", 0.3), chosen), part_of(make_run("b", 0.1, seed=1), chosen)
    found = compare_runs(ours, theirs)
    for metric, reason in (("image_auroc", image), ("image_ap", image), ("pixel_ap", pixel)):
        for one in (found.mean[metric], found.categories["bolt"][metric]):
            assert one.reason.endswith(reason)
            assert (one.interval is None) == (one.p_value is None) == (one.p_adjusted is None) == bool(reason)
    said = [note for note in found.notes if " interval: " in note or "no interval" in note]
    assert len(said) == len({image, pixel} - {""})
    assert all(any(note.endswith(reason) for note in said) for reason in {image, pixel} - {""})


def test_an_undefined_metric_is_explained(make_run):
    """By the reason that a run gives for it; there is no difference then."""
    run = make_run("a", 0.3)
    categories = {name: {**one, "pixel_ap": None} for name, one in run.metrics["categories"].items()}
    mean = {**run.metrics["mean"], "pixel_ap": None, "undefined": {"pixel_ap": "undefined in 2 of 2 categories"}}
    found = compare_runs(
        replace(run, metrics={**run.metrics, "categories": categories, "mean": mean}), make_run("b", 0.1)
    )
    assert found.mean["pixel_ap"].difference is None
    assert "Pixel AP: undefined in 2 of 2 categories" in found.notes


def test_few_images_are_noted(make_run):
    """With fewer than five of a kind, a note says so."""
    few = [part_of(make_run(name, 0.3, seed), [0, 1, 2, 3, *range(8, 20)]) for seed, name in enumerate("ab")]
    assert "few images in bolt, nut: even a perfect value does not exclude chance there" in compare_runs(*few).notes
    assert not any("few images" in note for note in compare_runs(make_run("a", 0.3), make_run("b", 0.1, 1)).notes)


def test_a_mean_that_leaves_out_a_category_says_so(make_run):
    """By the reason that the runs give for it."""
    runs = [make_run("a", 0.3), make_run("b", 0.1, seed=1)]
    reason = "mean of the other 1; undefined in 1 of 2 categories (nut): no image is normal"
    for run in runs:
        run.metrics["categories"]["nut"]["image_auroc"] = None
        run.metrics["mean"]["undefined"] = {"image_auroc": reason}
    found = compare_runs(*runs)
    assert found.mean["image_auroc"].difference is not None
    assert f"Image AUROC: {reason}" in found.notes


def test_copies_of_a_run_are_said(make_run, tmp_path):
    """A run that was copied to another folder is no second run; the same bench done again is one."""
    run = make_run("a", 0.3)
    copy = replace(run, dir=tmp_path / "copy")
    assert compare_runs(run, copy).notes[0] == "the two folders are copies of one run: every difference is 0"
    again = replace(copy, manifest=run.manifest.model_copy(update={"started": "2026-01-02T00:00:00+00:00"}))
    assert compare_runs(run, again).notes == ()


def test_a_better_run_is_found_better(make_run):
    """With much more skill every metric is higher, surely so; the other way round everything has the other sign."""
    strong, weak = make_run("strong", 0.45, seed=1), make_run("weak", 0.02, seed=2)
    found, other = compare_runs(strong, weak), compare_runs(weak, strong)
    for name in METRIC_NAMES:
        one = found.mean[name]
        assert one.difference == pytest.approx(strong.metrics["mean"][name] - weak.metrics["mean"][name])
        assert 0 < one.interval[0] < one.difference
        assert one.p_value < 0.05
        assert other.mean[name].difference == pytest.approx(-one.difference)
        assert other.mean[name].interval == pytest.approx([-end for end in reversed(one.interval)])


def test_p_values_agree_with_intervals(make_run):
    """A p-value is below 0.05 exactly where the interval excludes 0, for every metric of runs of unlike skill."""
    seen = set()
    for skill in (0.1, 0.2, 0.3, 0.45):
        found = compare_runs(make_run("a", skill, seed=5), make_run("b", 0.1, seed=6))
        for one in [*found.mean.values(), *(one for metrics in found.categories.values() for one in metrics.values())]:
            excludes = one.interval[0] > 0 or one.interval[1] < 0
            assert (one.p_value < 0.05) == excludes
            assert one.interval[0] < one.interval[1]
            seen.add(excludes)
    assert seen == {True, False}


def test_many_tests_are_adjusted(make_run):
    """Categories count as tests of one metric, and so do the runs that the first is compared with."""
    first, *others = (
        make_run(name, skill, seed) for seed, (name, skill) in enumerate([("a", 0.4), ("b", 0.2), ("c", 0.3)])
    )
    pair = [compare_runs(first, other) for other in others]
    small, large = sorted(of["image_auroc"].p_value for of in pair[0].categories.values())
    after = sorted(of["image_auroc"].p_adjusted for of in pair[0].categories.values())
    assert after == pytest.approx([min(1, 2 * small), max(2 * small, large)])
    assert pair[0].mean["image_auroc"].p_adjusted == pair[0].mean["image_auroc"].p_value
    small, large = sorted(one.mean["image_auroc"].p_value for one in pair)
    after = sorted(one.mean["image_auroc"].p_adjusted for one in adjusted(pair))
    assert after == pytest.approx([min(1, 2 * small), max(2 * small, large)])


def test_perfect_against_worst_is_sure_as_far_as_there_are_images(make_run):
    """The difference is 1, its interval has a width and ends at 1, and a mean of two categories is surer than one."""
    ours, theirs = make_run("a", 0.3), make_run("b", 0.3, seed=1)
    runs = []
    for run, right in ((ours, True), (theirs, False)):
        records = [record(one.id, one.category, one.label, float(one.label == right)) for one in run.predictions]
        metrics = {name: {**of, "image_auroc": float(right)} for name, of in run.metrics["categories"].items()}
        runs.append(replace(run, predictions=records, metrics={**run.metrics, "categories": metrics}))
    found = compare_runs(*runs)
    mean, bolt = found.mean["image_auroc"], found.categories["bolt"]["image_auroc"]
    assert mean.difference == mean.interval[1] == 1
    assert 0 < bolt.interval[0] < mean.interval[0] < 1


def test_images_are_named_where_ranks_differ_most(make_run):
    """An image that one run scores far off comes first, with both scores and places."""
    run = make_run("a", 0.3)
    records = list(run.predictions)
    records[15] = record(records[15].id, "bolt", label=True, score=0.0)
    found = compare_runs(run, replace(run, predictions=records))
    worst = found.images[0]
    assert worst.id == "bolt/015"
    assert worst.scores == (run.predictions[15].image_score, 0.0)
    assert worst.placements[0] > worst.placements[1] == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "g"}, "they did not measure the same images"),
        ({"image_size": 512}, "one measured images at 768 x 768 pixels, the other at 512 x 512 pixels"),
        ({"division": "e"}, r"not only the model differs but also division \(d and e\)"),
        ({"prompt": "q"}, "but also prompt"),
        ({"shots": 2}, "but also shots"),
    ],
)
def test_what_is_not_comparable_is_refused(make_run, changes, message):
    """Other images, another size, or a second difference beside the model."""
    with pytest.raises(RunError, match=message):
        compare_runs(make_run("a", 0.3), make_run("b", 0.3, **changes))


def test_other_categories_are_other_images(make_run):
    """Runs whose images have the same names, but lie in other categories, are not compared."""
    one, other = make_run("a", 0.3), make_run("b", 0.3, seed=1)
    renamed = [image.model_copy(update={"category": f"{image.category} 2"}) for image in other.predictions]
    with pytest.raises(RunError, match="they did not measure the same images"):
        compare_runs(one, replace(other, predictions=renamed))


def test_one_difference_may_be_other_than_the_model(make_run):
    """The same model under two prompts is compared and says so; two models only if the user insists."""
    one, other = make_run("a", 0.3), make_run("a", 0.3, seed=3, prompt="q")
    assert compare_runs(one, other).notes == ("they differ in prompt (p and q)",)
    other = make_run("b", 0.3, seed=3, prompt="q")
    assert compare_runs(one, other, across_conditions=True).notes == ("they differ in prompt (p and q)",)


def test_conditions_recorded_only_where_unusual_are_compared(make_run):
    """A run that does not mention them had the usual ones; repeats of one question are no difference."""
    usual = make_run("a", 0.3)
    for protocol, words in (
        ({"numbering": 1}, "numbering (0 and 1)"),
        ({"withhold": "image"}, "withhold (nothing and image)"),
    ):
        other = make_run("a", 0.3, seed=3, protocol=protocol)
        assert compare_runs(usual, other).notes == (f"they differ in {words}",)
    assert compare_runs(usual, make_run("a", 0.3, seed=3, protocol={"repeat": 2})).notes == ()
    one, other = (make_run("a", 0.3, seed=seed, protocol={"shots": 1, **more}) for seed, more in SETS)
    assert compare_runs(one, other).notes == ("they differ in reference_set (0 and 2)",)


SETS = ((0, {}), (3, {"reference_set": 2}))
"""Seeds of two runs, and the set of reference images that each names."""


def test_methods_of_one_model_are_compared(make_run):
    """The note names both methods; a missing division is no difference; other usual sizes are explained."""
    boxes = {"name": "boxes", "options": {"scored": True}, "convention": {"name": "qwen3_1000"}, "places": "boxes"}
    one, other = make_run("a", 0.3, seed=1, method=boxes, division=""), make_run("a", 0.3)
    assert compare_runs(one, other).notes == ("they differ in method (boxes (scored), qwen3_1000 and regions)",)
    assert compare_runs(one, other).names == ("a (boxes)", "a")
    assert compare_runs(one, make_run("chance", 0.3, kind="baseline", prompt="")).notes == ()
    with pytest.raises(RunError, match="run both with the same --set image_size=N"):
        compare_runs(make_run("a", 0.3, method=boxes, image_size=896), other)


def test_unanswered_questions_are_no_result(make_run):
    """A run with failed questions is refused: a difference would measure the network."""
    run = make_run("a", 0.3)
    failed = replace(run, predictions=[record("bolt/000", "bolt", False, None, "failed"), *run.predictions[1:]])
    with pytest.raises(RunError, match=r"1 of 40 questions were not answered.*same bench command"):
        compare_runs(run, failed)


def test_runs_must_leave_out_the_same_images(make_run):
    """Where unusable answers are left out, both must lack the same ones."""
    one, other = make_run("a", 0.3, on_failure="exclude"), make_run("b", 0.3, on_failure="exclude")
    assert compare_runs(one, other).mean["image_auroc"].difference == 0
    refused = record("bolt/000", "bolt", label=False, score=None, status="refused")
    other = replace(other, predictions=[refused, *other.predictions[1:]])
    with pytest.raises(RunError, match="leave out different images"):
        compare_runs(one, other)


def test_a_run_of_an_older_version_has_no_pixel_intervals(make_run):
    """Without pixel counts, pixel metrics are compared by their values alone; image metrics as ever."""
    one, other = make_run("a", 0.3), make_run("b", 0.1, seed=1)
    found = compare_runs(one, replace(other, histograms=None))
    assert found.mean["pixel_auroc"].interval is None
    assert found.mean["pixel_auroc"].difference == pytest.approx(
        one.metrics["mean"]["pixel_auroc"] - other.metrics["mean"]["pixel_auroc"]
    )
    assert found.mean["image_auroc"].interval is not None
    assert any("older version" in note for note in found.notes)


def test_runs_read_from_disk_compare_alike(make_run):
    """What was written and read gives the very same numbers; damaged pixel counts are told."""
    runs = [make_run("a", 0.3), make_run("b", 0.2, seed=1)]
    for run in runs:
        write_run(run)
    again = [read_run(run.dir) for run in runs]
    assert compare_runs(*again) == compare_runs(*runs)
    with pytest.raises(RunError, match="read the run with them"):
        compare_runs(read_run(runs[0].dir, predictions=False), again[1])
    with pytest.raises(ConfigError, match="50 resamples or more, not 0"):
        compare_runs(*again, 0)


@pytest.fixture
def boxes_run(make_run):
    """A run whose answers are boxes: each image has an IoU or a false alarm."""

    def make(name, ious, seed=0, places="boxes"):
        run = make_run(name, 0.3, seed=seed)
        draw = np.random.default_rng(seed)
        records = []
        for record in run.predictions:
            iou = float(ious[len(records)])
            measures = (
                {"iou_box": iou, "iou_mask": iou / 2} if record.label else {"false_alarm": float(draw.random() < 0.2)}
            )
            if record.label and places == "points":
                measures |= {"n_places": 2.0, "n_components": 1.0, "point_hit": 0.5, "found": 1.0}
            records.append(record.model_copy(update={"measures": measures}))
        method = run.manifest.method.model_copy(update={"name": places, "places": places})
        return replace(run, manifest=run.manifest.model_copy(update={"method": method}), predictions=records)

    return make


def test_metrics_of_shapes_are_compared_image_by_image(boxes_run):
    """Differences of means, of each category and over all, with intervals that know which images are hard."""
    ious = np.random.default_rng(3).random(40)
    ours, theirs, shuffled = boxes_run("a", ious), boxes_run("b", 0.8 * ious, 1), boxes_run("c", 0.8 * ious[::-1], 2)
    found = compare_runs(ours, theirs, across_conditions=True)
    labels = np.array([record.label for record in ours.predictions])
    by_category = [0.2 * ious[part][labels[part]].mean() for part in (slice(20), slice(20, 40))]
    assert found.mean["miou_box"].difference == pytest.approx(np.mean(by_category))
    assert found.categories["bolt"]["miou_box"].difference == pytest.approx(by_category[0])
    assert found.mean["miou_box"].interval[0] > 0
    assert found.mean["miou_box"].p_value < 0.05
    other = compare_runs(ours, shuffled, across_conditions=True).mean["miou_box"]
    assert np.ptp(other.interval) > np.ptp(found.mean["miou_box"].interval)
    assert found.mean["false_alarms"].p_adjusted is not None
    assert all(one.difference == 0 for one in compare_runs(ours, ours).mean.values())


def test_only_common_metrics_of_shapes_are_compared(boxes_run, make_run):
    """Boxes and points have no point hits in common; boxes and regions have no metrics of shapes in common."""
    ious = np.linspace(0, 1, 40)
    boxes, points, regions = boxes_run("a", ious), boxes_run("b", ious, 1, "points"), make_run("c", 0.2, seed=2)
    metrics = set(compare_runs(boxes, points, across_conditions=True).mean)
    assert metrics == {*METRIC_NAMES, *SHAPE_METRICS}
    assert set(compare_runs(points, points).mean) == {*METRIC_NAMES, *SHAPE_METRICS, "point_hit", "found"}
    assert set(compare_runs(boxes, regions, across_conditions=True).mean) == set(METRIC_NAMES)
    together = adjusted([compare_runs(boxes, one, across_conditions=True) for one in (points, regions)])
    assert together[0].mean["miou_box"].p_adjusted is not None


def test_a_metric_of_shapes_that_one_run_lacks_has_no_difference(boxes_run):
    """Where no ground truth shows a defect there is no IoU; a mean covers the other categories."""
    ours, theirs = (boxes_run(name, np.linspace(0, 1, 40), seed) for seed, name in enumerate("ab"))
    hidden = [
        one.model_copy(update={"measures": {}}) if one.label and one.category == "nut" else one
        for one in theirs.predictions
    ]
    found = compare_runs(ours, replace(theirs, predictions=hidden), across_conditions=True)
    nut, bolt = (found.categories[name]["miou_mask"] for name in ("nut", "bolt"))
    assert nut.first is not None
    assert (nut.second, nut.difference, nut.interval) == (None, None, None)
    assert (found.mean["miou_mask"].first, found.mean["miou_mask"].difference) == (bolt.first, 0)


def test_every_form_shows_the_metrics_of_shapes(boxes_run, make_run, tmp_path):
    """Terminal, CSV, LaTeX and page have the differences of boxes; beside a run of regions they are blank."""
    ious = np.random.default_rng(3).random(40)
    ours, theirs, regions = boxes_run("a", ious), boxes_run("b", 0.8 * ious, 1), make_run("c", 0.2, seed=2)
    pairs = [compare_runs(ours, other, across_conditions=True) for other in (theirs, regions)]
    texts = []
    for one in pairs:
        terminal = Console(file=StringIO(), width=200)
        print_comparison(one, terminal, 0)
        texts.append(terminal.file.getvalue())
    assert "miou_box" in texts[0]
    assert "miou" not in texts[1]
    found = pairs[0].mean["miou_box"].difference
    lines = list(csv.DictReader(StringIO(csv_text(pairs, "miou_box"))))
    assert [line["difference"] for line in lines if line["category"] == "mean"] == [str(found), ""]
    assert {line["metric"] for line in csv.DictReader(StringIO(csv_text(pairs)))} == {*METRIC_NAMES, *SHAPE_METRICS}
    assert f"+{100 * found:.1f}" in tex(pairs[:1], "miou_box")
    page = write_comparison([ours, theirs, regions], tmp_path / "page", across_conditions=True, pictures=False)
    assert page.read_text().count("mIoU (boxes)") == 2
