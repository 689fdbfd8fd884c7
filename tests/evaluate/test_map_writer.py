"""``bench --maps``: maps that ``lvlm-ad score`` reads back."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import lvlm_ad
from lvlm_ad.datasets import Dataset, Sample, load_dataset
from lvlm_ad.errors import ConfigError, DataError, RunError
from lvlm_ad.evaluate import RunConfig, score_maps
from lvlm_ad.evaluate.map_files import read_map
from lvlm_ad.evaluate.map_writer import IMAGE_SCORES
from lvlm_ad.evaluate.score_maps import find_maps, read_image_scores
from lvlm_ad.evaluate.score_names import file_names
from lvlm_ad.runs import METRIC_NAMES


def scored(folder, data, out):
    """The run that ``lvlm-ad score`` makes of a row's maps and image scores."""
    config = RunConfig(data=data, out=out, resamples=0, settings={"image_size": 96})
    return score_maps(folder, config, image_scores=folder / IMAGE_SCORES)


def names_in(folder):
    """Every file in a folder, as a path within it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("kind", "tolerance"), [("tiff", 1e-12), ("png", 2e-3)])
def test_score_gives_the_metrics_of_the_bench(kept_data, grid, out, tmp_path, kind, tolerance):
    """Regions rows and own maps; floats give the same numbers, 16 bits nearly."""
    maps = tmp_path / "maps"
    runs = lvlm_ad.bench(data=kept_data, settings=grid, out=out, resamples=0, maps=maps, map_format=kind)
    assert sorted(one.name for one in maps.iterdir()) == ["chance", "contrast", "contrast-dense", "oracle"]
    for run in runs:
        model = run.manifest.model
        folder = maps / (f"{model.name}-dense" if model.row == "dense" else model.name)
        assert f"bolt/test/hole/002.{kind}" in names_in(folder)
        assert len(names_in(folder)) == 13
        assert read_map(folder / f"nut1/test/good/000.{kind}").shape == (96, 96)
        again = scored(folder, kept_data, tmp_path / "scored")
        for category, metrics in run.metrics["categories"].items():
            for name in METRIC_NAMES:
                assert again.metrics["categories"][category][name] == pytest.approx(metrics[name], abs=tolerance)


def test_an_image_without_answer_counts_as_the_bench_counts_it(bench, endpoint, kept_data, tmp_path):
    """As an empty map and the score 0, or with "exclude" not at all; a map of an earlier bench does not stay."""
    asked = []

    def reply(body):
        asked.append(body)
        return "I cannot say." if len(asked) % 4 == 1 else "image anomaly score: 0.7; region 6: 0.9."

    endpoint.reply = reply
    maps = tmp_path / "maps"
    run = bench(maps=maps, concurrency=1)
    silent = [record.id for record in run.predictions if record.image_score is None]
    assert len(silent) == 3
    dataset = load_dataset("folder", kept_data)
    files, scores = find_maps(dataset, maps / "gpt-4v"), read_image_scores(maps / "gpt-4v" / IMAGE_SCORES, dataset)
    for sample in dataset:
        expected = (0.0, 0.0) if sample.id in silent else (np.float32(0.9), 0.7)
        assert (read_map(files[sample.id]).max(), scores[sample.id]) == expected
    assert scored(maps / "gpt-4v", kept_data, tmp_path / "scored").metrics["mean"]["pixel_ap"] == pytest.approx(
        run.metrics["mean"]["pixel_ap"], abs=1e-12
    )
    bench(maps=maps, on_failure="exclude")
    assert len(asked) == 12
    assert not any(files[name].exists() for name in silent)
    assert len((maps / "gpt-4v" / IMAGE_SCORES).read_text().splitlines()) == 10
    with pytest.raises(DataError, match="contains no map of 3 images"):
        find_maps(dataset, maps / "gpt-4v")


@pytest.mark.slow
def test_the_same_command_completes_the_maps(red, kept_data, grid, out, tmp_path):
    """Maps and scores that are missing or damaged are written again."""
    options = {"models": red, "reference_rows": False, "data": kept_data, "settings": grid, "out": out}
    options |= {"resamples": 0, "maps": tmp_path / "maps"}
    lvlm_ad.bench(**options)
    before = {name: (tmp_path / "maps" / name).read_bytes() for name in names_in(tmp_path / "maps")}
    (tmp_path / "maps/red/bolt/test/hole/000.tiff").write_bytes(b"half")
    shutil.rmtree(tmp_path / "maps/red-dense")
    lvlm_ad.bench(**options)
    assert {name: (tmp_path / "maps" / name).read_bytes() for name in names_in(tmp_path / "maps")} == before


def test_what_cannot_be_written_is_said_before_anything_is_asked(bench, endpoint, tmp_path, monkeypatch):
    """A file in the folder's place, maps in another format, and a disk that is too small end the bench at once."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"Maps cannot be written to .*file: File exists"):
        bench(maps=tmp_path / "file")
    other = tmp_path / "maps/gpt-4v/bolt/000.png"
    other.parent.mkdir(parents=True)
    Image.new("L", (2, 2)).save(other)
    with pytest.raises(ConfigError, match=r"gpt-4v holds maps in another format, such as 000\.png"):
        bench(maps=tmp_path / "maps")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=100))
    with pytest.raises(RunError, match=r"The maps of gpt-4v need about 0 MB, but .* has 0 MB free"):
        bench(maps=tmp_path / "other")
    assert not endpoint.asked


