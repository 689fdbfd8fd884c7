"""``lvlm-ad score``: anybody's maps, measured."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.compare import compare_runs
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.errors import ConfigError, DataError, RunError
from lvlm_ad.evaluate import RunConfig, score_maps
from lvlm_ad.evaluate.map_files import read_map, resize_map
from lvlm_ad.evaluate.score_maps import find_maps, read_image_scores
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.leaderboard import make_board
from lvlm_ad.metrics import aupimo, image_metrics, pixel_metrics
from lvlm_ad.runs import METRIC_NAMES, read_run


@pytest.fixture
def dataset(kept_data):
    return load_dataset("folder", kept_data)


@pytest.fixture
def maps(dataset, tmp_path):
    """Half-good maps in the images' own size, as .npy of 64 bits."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "maps"
    for sample in dataset:
        path = (folder / sample.image_path.relative_to(dataset.root)).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, draw.random(sample.mask.shape) + 0.5 * sample.mask)
    return folder


def test_the_numbers_are_those_of_the_metrics(dataset, maps, kept_data, tmp_path):
    """At the images' own size every metric is what ``pixel_metrics`` gives for the files."""
    config = RunConfig(data=kept_data, out=tmp_path / "runs", resamples=50)
    run = score_maps(maps, config, own_size=True)
    assert run.manifest.row_name == "maps (dense)"
    for category in dataset.categories:
        samples = [sample for sample in dataset if sample.category == category]
        arrays = [read_map(find_maps(dataset, maps)[sample.id]) for sample in samples]
        pixels = pixel_metrics([sample.mask for sample in samples], arrays)
        whole = image_metrics([sample.label for sample in samples], [one.max() for one in arrays])
        for kind, expected in (("pixel", pixels), ("image", whole)):
            for name in ("auroc", "ap", "f1_max"):
                value = run.metrics["categories"][category][f"{kind}_{name}"]
                assert value == pytest.approx(getattr(expected, name), abs=1e-12)
        assert run.metrics["categories"][category]["pixel_aupro"] == pytest.approx(pixels.aupro, abs=1e-12)
        assert set(run.metrics["categories"][category]["interval"]) == set(METRIC_NAMES)
    again = read_run(run.dir)
    assert again.metrics == run.metrics
    assert len(again.histograms) == len(dataset)


@pytest.mark.parametrize("side", [None, 40])
def test_aupimo_is_measured_on_request(dataset, maps, kept_data, tmp_path, side):
    """It is that of the maps in the files, at the run's size; where the rates are too coarse, there is a reason."""
    settings = {} if side is None else {"image_size": side}
    config = RunConfig(data=kept_data, out=tmp_path / "runs", resamples=0, settings=settings)
    run = score_maps(maps, config, own_size=side is None, with_aupimo=True)
    found = read_run(run.dir).metrics["aupimo"]
    files = find_maps(dataset, maps)
    for category in dataset.categories:
        samples = [sample for sample in dataset if sample.category == category]
        masks = [one.mask if side is None else resize_mask(one.mask, (side, side)) for one in samples]
        arrays = [resize_map(read_map(files[one.id]), mask.shape) for one, mask in zip(samples, masks, strict=True)]
        expected = aupimo(masks, arrays)
        assert found["categories"][category]["value"] == expected.value
        assert found["categories"][category].get("reason", "") == expected.reason
    assert "aupimo" not in score_maps(maps, config, own_size=side is None).metrics
    assert verify_run(read_run(run.dir)) == []


