"""Run folders: written and read back, damaged, newer, or a stranger's."""

import io
import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.files import read_arrays
from lvlm_ad.limits import MANIFEST_BYTES
from lvlm_ad.runs import Runs, each_separately, find_runs, only_run, read_run, read_runs, write_run

FROZEN = Path(__file__).parents[1] / "data" / "v0_1" / "out"
FILES = ("run.json", "metrics.json", "predictions.jsonl", "pixels.npz")


@pytest.fixture
def folder(tmp_path):
    """The folder of a run: chance on 22 images of two categories."""
    return Path(shutil.copytree(next(FROZEN.glob("chance-*")), tmp_path / "runs" / "chance"))


def nested(depth):
    """A list in lists."""
    return [] if depth == 1 else [nested(depth - 1)]


def change(file, place, value):
    """Set one field of a JSON file, named as in "mean.image_auroc"."""
    content = part = json.loads(file.read_text())
    *parents, last = place.split(".")
    for name in parents:
        part = part[name]
    part[last] = value
    file.write_text(json.dumps(content))


def test_a_run_is_written_and_read_back(folder, tmp_path):
    """Manifest, metrics, predictions and histograms survive, and so do odd characters in an answer."""
    run = read_run(folder)
    odd = run.predictions[0].model_copy(update={"text": "a\nb\r\u2028\x00\x1b \U0001f600", "regions": {2: 0.5}})
    run = replace(run, dir=tmp_path / "again", predictions=[odd, *run.predictions[1:]])
    write_run(run)
    back = read_run(run.dir)
    assert (back.manifest, back.metrics, back.predictions) == (run.manifest, run.metrics, run.predictions)
    for one, other in zip(run.histograms, back.histograms, strict=True):
        assert all((getattr(one, name) == getattr(other, name)).all() for name in ("scores", "normal", "overlap"))
    write_run(replace(run, histograms=None))
    assert read_run(run.dir).histograms is None


def test_runs_are_found(folder):
    """In a folder of runs, or the folder itself; where one run is needed, none and several are errors."""
    root = folder.parent
    assert find_runs(root) == find_runs(folder) == [only_run(root)] == [folder]
    shutil.copytree(folder, root / "other")
    with pytest.raises(RunError, match=r"contains 2 runs; name one, such as .*chance"):
        only_run(root)
    with pytest.raises(RunError, match="is not a run and contains none"):
        only_run(root.parent)


def test_one_damaged_run_does_not_hide_the_others(folder):
    """The others are read, and each damaged or half-copied run has its message."""
    root = folder.parent
    for name in ("damaged", "without manifest"):
        shutil.copytree(folder, root / name)
    (root / "damaged" / "run.json").write_text("{")
    (root / "without manifest" / "run.json").unlink()
    runs, problems = read_runs(root)
    assert [(run.dir, run.predictions) for run in runs] == [(folder, [])]
    assert len(problems) == 2
    assert "without manifest is incomplete: run.json is missing" in problems[0]
    assert "damaged is damaged: run.json: it is not valid JSON: " in problems[1]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run.json", '{"schema_version": 99}', "A newer lvlm-ad wrote"),
        ("run.json", '{"schema_version": 1}', "run.json: config_hash is missing"),
        ("run.json", "[]", "run.json: it must be an object"),
        ("run.json", "[" * 100_000, "damaged: run.json"),
        ("metrics.json", "{}", "metrics.json: mean is missing"),
        ("metrics.json", "[" * 100_000, "damaged: metrics.json"),
        ("metrics.json", None, "incomplete: metrics.json cannot be read"),
        ("predictions.jsonl", "{}\n", "damaged: predictions.jsonl"),
        ("predictions.jsonl", "", "incomplete: it has 0 of 22 predictions"),
        ("pixels.npz", "PK", "damaged: pixels.npz: BadZipFile"),
    ],
)
def test_damaged_and_newer_files_are_refused(folder, file, content, message):
    """One line names the folder, the file and what is wrong."""
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(RunError, match=message) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)


