"""``bench`` on images without labels: predictions, no metric, and the folder for the server of MVTec AD 2."""

import json
import runpy
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

import lvlm_ad
from lvlm_ad.compare import compare_runs
from lvlm_ad.datasets.ad2_upload_check import check_upload
from lvlm_ad.errors import ConfigError, DataError, RunError
from lvlm_ad.evaluate import RunConfig
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.report.run_pages import write_report
from lvlm_ad.runs import METRIC_NAMES, measured_runs, read_run, read_runs

CELLS = {"image_size": 32, "division": "grid", "grid_rows": 2, "grid_columns": 2, "min_area": 0, "max_area": 1e12}
SIZE = (24, 48)
"""Height and width of the images: no square, and another size than that of the maps."""


@pytest.fixture
def ad2(tmp_path):
    """An object with two validation images, and two images in each split without labels."""
    draw = np.random.default_rng(3)
    folder = tmp_path / "ad2" / "vial"
    names = [f"{part}/good/{number:03}_regular" for part in ("train", "validation") for number in range(2)]
    names += [f"test_private/{number:03}_regular" for number in range(2)]
    names += [f"test_private_mixed/{number:03}_mixed" for number in range(2)]
    for name in names:
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, SIZE, np.uint8)).save(path)
    return tmp_path / "ad2"


@pytest.fixture
def predict(ad2, tmp_path):
    """Predict a split by a model that gives prepared answers: first the validation images, then the test images."""

    def run(*answers, split="private", settings=None, **options):
        script = tmp_path / "answers.json"
        script.write_text(json.dumps(answers))
        settings = {**CELLS, "file": str(script), **(settings or {})}
        options = {"data": ad2, "split": split, "out": tmp_path / "runs", **options}
        (one,) = lvlm_ad.bench(models="scripted", settings=settings, **options)
        return one

    return run


def folder_of(run):
    """The folder for the server that a run added to."""
    return run.dir.parent / run.metrics["upload"]["folder"]


def maps_of(run, split="private"):
    """The maps and binary maps of a run's images, in order."""
    end = f"vial/test_{split.replace('-', '_')}"
    maps = [tifffile.imread(path) for path in sorted((folder_of(run) / "anomaly_images" / end).iterdir())]
    binary = folder_of(run) / "anomaly_images_thresholded" / end
    return maps, [np.asarray(Image.open(path)) for path in sorted(binary.glob("*"))]


def test_maps_and_thresholds_are_those_computed_by_hand(predict):
    """Each pixel has the score of its region; the threshold is mean + 3 population std of all validation pixels."""
    run = predict(
        "image anomaly score: 0.3; region 4: 0.5.",
        "image anomaly score: 0.",
        "image anomaly score: 0.9; region 1: 0.8; region 2: 0.7.",
        "image anomaly score: 0.",
    )
    (first, second), (cut, clean) = maps_of(run)
    expected = np.zeros(SIZE, np.float16)
    expected[:12, :24], expected[:12, 24:] = 0.8, 0.7
    assert (first.dtype, second.dtype) == (np.float16, np.float16)
    assert np.array_equal(first, expected)
    assert not second.any()
    # Of all validation pixels an eighth has 0.5.
    threshold = run.metrics["upload"]["thresholds"]["vial"]
    assert threshold["value"] == pytest.approx(0.0625 + 3 * np.sqrt(0.5**2 / 8 - 0.0625**2), abs=1e-15)
    assert threshold["rule"] == "mean + 3 standard deviations"
    assert threshold["source"] == "validation/good, 2 images"
    assert np.array_equal(cut, np.where(expected > 0.5586, 255, 0))
    assert not clean.any()


def test_constant_validation_maps_make_nothing_positive(predict):
    """Their threshold is the score itself, in float16, and a pixel must lie above it."""
    everywhere = "image anomaly score: 0.3; " + "; ".join(f"region {number}: 0.3" for number in range(1, 5)) + "."
    run = predict(everywhere, everywhere, everywhere, everywhere)
    (first, _), binary = maps_of(run)
    assert run.metrics["upload"]["thresholds"]["vial"]["value"] == float(np.float16(0.3)) == first[0, 0]
    assert not any(one.any() for one in binary)


def test_the_run_has_predictions_and_no_metric(predict):
    """No label is claimed, every metric is undefined for that reason, and the numbers of answers are there."""
    normal = "image anomaly score: 0."
    run = read_run(predict(*[normal] * 2, "image anomaly score: 0.9; region 1: 0.8.", normal).dir)
    assert [(one.id, one.image_score, one.is_labelled) for one in run.predictions] == [
        ("vial/unlabelled/000_regular", 0.9, False),
        ("vial/unlabelled/001_regular", 0.0, False),
    ]
    assert [one.id for one in run.threshold_records] == ["vial/validation/000_regular", "vial/validation/001_regular"]
    for measures in (run.metrics["mean"], run.metrics["categories"]["vial"]):
        assert [measures[name] for name in METRIC_NAMES] == [None] * len(METRIC_NAMES)
        assert set(measures["undefined"].values()) == {"the images have no labels"}
    assert (run.metrics["answers"]["usable"], run.metrics["coverage"]) == (2, 1.0)
    assert "decisions" not in run.metrics
    assert run.manifest.dataset.is_labelled is False
    assert verify_run(run) == []