def test_the_command_says_aupimo(lvlm_ad_command, dataset, tmp_path):
    """Maps that are right have 100 % in every category, with an interval."""
    for sample in dataset:
        path = tmp_path / "maps" / f"{sample.id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.linspace(0, 0.5, 512 * 512).reshape(512, 512)
        mask = resize_mask(sample.mask, (512, 512))
        np.save(path, np.where(mask, 1.0, ramp))
    done = lvlm_ad_command(
        "score", "--maps", tmp_path / "maps", "--data", dataset.root, "--size", 512, "--aupimo", "--resamples", 0,
        "--out", tmp_path / "runs",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "AUPIMO (false-positive rates 1e-05 to 0.0001), percent: 100.0" in done.stderr


def test_formats_and_places_hold_the_same_map(dataset, maps, kept_data, tmp_path):
    """A map of 16 bits, in any of the formats and both places, gives the same numbers."""
    import tifffile

    config = RunConfig(data=kept_data, out=tmp_path / "runs", resamples=0)
    other = tmp_path / "other"
    for at, (sample_id, path) in enumerate(find_maps(dataset, maps).items()):
        values = np.round(read_map(path) / 1.5 * 65535).astype(np.uint16)
        np.save(path, values)
        target = other / f"{sample_id}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        if at % 3 == 0:
            Image.fromarray(values).save(target.with_suffix(".png"))
        elif at % 3 == 1:
            tifffile.imwrite(target.with_suffix(".tiff"), values)
        else:
            np.save(target, values[None].astype(np.float32))
    runs = [score_maps(folder, config, name="a") for folder in (maps, other)]
    assert runs[0].metrics["mean"] == runs[1].metrics["mean"]
    assert runs[0].manifest.config_hash != runs[1].manifest.config_hash


@pytest.mark.slow
def test_image_scores_may_be_given(dataset, maps, kept_data, tmp_path):
    """From CSV by file name or from JSON by id; they then decide the image metrics alone."""
    scores = {sample.id: float(sample.label) for sample in dataset}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    with (tmp_path / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "score"])
        writer.writerows((str(s.image_path.relative_to(dataset.root)), scores[s.id]) for s in dataset)
    assert read_image_scores(tmp_path / "scores.json", dataset) == scores
    assert read_image_scores(tmp_path / "scores.csv", dataset) == scores
    config = RunConfig(data=kept_data, out=tmp_path / "runs", resamples=0)
    found = [score_maps(maps, config, image_scores=tmp_path / name) for name in ("scores.csv", "scores.json")]
    plain = score_maps(maps, config)
    assert [run.metrics["mean"]["image_auroc"] for run in found] == [1.0, 1.0]
    assert found[0].metrics["mean"]["pixel_auroc"] == plain.metrics["mean"]["pixel_auroc"]
    assert found[0].dir != plain.dir


def test_missing_and_ambiguous_maps_are_told(dataset, maps, kept_data, tmp_path):
    """No folder, no map for an image, or two of them."""
    with pytest.raises(DataError, match="There is no folder"):
        find_maps(dataset, tmp_path / "nowhere")
    first, second, third = list(find_maps(dataset, maps).values())[:3]
    second.with_suffix(".png").write_bytes(b"")
    with pytest.raises(DataError, match="has several maps"):
        find_maps(dataset, maps)
    second.with_suffix(".png").unlink()
    first.unlink()
    third.unlink()
    with pytest.raises(DataError, match=r"contains no map of 2 images.*\.npy,\.tiff"):
        find_maps(dataset, maps)
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "bolt_hole_0.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"contains no map of .* Its first files are bolt_hole_0\.npz\."):
        find_maps(dataset, flat)
    with pytest.raises(ConfigError, match="needs a name"):
        score_maps(maps, RunConfig(data=kept_data, out=tmp_path), name=" ")