def test_a_place_that_is_no_shape_is_refused(folder):
    """Maps and pages draw places, so a stranger's are checked when the run is read."""
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    lines[0] = f'{lines[0][:-1]},"shapes":[{{"box":[1,2],"score":0.5}}]}}'
    (folder / "predictions.jsonl").write_text("\n".join([*lines, ""]))
    with pytest.raises(RunError, match=r"damaged: predictions.jsonl: shapes "):
        read_run(folder)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("mean", []),
        ("mean.image_auroc", float("nan")),
        ("mean.image_auroc", "0.5"),
        ("mean.pixel_ap", 7),
        ("mean.interval", None),
        ("mean.interval", {"image_auroc": ["a", "b"]}),
        ("mean.interval", {"image_auroc": [0.5]}),
        ("mean.interval", {"image_auroc": [0.6, 0.5]}),
        ("mean.range", {"image_auroc": [None, 1]}),
        ("mean.undefined", {"pixel_ap": {}}),
        ("mean.n_images", "many"),
        ("categories.bolt", []),
        ("answers", {}),
        ("answers.refused", "many"),
        ("answers.total", 0),
        ("usage.cost_usd", "0.5"),
        ("usage.cost_usd", -5.0),
        ("usage.seconds", 1e300),
        ("coverage", 2.5),
    ],
)
def test_every_field_of_metrics_is_checked(folder, place, value):
    """Valid JSON with a wrong value is refused, and the message names the field."""
    change(folder / "metrics.json", place, value)
    _, (problem,) = read_runs(folder.parent)
    assert f"chance is damaged: metrics.json: {place}" in problem


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("dataset.categories", []),
        ("dataset.n_images", 0),
        ("protocol", {"shots": "two"}),
        ("protocol", {"image_size": -1}),
        ("protocol", {"image_size": 10**7}),
        ("protocol", {"border_width": 10**9}),
        ("protocol", {"scoring": ["text"]}),
        ("protocol", {"own": nested(25)}),
        ("model.identity", {"weights": nested(100)}),
        ("model.identity", {"seed": 10**60}),
        ("model.price", {"price_input": "cheap"}),
        ("division.options", {"grid_rows": [float("inf")]}),
        ("seed", 10**60),
        ("dataset.n_images", 10**30),
        ("seconds", 1e300),
        ("started", "yesterday"),
        ("started", "yesterday" * 10**5),
    ],
)
def test_every_field_of_a_manifest_is_checked(folder, place, value):
    """Tables and pages can rely on the kind of each value."""
    change(folder / "run.json", place, value)
    with pytest.raises(RunError, match=f"run.json: {place}") as caught:
        read_run(folder)
    assert len(str(caught.value)) < 1000


