"""Thresholds in a bench: which images are asked besides the test images, what is stored, and what can be verified."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import lvlm_ad
from lvlm_ad.cli.decision_lines import decision_lines
from lvlm_ad.errors import ConfigError, DataError, RunError
from lvlm_ad.evaluate import RunConfig, resolve
from lvlm_ad.evaluate.decide import DecisionSettings, decide
from lvlm_ad.evaluate.verify import verify_run, verify_runs
from lvlm_ad.runs import PredictionRecord, read_run
from lvlm_ad.runs.run import THRESHOLD_FILE

COSTS = {"cost_miss": 100, "cost_false_alarm": 2, "cost_check": 3, "prevalence": 0.01}


@pytest.fixture(scope="session")
def referenced(red, grid, kept_data, tmp_path_factory):
    """A run with thresholds from references and prices; tests leave its folder as it is."""
    config = {"data": kept_data, "settings": grid, "out": tmp_path_factory.mktemp("referenced"), "resamples": 50}
    runs = lvlm_ad.bench(models=red, reference_rows=False, threshold="conformal:0.25", **COSTS, **config)
    return runs.named("red")


@pytest.fixture
def measured(red, grid, kept_data, referenced, tmp_path):
    """Bench the baseline on the small data set; options are fields of ``RunConfig``."""
    out = tmp_path / "runs"
    out.mkdir()
    # Dividing images starts processes, which takes a second.
    shutil.copy(referenced.dir.parent / "cache.sqlite", out)

    def run(**options):
        config = {"models": red, "data": kept_data, "out": out, "settings": grid, "resamples": 0, **options}
        return lvlm_ad.bench(reference_rows=False, **config).named("red")

    return run


def made(category, scores, label):
    """Records of one kind of image with these scores; None is an answer that was refused."""
    return [
        PredictionRecord(
            id=f"{category}/{label}/{index}",
            category=category,
            label=label,
            defect="bent" if label else "good",
            image_score=score,
            status="refused" if score is None else "ok",
        )
        for index, score in enumerate(scores)
    ]


def decided(threshold, records, others=(), **options):
    """Decide as a bench would."""
    metrics = {"usage": {"cost_usd": 0.0}, "answers": {"total": len(records)}}
    choice = lvlm_ad.decisions.parse_threshold(threshold)
    return decide(DecisionSettings.of(RunConfig(**options), choice, metrics), records, others)


def test_every_run_has_decisions_at_one_half(finished):
    """Without an option the threshold is 0.5, and a score of 0.5 alarms; nothing else is asked."""
    run = finished.named("oracle")
    decisions = run.metrics["decisions"]
    assert (decisions["threshold"], decisions["kind"]) == ("0.5", "fixed")
    assert decisions["pooled"]["tp"] + decisions["pooled"]["fn"] == 6
    assert decisions["mean"]["balanced_accuracy"] == 1.0
    assert not (run.dir / THRESHOLD_FILE).exists()
    assert "cost" not in decisions


def test_references_are_asked_kept_and_verified(referenced, tmp_path):
    """Good training images get predictions of their own; the decisions follow from the files of the run."""
    run, back = referenced, read_run(referenced.dir)
    assert [record.id for record in back.threshold_records] == [
        f"{category}/train/{name}" for category in ("bolt", "nut1") for name in order(run, category)
    ]
    assert all(record.image_score is not None and not record.label for record in back.threshold_records)
    for category, entry in run.metrics["decisions"]["categories"].items():
        references = [one.image_score for one in back.threshold_records if one.category == category]
        assert entry["threshold"] == max(references)
        assert (entry["strict"], entry["guarantee"], entry["n_chosen_from"]) == (True, 0.25, 3)
    assert run.metrics["decisions"]["cost"]["prices"]["model"] == 0.0
    assert verify_runs([run]) == ([run], [])
    forged = back.threshold_records[0].model_copy(update={"image_score": 0.9})
    assert verify_run(replace(back, threshold_records=[forged, *back.threshold_records[1:]]))
    copy = shutil.copytree(run.dir, tmp_path / "copy")
    (copy / THRESHOLD_FILE).write_text("{}\n")
    with pytest.raises(RunError, match=r"threshold\.jsonl"):
        read_run(copy)


def order(run, category):
    """The references of a category in the order of their records."""
    return [one.id.rpartition("/")[2] for one in run.threshold_records if one.category == category]


@pytest.mark.slow
def test_the_choice_changes_no_hash_and_no_metric(measured):
    """Another threshold is the same run: the same folder, metrics and predictions; stale references go away."""
    first = measured(threshold="reference:0.5")
    second = measured(threshold="0.3")
    assert second.dir == first.dir
    assert not (second.dir / THRESHOLD_FILE).exists()
    assert second.metrics["mean"] == first.metrics["mean"]
    assert second.predictions == first.predictions
    assert second.metrics["decisions"]["mean"] != first.metrics["decisions"]["mean"]


def test_a_changed_figure_is_found(measured):
    """A decision that the predictions do not give is named."""
    run = read_run(measured(threshold="calibration:0.4", resamples=50).dir)
    metrics = json.loads(json.dumps(run.metrics))
    metrics["decisions"]["pooled"]["recall"] = 0.123
    (problem,) = verify_run(replace(run, metrics=metrics))
    assert problem.startswith("metrics.json: decisions, pooled")


def test_too_few_references_give_no_threshold_and_ask_nothing(measured):
    """Alpha 0.05 needs 19 references: with three nothing is asked in vain, and the reason stands with each category."""
    run = measured(threshold="conformal:0.05")
    assert run.threshold_records == []
    for entry in run.metrics["decisions"]["categories"].values():
        assert entry["threshold"] is None
        assert entry["reason"].startswith("alpha 0.05 needs 19 good references")
    assert run.metrics["decisions"]["mean"]["recall"] is None
    assert decision_lines(run)[0] == "red at --threshold conformal:0.05: no decisions."


def test_images_that_a_question_shows_are_no_references(kept_data, grid):
    """With one shot two of the three training images are left, and a larger number holds a smaller one."""

    def chosen(**options):
        plan = resolve(RunConfig(data=kept_data, threshold="reference:0.5", **options))
        return [sample.image_path for sample in plan.threshold_images if sample.category == "bolt"]

    assert len(chosen(settings={**grid, "shots": 1})) == 2
    assert chosen(reference_images=3)[:2] == chosen(reference_images=2)
    assert chosen(seed=1) != chosen(seed=2) or chosen(seed=1) != chosen(seed=3)


def test_a_test_image_never_serves_for_a_threshold(red, small_data, grid, tmp_path):
    """A training image that is also a test image is left out."""
    shutil.copy(small_data / "bolt/test/good/000.png", small_data / "bolt/train/good/000.png")
    config = {"models": red, "data": small_data, "settings": grid, "out": tmp_path / "runs", "resamples": 0}
    run = lvlm_ad.bench(reference_rows=False, threshold="reference:0.5", **config).named("red")
    assert sorted(order(run, "bolt")) == ["001", "002"]


def test_a_folder_of_labelled_images_chooses_the_threshold(measured, small_data):
    """Its images are asked under the data set's categories; the run keeps its name only."""
    for path in small_data.rglob("*.png"):
        pixels = np.asarray(lvlm_ad.datasets.images.read_image(path)) if "test" in path.parts else None
        if pixels is not None:
            lvlm_ad.datasets.images.Image.fromarray(pixels[::-1].copy()).save(path)
    shutil.rmtree(small_data / "nut1")
    run = measured(threshold=f"calibration:{small_data}")
    decisions = run.metrics["decisions"]
    assert decisions["threshold"] == "calibration:small/"
    assert decisions["categories"]["bolt"]["n_chosen_from"] == 6
    assert "need both good and defective" in decisions["categories"]["nut1"]["reason"]
    assert str(small_data) not in (run.dir / "metrics.json").read_text()