def test_no_table_page_or_comparison_shows_it(predict, tmp_path, lvlm_ad_command):
    """Each says that there are no labels; the runs beside it stay in the table."""
    run = predict(*["image anomaly score: 0.2."] * 4)
    with pytest.raises(RunError, match="the images have no labels, so the run has predictions but no metrics"):
        write_report(run, tmp_path / "page")
    with pytest.raises(RunError, match="no labels"):
        compare_runs(run, run)
    runs, _ = read_runs(run.dir.parent)
    assert measured_runs(runs) == ([], ["1 run on images without labels: it has no metrics."])
    done = lvlm_ad_command("leaderboard", run.dir.parent)
    assert done.returncode == 2
    assert "can be shown. 1 run on images without labels: it has no metrics." in done.stderr
    assert not (run.dir.parent / "leaderboard.html").exists()


def test_both_splits_add_to_one_folder(predict, ad2):
    """Two benches with the same conditions make what the server takes; other conditions make another folder."""
    normal = "image anomaly score: 0."
    one = predict(*[normal] * 4)
    missing = [problem.message for problem in check_upload(folder_of(one), ad2).problems]
    assert any("--split private-mixed adds this one" in message for message in missing)
    other = predict(*[normal] * 4, split="private-mixed")
    assert folder_of(one) == folder_of(other)
    assert one.dir != other.dir
    assert check_upload(folder_of(one), ad2).ok
    third = predict(*[normal] * 4, settings={"image_size": 64})
    assert folder_of(third) != folder_of(one)


@pytest.mark.parametrize("shots", [0, 1])
def test_a_bench_of_one_object_completes_the_same_folder(predict, ad2, shots):
    """Objects may be predicted one after the other; reference images belong to an object, not to the conditions."""
    shutil.copytree(ad2 / "vial", ad2 / "can")
    normal, settings = "image anomaly score: 0.", {"shots": shots}
    parts = [
        predict(*[normal] * 8, split=split, categories=[name], settings=settings)
        for split in ("private", "private-mixed")
        for name in ("vial", "can")
    ]
    assert len({folder_of(one) for one in parts}) == 1
    assert check_upload(folder_of(parts[0]), ad2).ok
    assert folder_of(predict(*[normal] * 8, settings=settings)) == folder_of(parts[0])
    assert folder_of(predict(*[normal] * 8, settings={"shots": 1 - shots})) != folder_of(parts[0])


def test_a_limited_bench_leaves_the_folder_of_all_images_alone(predict):
    """Its threshold comes from fewer validation images, and both splits of an upload need the same."""
    answers = ["image anomaly score: 0.9; region 1: 0.8."] * 4
    whole = predict(*answers)
    maps, binary = maps_of(whole)
    limited = predict(*answers, limit=1)
    assert folder_of(limited) != folder_of(whole)
    assert len(maps_of(limited)[0]) == 1
    for before, after in zip((*maps, *binary), (one for kind in maps_of(whole) for one in kind), strict=True):
        np.testing.assert_array_equal(before, after)


def test_images_without_an_answer_have_an_empty_map(predict):
    """The server wants a map of each; how many are empty is said. A validation image is left out of the threshold."""
    found, normal = "image anomaly score: 0.9; region 1: 0.9.", "image anomaly score: 0."
    run = predict("I cannot say.", normal, "I cannot say.", found)
    upload = run.metrics["upload"]
    assert (upload["n_maps"], upload["unanswered"]) == (2, 1)
    assert upload["thresholds"]["vial"]["source"] == "validation/good, 1 image"
    (first, second), binary = maps_of(run)
    assert not first.any()
    assert second.any()
    assert len(binary) == 2


def test_without_validation_predictions_there_are_no_binary_maps(predict, ad2):
    """The reason is recorded; binary maps of an earlier bench do not stay."""
    run = predict(*["image anomaly score: 0."] * 4)
    assert len(maps_of(run)[1]) == 2
    folder = folder_of(run)
    assert (folder / "anomaly_images_thresholded/vial/test_private/000_regular.png").is_file()
    for path in (ad2 / "vial/validation/good").iterdir():
        path.unlink()
    run = predict(*["image anomaly score: 0."] * 4)
    assert folder_of(run) == folder
    assert [one.name for one in folder.iterdir()] == ["anomaly_images"]
    run = predict("I cannot say.", "I cannot say.", "image anomaly score: 0.", "image anomaly score: 0.")
    assert run.metrics["upload"]["thresholds"] == {}
    assert run.metrics["upload"]["no_binary_maps"] == "no prediction of a validation image of vial"