def test_two_models_do_not_share_a_folder(kept_data, grid, out, tmp_path):
    """Presets whose names give one folder are refused."""
    for name in ("a b", "a-b"):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nbaseline = "contrast"\n')
    models = [str(tmp_path / f"{name}.toml") for name in ("a b", "a-b")]
    with pytest.raises(ConfigError, match=r"Two models would write their maps to .*a-b; run them one after the other"):
        lvlm_ad.bench(models=models, data=kept_data, settings=grid, out=out, maps=tmp_path / "maps")


def test_a_full_disk_ends_the_bench_with_one_line(bench, tmp_path, monkeypatch):
    """The message names the map and says that the answers are kept; no half map stays."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lvlm_ad.files.os.fsync", full)
    with pytest.raises(RunError, match=r"\.tiff cannot be written: No space left on device\. Every answer so far is"):
        bench(maps=tmp_path / "maps")
    assert not names_in(tmp_path / "maps")


def test_every_map_has_a_name_that_means_its_image(tmp_path):
    """Also images outside the data set's folder, hidden ones, and two that differ in their suffix alone."""
    paths = ["test/a.png", "test/b.png", "test/b.jpg", "../outside/c.png", ".hidden/d.png", "test/e.v2.png"]
    samples = tuple(
        Sample(f"bolt/bent/{index}-{path.count('.')}", "bolt", True, "bent", tmp_path / "data" / path)
        for index, path in enumerate(paths)
    )
    dataset = Dataset("folder", tmp_path / "data", samples)
    names = file_names(dataset)
    assert list(names.values()) == ["test/a", samples[1].id, samples[2].id, samples[3].id, samples[4].id, "test/e.v2"]
    for name in names.values():
        path = tmp_path / "maps" / f"{name}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    found = find_maps(dataset, tmp_path / "maps")
    assert {one: path.read_text() for one, path in found.items()} == names
    with pytest.raises(DataError, match=r"The map of \.\./x/0 has no name of its own"):
        file_names(replace(dataset, samples=(replace(samples[3], id="../x/0"),)))


def test_no_name_in_the_scores_is_run_as_a_formula(small_data, grid, tmp_path):
    """A spreadsheet reads such a name as text, and ``read_image_scores`` finds its image."""
    (small_data / "bolt").rename(small_data / "=bolt")
    maps = tmp_path / "maps"
    lvlm_ad.bench(
        models="chance",
        reference_rows=False,
        data=small_data,
        settings=grid,
        out=tmp_path / "runs",
        resamples=0,
        maps=maps,
    )
    lines = (maps / "chance" / IMAGE_SCORES).read_text().splitlines()[1:]
    assert sum(line.startswith("./=bolt/test/") for line in lines) == 6
    assert not any(line.startswith("=") for line in lines)
    assert len(read_image_scores(maps / "chance" / IMAGE_SCORES, load_dataset("folder", small_data))) == 12