def test_a_split_judges_only_the_images_that_it_did_not_choose_on():
    """The judged images are the rest, of both kinds; the spread over splits is given."""
    records = [*made("bolt", [0.8, 0.9, 0.7, 0.6, None], True), *made("bolt", [0.1, 0.2, 0.5, 0.3], False)]
    decisions = decided("calibration:0.5", records)
    pooled = decisions["pooled"]
    assert pooled["tp"] + pooled["fn"] + pooled["abstain_defect"] == 3
    assert pooled["fp"] + pooled["tn"] == 2
    assert decisions["splits"]["n"] == 20
    assert decisions["splits"]["sd"]["recall"] > 0
    assert decided("calibration:0.5", list(reversed(records))) == decisions
    assert decided("calibration:0.5", records, seed=1) != decisions


def test_one_image_of_a_kind_is_judged_and_nothing_is_chosen():
    """With one defect there is no split; with good images only there is no balanced accuracy."""
    lone = decided("calibration:0.5", [*made("nut", [0.9], True), *made("nut", [0.1, 0.2], False)])
    assert lone["categories"]["nut"]["threshold"] is None
    good = decided("0.5", made("nut", [0.1, 0.9, None], False))
    assert (good["mean"]["recall"], good["mean"]["false_alarm"]) == (None, pytest.approx(1 / 3))
    assert good["pooled"]["abstain_good"] == 1