def test_files_of_different_runs_are_refused(folder):
    """Predictions must have the manifest's categories, and scores in 0..1 unless they come from files of maps."""
    change(folder / "run.json", "dataset.categories", ["bolt", "../../etc"])
    with pytest.raises(RunError, match="names other categories"):
        read_run(folder)
    change(folder / "run.json", "dataset.categories", ["bolt", "nut1"])
    lines = (folder / "predictions.jsonl").read_text().splitlines()
    first = {**json.loads(lines[0]), "image_score": 7.0}
    (folder / "predictions.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]))
    with pytest.raises(RunError, match=r"is not in 0\.\.1"):
        read_run(folder)
    change(folder / "run.json", "model.kind", "maps")
    assert read_run(folder).predictions[0].image_score == 7.0


@pytest.mark.parametrize(
    ("file", "size", "message"),
    [
        ("run.json", MANIFEST_BYTES + 1, "run.json: it is larger than 16,777,216 bytes"),
        ("metrics.json", 1 << 40, "metrics.json: it is larger than 16,777,216 bytes"),
        ("predictions.jsonl", 1 << 40, "predictions.jsonl: it is larger than 2,147,483,648 bytes"),
        ("predictions.jsonl", 1 << 30, "predictions.jsonl: line 23 is longer than 4,194,304 bytes"),
    ],
)
def test_a_file_is_read_below_a_stated_size(folder, file, size, message):
    """A file with a long hole, which takes no space on the disk, is named with its limit."""
    os.truncate(folder / file, size)
    with pytest.raises(RunError, match=message):
        read_run(folder)


@pytest.mark.parametrize("count", [2**53, 70_000, 40_000, 5000])
def test_an_image_has_no_more_regions_than_fit(folder, count):
    """Above 65,536, above the image's pixels, or above what a partition with a least area allows."""
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    forged = [json.dumps({**line, "n_regions": count}) for line in lines]
    (folder / "predictions.jsonl").write_text("\n".join(forged))
    with pytest.raises(RunError, match=r"n_regions must be 65,536 or less|but only 983 fit into the image"):
        read_run(folder)


def test_more_predictions_than_images_are_not_read(folder):
    """A file of many lines takes no more memory than the run's images."""
    with (folder / "predictions.jsonl").open("a") as file:
        file.write("not even JSON\n" * 10_000)
    with pytest.raises(RunError, match=r"predictions\.jsonl: it is not valid JSON"):
        read_run(folder)
    line = (folder / "predictions.jsonl").read_text().splitlines()[0]
    (folder / "predictions.jsonl").write_text(f"{line}\n" * 10_000)
    with pytest.raises(RunError, match="it has 23 of 22 predictions"):
        read_run(folder)


@pytest.mark.parametrize("place", ["model.identity", "protocol", "model.notes"])
@pytest.mark.parametrize("value", [["a", "\ud800"], {"\udfff": 1}])
def test_texts_that_no_file_can_hold_are_refused(folder, place, value):
    """However deep they lie, as values and as names."""
    change(folder / "run.json", place, {"x": value} if place != "model.notes" else ["".join(value)])
    runs, (problem,) = read_runs(folder.parent)
    assert not runs
    assert "chance is damaged: run.json: " in problem
    problem.encode()


def test_whatever_one_run_raises_leaves_out_that_run_alone():
    """Memory, recursion, errors of our own and of Python: each is one line that names the run."""

    def use(number):
        if number == 1:
            return "used"
        raise {2: MemoryError(), 3: RecursionError("too deep"), 4: RunError("It is damaged."), 5: OverflowError()}[
            number
        ]

    used, problems = each_separately(range(1, 6), use)
    assert used == ["used"]
    assert problems == [
        "The run 2 cannot be used: MemoryError()",
        "The run 3 cannot be used: RecursionError('too deep')",
        "It is damaged.",
        "The run 5 cannot be used: OverflowError()",
    ]


def test_a_folder_whose_name_no_table_can_hold_is_left_out(folder):
    """A name in bytes that are no UTF-8 would end the writing of a leaderboard."""
    shutil.copytree(folder, folder.parent / os.fsdecode(b"odd-\xff"))
    runs, (problem,) = read_runs(folder.parent)
    assert [run.dir for run in runs] == [folder]
    assert "a text in it cannot be written as UTF-8" in problem


def without_last_image(arrays):
    """The arrays of one image less."""
    end = len(arrays["scores"]) - max(0, arrays["lengths"][-1])
    cut = {name: arrays[name][:end] for name in ("scores", "normal", "anomalous", "overlap")}
    return {**cut, "lengths": arrays["lengths"][:-1], "n_regions": arrays["n_regions"][:-1]}


@pytest.mark.parametrize(
    "forge",
    [
        without_last_image,
        lambda one: {**one, "normal": one["normal"] * 0 + 2**62},
        lambda one: {**one, "lengths": one["lengths"] * 0 + 2**61},
        lambda one: {**one, "lengths": one["lengths"].reshape(2, -1), "n_regions": one["n_regions"].reshape(2, -1)},
        lambda one: {**one, "more": np.zeros(200_000_000, np.uint8)},
    ],
)
def test_impossible_pixel_counts_are_refused(folder, forge):
    """A damaged or forged pixels.npz gives one line, whatever reads it later."""
    with np.load(folder / "pixels.npz", allow_pickle=False) as file:
        arrays = dict(file)
    np.savez_compressed(folder / "pixels.npz", **forge(arrays))
    with pytest.raises(RunError, match=r"is damaged: .*pixels\.npz"):
        read_run(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link out", "pipe", "folder", "link to nothing", "link to itself"])
def test_only_regular_files_of_the_run_are_read(name, kind, folder, tmp_path):
    """A link to somebody's file and a pipe that never ends are refused at once."""
    path = folder / name
    path.unlink()
    if kind == "link out":
        (tmp_path / "secret.txt").write_text("secret words")
        path.symlink_to(tmp_path / "secret.txt")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path if kind == "link to itself" else tmp_path / "nothing")
    with pytest.raises(RunError, match=name) as caught:
        read_run(folder)
    assert "secret words" not in str(caught.value)


class _Trap:
    def __reduce__(self):
        return (os.system, ("touch trapped",))


def npz(path, name, data):
    """Write an archive with one member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)


def array_header(shape, dtype):
    """The header of an array's file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_an_archive_runs_nothing_and_needs_no_more_memory_than_its_size(folder, tmp_path, monkeypatch):
    """A pickle, a header that announces a petabyte, and zeros that unpack to gigabytes are refused."""
    monkeypatch.chdir(tmp_path)
    npz(folder / "pixels.npz", "lengths.npy", array_header((1,), "|O") + pickle.dumps([_Trap()]))
    with pytest.raises(RunError, match="damaged"):
        read_run(folder)
    assert not (tmp_path / "trapped").exists()
    npz(folder / "pixels.npz", "lengths.npy", array_header((1 << 50,), "<i8"))
    with pytest.raises(RunError, match="damaged"):
        read_run(folder)
    npz(folder / "pixels.npz", "lengths.npy", array_header((1 << 20,), "|u1") + bytes(1 << 20))
    with (folder / "pixels.npz").open("rb") as archive, pytest.raises(ValueError, match="unpack"):
        read_arrays(archive, largest=1 << 19)


def test_notebooks_show_tables_of_runs(folder):
    """One row per category and the mean, or one row per run, in percent; a stranger's name is escaped."""
    run = read_run(folder)
    table = ET.fromstring(run._repr_html_())
    rows = [["".join(cell.itertext()) for cell in row] for row in table.findall("tbody/tr")]
    assert [row[0] for row in rows] == ["bolt", "nut1", "mean"]
    assert rows[2][1] == f"{100 * run.metrics['mean']['image_auroc']:.1f}"
    model = run.manifest.model.model_copy(update={"name": "<script>"})
    hostile = replace(run, manifest=run.manifest.model_copy(update={"model": model}))
    assert "<script>" not in Runs([hostile])._repr_html_() + hostile._repr_html_()