def test_scores_that_do_not_fit_are_told(dataset, tmp_path):
    """A file without scores, without one of the images, with two for one, or with one that is no finite number."""
    names = [sample.id for sample in dataset]
    for name, text, message in (
        ("a.csv", "a,b\n1,2\n", "has no column image, score; its first line names 'a', 'b'"),
        ("a.csv", "image;score\n1;2\n", "has no score for .* Its first names are 1"),
        ("a.csv", f"image,score\n{names[0]},0,5\n", "line 2: 3 fields, but 2 columns"),
        ("a.csv", "score,image\n0.5\n", "has no score for"),
        ("a.csv", "image,score\n" + "x" * 200_000 + ",1\n", "is not a CSV file"),
        ("a.csv", "image,score\n", "has no score for"),
        ("a.csv", "image,score\n" + "".join(f"{one},high\n" for one in names), "'high', which is not a finite number"),
        ("a.csv", f"image,score\n{names[0]},1\n{names[0]},2\n", "has two scores"),
        ("a.csv", f"image,score\n{names[0]},1\n{names[0]}.png,2\n", "has two scores"),
        ("a.JSON", "[[1, 0.5]]", "one object"),
        ("a.json", '[{"image": "a", "score": 1}]', "one object"),
        ("a.json", "[" * 100_000, "one object"),
        ("a.json", f'{{"{names[0]}": 1, "{names[0]}": 2}}', "has two scores"),
        ("a.json", f'{{"{names[0]}": 1{"0" * 400}}}', "not a finite number"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=message) as caught:
            read_image_scores(tmp_path / name, dataset)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_image_scores(tmp_path / "nowhere.csv", dataset)


def test_a_spreadsheets_table_is_read(dataset, tmp_path):
    """With the byte-order mark that spreadsheets put first."""
    text = "image,score\n" + "".join(f"{sample.id},{at}\n" for at, sample in enumerate(dataset))
    (tmp_path / "a.csv").write_text(text, encoding="utf-8-sig")
    assert list(read_image_scores(tmp_path / "a.csv", dataset).values()) == list(range(len(dataset)))


def test_the_command_puts_maps_on_the_leaderboard(lvlm_ad_command, maps, kept_data):
    """One line of JSON, a row on the leaderboard, and a comparison with itself."""
    done = lvlm_ad_command("score", "--maps", maps, "--data", kept_data, "--name", "patchy", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "patchy (dense)"
    assert "patchy (dense): maps from files" in " ".join(done.stderr.split())
    board = lvlm_ad_command("leaderboard", "--format", "csv").stdout
    row = next(csv.DictReader(board.splitlines()))
    assert float(row["image_auroc_low"]) <= float(row["image_auroc"]) <= float(row["image_auroc_high"])
    compared = lvlm_ad_command("compare", found["dir"], found["dir"], "--json")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["mean"]["pixel_ap"]["p_value"] == 1
    assert "patchy" in lvlm_ad_command("compare", "runs", "runs").stdout
    lost = lvlm_ad_command("compare", "runs", "nowhere")
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1)


def folder_of(root, n_good=3, n_bad=3, masks=(0, 1, 2), size=(32, 32)):
    """Write a category of grey pictures, and masks for some of its defects; size is (width, height)."""
    for kind, count in (("good", n_good), ("bad", n_bad)):
        for at in range(count):
            for name in (f"test/{kind}/{at}.png", *([f"ground_truth/bad/{at}.png"] if kind == "bad" else [])):
                if name.startswith("ground") and at not in masks:
                    continue
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                picture = np.full(size[::-1], 100 + 10 * at + 50 * (kind == "bad"), np.uint8)
                if name.startswith("ground"):
                    picture = np.zeros(size[::-1], np.uint8)
                    picture[4:12, 4:12] = 255
                Image.fromarray(picture).save(path)
    return root


def maps_of(root, folder, make):
    """Write ``make(sample, random generator)`` as the map of each image."""
    draw = np.random.default_rng(3)
    for sample in load_dataset("folder", root):
        path = folder / f"{sample.id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, make(sample, draw))
    return folder


def noise(sample, draw):
    """A map of noise, brighter for defects."""
    return draw.random((32, 32)) * (1 + sample.label)


def test_the_limit_of_aupro_is_part_of_the_run(tmp_path, lvlm_ad_command):
    """Another limit gives another PRO, stands in the manifest, the metrics and the table, and is another run."""
    root = folder_of(tmp_path / "part")
    maps = maps_of(root, tmp_path / "maps", noise)
    usual = score_maps(maps, RunConfig(data=root, out=tmp_path / "runs", resamples=50), own_size=True)
    run = score_maps(maps, RunConfig(data=root, out=tmp_path / "runs", resamples=50, fpr_limit=0.05), own_size=True)
    samples = load_dataset("folder", root)
    arrays = [read_map(find_maps(samples, maps)[sample.id]) for sample in samples]
    expected = pixel_metrics([sample.mask for sample in samples], arrays, fpr_limit=0.05).aupro
    assert run.metrics["mean"]["pixel_aupro"] == pytest.approx(expected, abs=1e-12)
    assert run.metrics["mean"]["fpr_limit"] == run.manifest.fpr_limit == 0.05
    low, high = run.metrics["mean"]["interval"]["pixel_aupro"]
    assert low <= expected <= high
    assert "fpr_limit" not in usual.manifest.protocol
    assert usual.metrics["mean"]["pixel_auroc"] == run.metrics["mean"]["pixel_auroc"]
    assert usual.dir != run.dir
    assert verify_run(read_run(run.dir)) == verify_run(read_run(usual.dir)) == []
    with pytest.raises(RunError, match=r"AUPRO goes up to a false-positive rate of 0\.3 in one, of 0\.05 in the other"):
        compare_runs(read_run(usual.dir), read_run(run.dir))
    titles = [group.title for group in make_board([usual, run]).groups]
    assert ["PRO up to a false-positive rate of 0.05" in title for title in titles] == [False, True]
    wrong = lvlm_ad_command("score", "--maps", maps, "--data", root, "--fpr-limit", "30")
    assert (wrong.returncode, "fpr_limit" in wrong.stderr, wrong.stderr.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("known", [(), (0,), (0, 1, 2)])
def test_pixels_are_measured_where_the_truth_is_known(tmp_path, known):
    """Without a mask of some defects, pixel metrics are those of the other images, and their number is told."""
    root = folder_of(tmp_path / "part", masks=known)
    maps = maps_of(root, tmp_path / "maps", noise)
    run = score_maps(maps, RunConfig(data=root, out=tmp_path / "runs", resamples=50), own_size=True)
    samples = [sample for sample in load_dataset("folder", root) if sample.mask is not None]
    files, entry = find_maps(load_dataset("folder", root), maps), run.metrics["categories"]["part"]
    notes = " ".join(note for group in make_board([run]).groups for _, _, note in group.notes())
    if known:
        arrays = [read_map(files[sample.id]) for sample in samples]
        expected = pixel_metrics([sample.mask for sample in samples], arrays)
        assert entry["pixel_ap"] == pytest.approx(expected.ap, abs=1e-12)
        assert entry["image_auroc"] == 1.0
    else:
        assert (entry["pixel_ap"], entry["undefined"]["pixel_ap"]) == (None, "3 of 6 images have no ground-truth mask")
    assert entry.get("n_with_truth") == run.metrics["mean"].get("n_with_truth") == {0: None, 1: 4, 3: None}[len(known)]
    assert ("the 4 images whose ground truth is known" in notes) == (len(known) == 1)
    assert verify_run(read_run(run.dir)) == []


def stretched(sample, draw):
    """Noise that is normalised for each image, as bytes."""
    values = noise(sample, draw)
    return ((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (stretched, True),
        (lambda sample, draw: stretched(sample, draw) / 255 * (1 - 1e-7), True),
        (lambda sample, draw: 1 / (1 + np.exp(-100 * stretched(sample, draw).astype(float))), True),
        (noise, False),
        (lambda sample, draw: np.minimum(noise(sample, draw), 1.0 if sample.label else 0.9), False),
    ],
    ids=["bytes", "floats with a small number added below", "saturated", "one scale", "only defects saturated"],
)
def test_maps_normalised_by_themselves_are_told(tmp_path, make, told):
    """Image scores taken from maps that all peak alike mean nothing; given scores do."""
    root = folder_of(tmp_path / "part")
    maps = maps_of(root, tmp_path / "maps", make)
    config = RunConfig(data=root, out=tmp_path / "runs", resamples=0)
    notes = score_maps(maps, config, own_size=True).manifest.model.notes
    assert ("have the same highest score" in " ".join(notes)) == told
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({sample.id: float(sample.label) for sample in load_dataset("folder", root)}))
    given = score_maps(maps, config, image_scores=scores, own_size=True)
    assert "highest score" not in " ".join(given.manifest.model.notes)


@pytest.mark.parametrize(
    ("shape", "told"),
    [((96, 10), True), ((64, 32), True), ((32, 64), False), ((28, 28), False), ((7, 13), False)],
)
def test_maps_of_another_shape_than_their_pictures_are_told(tmp_path, shape, told):
    """A turned or otherwise bent map is told; a square one, and one whose few rows are rounded, is not."""
    root = folder_of(tmp_path / "part", size=(64, 32))
    maps = maps_of(root, tmp_path / "maps", lambda _, draw: draw.random(shape))
    run = score_maps(maps, RunConfig(data=root, out=tmp_path / "runs", resamples=0), own_size=True)
    notes = " ".join(run.manifest.model.notes)
    assert (f"part/good/0 (map {shape[1]} x {shape[0]}, picture 64 x 32) and 5 more" in notes) == told


def test_maps_of_one_value_are_told(tmp_path):
    """Maps that say nothing are told as such, not as normalised ones."""
    root = folder_of(tmp_path / "part")
    maps = maps_of(root, tmp_path / "maps", lambda *_: np.zeros((32, 32)))
    notes = score_maps(maps, RunConfig(data=root, out=tmp_path / "runs", resamples=0)).manifest.model.notes
    assert "all maps have the score 0 everywhere" in notes