def test_without_validation_images_the_terminal_says_what_follows(ad2, tmp_path, lvlm_ad_command):
    """Maps are written, binary maps are not, and the server's two metrics are named."""
    for path in (ad2 / "vial/validation/good").iterdir():
        path.unlink()
    settings = [part for name, value in CELLS.items() for part in ("--set", f"{name}={value}")]
    out = tmp_path / "runs"
    done = lvlm_ad_command("bench", "-m", "contrast", "--data", ad2, "--split", "private", "--out", out, *settings)
    assert done.returncode == 0, done.stderr
    assert "They have no labels, so there are no metrics and no table." in done.stderr
    assert "No thresholded maps: no prediction of a validation image of vial. The server then sets" in done.stderr
    assert not done.stdout
    for row in ("contrast", "contrast-dense"):
        (folder,) = out.glob(f"{row}-mvtec-ad-2-upload-*")
        assert [one.name for one in folder.iterdir()] == ["anomaly_images"]


def test_own_maps_are_stretched_to_the_image(ad2, tmp_path):
    """Every distinct score of the files is counted; both rows have their own folder, right by the rules."""
    runs = [
        run
        for split in ("private", "private-mixed")
        for run in lvlm_ad.bench(models="contrast", data=ad2, split=split, settings=CELLS, out=tmp_path / "runs")
    ]
    assert [run.manifest.row_name for run in runs[:2]] == ["contrast", "contrast (dense)"]
    for run in runs:
        assert check_upload(folder_of(run), ad2).ok
    dense = runs[1]
    maps, binary = maps_of(dense)
    assert [one.shape for one in maps] == [SIZE, SIZE]
    threshold = dense.metrics["upload"]["thresholds"]["vial"]["value"]
    for scores, positive in zip(maps, binary, strict=True):
        assert np.array_equal(positive, np.where(scores.astype(np.float64) > threshold, 255, 0))
    upload = dense.metrics["upload"]
    kept = sum(np.unique(one).size for one in maps)
    assert upload["distinct_scores"] - upload["equal_scores"] == kept


def test_the_tree_of_the_specification_gives_its_files(shared, tmp_path):
    """Two objects: exactly the files that the tree expects, for both rows of contrast."""
    make = runpy.run_path(str(shared / "tools" / "mk_layouts.py"))["make"]
    expected = make(tmp_path / "trees", ["ad2"])["ad2"]["upload"]
    data = tmp_path / "trees" / "ad2"
    for split in ("private", "private-mixed"):
        runs = lvlm_ad.bench(models="contrast", data=data, split=split, settings=CELLS, out=tmp_path / "runs")
    for run in runs:
        folder = folder_of(run)
        assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == expected
        assert check_upload(folder, data).ok


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ()}, "reference rows would say nothing; name a model with --model"),
        ({"models": "oracle"}, "oracle answers with the truth; name another model"),
        ({"threshold": "0.4"}, "leave --threshold out"),
        ({"prevalence": 0.1, "cost_miss": 1, "cost_false_alarm": 1, "cost_check": 1}, "leave --cost-miss out"),
        ({"on_failure": "exclude"}, "leave --on-failure out"),
    ],
)
def test_what_needs_labels_is_refused(ad2, tmp_path, options, message):
    """Before anything is asked."""
    common = {"models": "contrast", "data": ad2, "split": "private", "out": tmp_path / "runs", "settings": CELLS}
    with pytest.raises(ConfigError, match=message):
        lvlm_ad.bench(RunConfig(**{**common, **options}))


def test_maps_of_images_without_labels_cannot_be_scored(ad2, tmp_path):
    """``lvlm-ad score`` measures."""
    with pytest.raises(DataError, match="have no labels, so nothing can be measured"):
        lvlm_ad.evaluate.score_maps(tmp_path, RunConfig(data=ad2, split="private", out=tmp_path / "runs"))


def test_a_method_without_maps_makes_predictions_only(predict):
    """There is no folder, since the server takes maps."""
    run = predict("no", "no", method="yes-no")
    assert "upload" not in run.metrics
    assert [one.image_score for one in run.predictions] == [0.0, 0.0]
    assert not list(run.dir.parent.glob("*upload*"))


def test_a_forecast_counts_test_and_validation_images(ad2, tmp_path):
    """Nothing is asked."""
    script = tmp_path / "answers.json"
    script.write_text("[]")
    config = RunConfig(
        models="scripted", data=ad2, split="private", out=tmp_path / "runs", settings={**CELLS, "file": str(script)}
    )
    (forecast,) = lvlm_ad.evaluate.dry_run(config)
    assert forecast["questions"] == 4