def test_refused_answers_are_abstentions_whatever_the_metrics_count():
    """All refused: nothing alarms, nothing passes, and there is no calibration."""
    decisions = decided("0.5", [*made("nut", [None, None], True), *made("nut", [None], False)], **COSTS)
    assert decisions["mean"]["recall"] == decisions["mean"]["miss"] == 0.0
    assert decisions["abstention"]["max_coverage"] == 0.0
    assert decisions["calibration"] is None
    assert decisions["cost"]["per_part"] == pytest.approx(COSTS["cost_check"])
    assert "of no use" in decisions["cost"]["verdict"]


def test_the_terminal_says_what_decisions_are_worth(referenced):
    """Figures with intervals, what was chosen and promised, the cost, and whether the model's price is part of it."""
    rates, chosen, priced = decision_lines(referenced)
    assert rates.startswith("red at --threshold conformal:0.25: recall ")
    assert "on average over references at most 25.0 % of the good images alarm" in chosen
    assert priced.startswith("  Expected cost of a part: ")
    metrics = json.loads(json.dumps(referenced.metrics))
    metrics["decisions"]["cost"]["prices"]["model"] = None
    metrics["decisions"]["cost"]["verdict"] = "Of no use."
    unknown = decision_lines(replace(referenced, metrics=metrics))
    assert unknown[-2:] == [
        "  The price of the model's answers is unknown and not included.",
        "  Of no use.",
    ]
    for category in metrics["decisions"]["categories"].values():
        category["threshold"] = None
    assert "recall" in decision_lines(replace(referenced, metrics=metrics))[0], "never to alarm is a decision, too"


def test_a_curve_of_many_scores_is_kept_short():
    """A baseline with a thousand distinct scores has at most 200 points, the last at full coverage."""
    draw = np.random.default_rng(0)
    decisions = decided("0.5", [*made("nut", draw.random(700), True), *made("nut", draw.random(300), False)])
    points = decisions["abstention"]["points"]
    assert len(points) == 200
    assert points[-1][0] == 1.0


def test_an_answer_for_the_threshold_is_asked_once_and_counted(bench, endpoint):
    """References are asked over the same wire, stored, and never asked again; a failed one is an abstention."""
    run = bench(threshold="reference:0.5")
    assert len(endpoint.asked) == 12 + 6
    assert len({record.key for record in run.threshold_records} | {record.key for record in run.predictions}) == 18
    again = bench(threshold="reference:0.6")
    assert len(endpoint.asked) == 18
    assert again.metrics["decisions"]["asked"] == {"images": 6, "usable": 6}
    assert again.metrics["answers"]["total"] == 12


def test_the_limit_in_money_covers_the_references(bench, endpoint):
    """An answer costs 0.82 USD: what --max-cost leaves unasked, references included, is asked by the next command."""
    prices = {"price_input": 1000, "price_output": 1000, "price_date": "2026-01-01"}
    run = bench(settings=prices, threshold="reference:0.5", max_cost=13, concurrency=1)
    statuses = [record.status for record in (*run.predictions, *run.threshold_records)]
    # Which three are left out is open: the budget takes questions as their pictures get ready.
    assert (statuses.count("ok"), statuses.count("unasked")) == (15, 3)
    assert len(endpoint.asked) == 15
    assert run.metrics["usage"]["spent_usd"] == pytest.approx(15 * 0.82)
    again = bench(settings=prices, threshold="reference:0.5")
    assert (again.metrics["answers"]["ok"], again.metrics["decisions"]["asked"]["usable"]) == (12, 6)
    assert len(endpoint.asked) == 18


def test_a_forecast_counts_the_references(bench_command):
    """--dry-run says how many questions the threshold adds."""
    done = bench_command("--dry-run", "--threshold", "reference:0.5")
    (forecast,) = json.loads(done.stdout)["forecast"]
    assert forecast["questions"] == 18
    assert "6 more images" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": "best"}, "--threshold takes"),
        ({"threshold": "reference:1.5"}, "must be above 0 and below 1"),
        ({"threshold": "reference:0.5", "dataset": "folder"}, "needs good training images"),
        ({"cost_miss": 5, "prevalence": 0.1}, "also needs --cost-false-alarm, --cost-check"),
        ({"cost_miss": -1}, "must be 0 or more"),
        ({"prevalence": 1}, "must be less than 1"),
        ({"reference_images": 0}, "must be 1 or more"),
    ],
)
def test_a_wrong_value_is_one_clear_error(kept_data, tmp_path, options, message):
    """A malformed threshold, a price without the others, and data without training images are refused at once."""
    data = kept_data
    if "dataset" in options:
        data = tmp_path / "bolts"
        shutil.copytree(kept_data / "bolt" / "test", data)
    with pytest.raises(ConfigError, match=message):
        resolve(RunConfig(data=data, **options))


def test_a_calibration_folder_must_be_there_and_fit(kept_data, small_data):
    """A folder that is not there and one with other categories are named."""
    with pytest.raises(DataError, match="no-folder"):
        resolve(RunConfig(data=kept_data, threshold="calibration:no-folder"))
    for name in ("bolt", "nut1"):
        (small_data / name).rename(small_data / f"my_{name}")
    with pytest.raises(ConfigError, match="none in common"):
        resolve(RunConfig(data=kept_data, threshold=f"calibration:{small_data}"))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("kind",), "oracle"),
        (("mean", "recall"), 2),
        (("pooled", "tp"), -1),
        (("categories", "bolt", "threshold"), "<b>"),
        (("cost", "per_part"), "1"),
        (("abstention", "points"), [[0.5]]),
    ],
)
def test_a_strangers_decisions_are_checked_when_they_are_read(referenced, tmp_path, place, value):
    """Pages calculate with these figures: a value of a wrong kind makes the run unreadable."""
    copy = shutil.copytree(referenced.dir, tmp_path / "copy")
    metrics = json.loads((copy / "metrics.json").read_text())
    *path, last = place
    inner = metrics["decisions"]
    for name in path:
        inner = inner[name]
    inner[last] = value
    (copy / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(RunError, match=r"metrics\.json: decisions"):
        read_run(copy)
