import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lvlm_ad
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate import RunConfig, prepare, resolve
from lvlm_ad.regions import divide, division_options, sam

TINY_SAMS = Path(__file__).resolve().parents[1] / "tiny_sams.py"

NOISE = {
    "pred_iou_thresh": 0,
    "stability_score_thresh": 0,
    "crops_nms_thresh": 1,
    "max_area": 1e9,
    "sam_points_per_side": 3,
}
"""Random weights trust no mask of theirs, and each mask is scattered over the whole picture: none may be filtered."""

THREADS = "import torch; torch.set_num_threads(1)\n"


@pytest.fixture(scope="session")
def tiny_sam(tmp_path_factory):
    """A function from a name of ``tiny_sams.py`` to the model's folder; built by another process, once."""
    missing = [name for name in ("torch", "torchvision", "transformers") if find_spec(name) is None]
    if missing:
        pytest.skip(f"the sam division needs {', '.join(missing)}, not installed here")
    if int(version("transformers").partition(".")[0]) < 5:
        pytest.skip(f"transformers {version('transformers')} is too old for these tests; they need 5 or later")
    folder = tmp_path_factory.mktemp("tiny_sams")

    def build(name):
        if not (folder / name).exists():
            command = [sys.executable, str(TINY_SAMS), str(folder), name]
            built = subprocess.run(command, capture_output=True, text=True, check=False)
            assert built.returncode == 0, built.stderr
        return folder / name

    return build


@pytest.fixture
def square(photo):
    """A colour photograph, uint8 (192, 192, 3)."""
    return resize_image(photo, (192, 192))


def masks_of(regions):
    return regions.membership[:, regions.cells]


def assert_the_same_but_for_edges(one, other):
    """Each region has its like in the other division; rounding moves a mask's edge by single pixels."""
    ours, theirs = masks_of(one).reshape(one.count, -1), masks_of(other).reshape(other.count, -1)
    assert one.count == other.count > 5
    shared = ours.astype(int) @ theirs.T.astype(int)
    iou = shared / (ours.sum(axis=1)[:, None] + theirs.sum(axis=1)[None, :] - shared)
    assert iou.max(axis=1).min() > 0.95
    assert iou.max(axis=0).min() > 0.95


@pytest.mark.parametrize("name", ["sam", "sam2", "sam2_video"])
def test_regions_are_the_masks_that_transformers_generates(tiny_sam, square, name):
    """Overlapping masks of a fitting area become regions, largest first; pixels in the same masks are one cell."""
    from transformers import pipeline

    found = pipeline("mask-generation", model=str(tiny_sam(name)), device="cpu")(
        Image.fromarray(square),
        points_per_crop=3,
        pred_iou_thresh=0,
        stability_score_thresh=0,
        crops_nms_thresh=1,
    )["masks"]
    areas = sorted(int(mask.sum()) for mask in found)
    # Limits between the areas: some masks are too small, most are too large, so that gaps are left.
    low, high = (areas[1] + areas[2]) / 2, (areas[10] + areas[11]) / 2
    expected = {mask.numpy().tobytes() for mask in found if low < int(mask.sum()) < high}
    assert 5 < len(expected) < len(found)

    scale = 768**2 / 192**2
    limits = {"min_area": low * scale, "max_area": high * scale}
    regions = divide(square, "sam", sam_model=str(tiny_sam(name)), **{**NOISE, **limits})
    masks = masks_of(regions)
    assert regions.count == len(expected)
    assert {mask.tobytes() for mask in masks} == expected
    sizes = masks.sum(axis=(1, 2))
    assert (np.diff(sizes) <= 0).all()

    sets = {}
    for row in range(192):
        for column in range(192):
            sets.setdefault(masks[:, row, column].tobytes(), set()).add(int(regions.cells[row, column]))
    assert sorted(cell for cells in sets.values() for cell in cells) == list(range(regions.n_cells))
    assert (regions.membership.sum(axis=0) > 1).any(), "no masks overlap"
    assert (regions.membership.sum(axis=0) == 0).any(), "there is no gap"


def test_a_division_is_the_same_each_time(tiny_sam, square, tmp_path):
    """The same image, weights and settings give the same hash, here and in another process; others give another."""
    folder = tiny_sam("sam2")
    first = divide(square, "sam", sam_model=str(folder), **NOISE)
    assert divide(square.copy(), "sam", sam_model=str(folder), **NOISE).hash == first.hash
    assert divide(square[:, ::-1], "sam", sam_model=str(folder), **NOISE).hash != first.hash
    assert divide(square, "sam", sam_model=str(folder), **{**NOISE, "crops_nms_thresh": 0.9}).hash != first.hash
    np.save(tmp_path / "square.npy", square)
    code = (
        "import numpy as np; from lvlm_ad.regions import divide\n"
        f"square = np.load({str(tmp_path / 'square.npy')!r})\n"
        f"print(divide(square, 'sam', sam_model={str(folder)!r}, **{NOISE!r}).hash)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == first.hash


@pytest.mark.parametrize("name", ["sam", "sam2"])
def test_points_together_decide_no_region(tiny_sam, square, name):
    """One point at a time, a few or all together: the same regions, up to rounding at their edges."""
    folder = str(tiny_sam(name))
    together = divide(square, "sam", sam_model=folder, **NOISE)
    for points in (1, 4):
        apart = divide(square, "sam", sam_model=folder, sam_points_per_batch=points, **NOISE)
        assert_the_same_but_for_edges(together, apart)


def test_default_thresholds_leave_nothing_of_noise(tiny_sam, square):
    """With the published thresholds random weights give no mask at all; that is a division like any other."""
    regions = divide(square, "sam", sam_model=str(tiny_sam("sam2")), sam_points_per_side=3)
    assert (regions.count, regions.n_cells) == (0, 1)


@pytest.mark.parametrize("name", ["sam", "sam2"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 3), (60, 200)])
def test_images_of_any_shape_divide(tiny_sam, name, shape):
    """Thin, tiny and oblong images are divided; identical masks are one region, and each has a pixel."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    regions = divide(image, "sam", sam_model=str(tiny_sam(name)), **{**NOISE, "min_area": 0})
    assert regions.shape == shape
    assert regions.count >= 1
    masks = masks_of(regions)
    assert masks.any(axis=(1, 2)).all()
    assert len({mask.tobytes() for mask in masks}) == regions.count


@pytest.mark.parametrize("name", ["sam", "sam2"])
def test_an_oblong_image_is_cut_like_its_square(tiny_sam, photo, name):
    """An image that is no square is stretched to one, so that points lie all over it, and its masks are shrunk back."""
    oblong = resize_image(photo, (64, 192))
    options = {**NOISE, "sam_model": str(tiny_sam(name)), "min_area": 0}
    whole = masks_of(divide(resize_image(oblong, (192, 192)), "sam", **options))
    expected = {mask[::3].tobytes() for mask in whole if mask[::3].any()}
    assert {mask.tobytes() for mask in masks_of(divide(oblong, "sam", **options))} == expected
    assert len(expected) > 5


def test_the_model_is_loaded_once(tiny_sam, square, tmp_path):
    """Images one after the other use one model; the same weights in another folder are the same model."""
    folder = tiny_sam("sam")
    divide(square, "sam", sam_model=str(folder), **NOISE)
    (kept,) = sam._LOADED.values()
    copied = shutil.copytree(folder, tmp_path / "copied")
    divide(square[::-1], "sam", sam_model=str(copied), **NOISE)
    assert list(sam._LOADED.values()) == [kept]
    divide(square, "sam", sam_model=str(tiny_sam("sam2")), **NOISE)
    assert kept not in sam._LOADED.values()
    assert len(sam._LOADED) == 1


def test_threads_share_the_model(tiny_sam, photo):
    """Divided in several threads, each image gets its own regions."""
    from concurrent.futures import ThreadPoolExecutor

    images = [resize_image(np.roll(photo, 100 * turn, axis=1), (96, 96)) for turn in range(4)]
    options = {"sam_model": str(tiny_sam("sam2")), **NOISE}
    one_by_one = [divide(image, "sam", **options).hash for image in images]
    sam._LOADED.clear()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: divide(image, "sam", **options).hash, images))
    assert together == one_by_one
    assert len(set(together)) == 4


def limited(code):
    """Run code in a process whose memory can be bounded: ``limit(megabytes)`` allows so much more from there."""
    pytest.importorskip("resource", reason="the memory of a process can be bounded on Unix alone")
    head = (
        "import resource\n"
        "def limit(megabytes):\n"
        "    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))\n"
        "import numpy as np\n"
        "from lvlm_ad.regions import divide, sam\n"
    )
    return subprocess.run([sys.executable, "-c", THREADS + head + code], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_too_many_points_for_the_memory_are_halved(tiny_sam, square, tmp_path):
    """Where memory does not suffice for the points of a batch, fewer are taken, and the division is the same."""
    np.save(tmp_path / "square.npy", square)
    done = limited(
        f"square = np.load({str(tmp_path / 'square.npy')!r})\n"
        f"options = {{**{NOISE!r}, 'sam_points_per_side': 16, 'sam_model': {str(tiny_sam('sam2'))!r}}}\n"
        "free = divide(square, 'sam', sam_points_per_batch=8, **options)\n"
        "limit(150)\n"
        "bound = divide(square, 'sam', sam_points_per_batch=256, **options)\n"
        "(kept,) = sam._LOADED.values()\n"
        "print(kept._most, free.count, bound.count)\n"
        f"np.save({str(tmp_path / 'free.npy')!r}, np.packbits(free.membership[:, free.cells]))\n"
        f"np.save({str(tmp_path / 'bound.npy')!r}, np.packbits(bound.membership[:, bound.cells]))\n"
    )
    assert done.returncode == 0, done.stderr
    fits, free, bound = map(int, done.stdout.split())
    assert 1 <= fits < 256
    assert free == bound > 100
    differ = np.unpackbits(np.load(tmp_path / "free.npy") ^ np.load(tmp_path / "bound.npy")).sum()
    assert differ < free * square.shape[0] ** 2 / 1000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_memory_for_one_point_is_one_line(tiny_sam):
    """Where even one point is too much, the error says what can be done."""
    done = limited(
        "from lvlm_ad.errors import ConfigError\n"
        f"options = {{**{NOISE!r}, 'sam_model': {str(tiny_sam('sam2'))!r}}}\n"
        "divide(np.zeros((64, 64, 3), np.uint8), 'sam', **options)\n"
        "large = np.zeros((5000, 5000, 3), np.uint8)\n"
        "limit(250)\n"
        "try:\n"
        "    divide(large, 'sam', **options)\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    assert done.returncode == 0, done.stderr
    assert "out of memory on cpu even with one point at a time" in done.stdout
    assert "smaller model" in done.stdout
    assert done.stdout.count("\n") == 1


def fake_model(folder, kind="sam", **more):
    """Write a folder that looks like a model's and holds no weights that could be loaded."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **more}))
    (folder / "model.safetensors").write_bytes(b"no weights")
    return folder


def test_a_division_is_known_by_its_weights(tmp_path):
    """The identity holds what decides masks: the weights' content, not the folder's name, the device or the batch."""
    first = fake_model(tmp_path / "first")
    options = division_options("sam", {"sam_model": str(first)})
    identity = options.identity()
    assert json.loads(json.dumps(identity)) == identity
    assert identity == {
        "sam_weights": identity["sam_weights"],
        "min_area": 600,
        "max_area": 120_000,
        "sam_points_per_side": 32,
        "pred_iou_thresh": 0.88,
        "stability_score_thresh": 0.95,
        "crops_nms_thresh": 0.7,
    }
    assert options.record() == {"sam_model": str(first), **identity}

    def identity_of(**more):
        return division_options("sam", {"sam_model": str(first), **more}).identity()

    assert identity_of(sam_points_per_batch=3, sam_device="cpu") == identity
    assert identity_of(pred_iou_thresh=0.5) != identity
    assert identity_of(sam_model=str(shutil.copytree(first, tmp_path / "second"))) == identity
    (first / "model.safetensors").write_bytes(b"other weights")
    assert identity_of() != identity


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("superpixel", {"min_area": 600.0, "max_area": 120_000.0, "n_segments": 60, "compactness": 20.0}),
        ("grid", {"min_area": 600.0, "max_area": 120_000.0, "grid_rows": 16, "grid_columns": 16}),
    ],
)
def test_divisions_that_were_stored_stay_valid(small_data, method, options):
    """The keys of grid and superpixels are those of the versions before there were masks."""
    plan = resolve(RunConfig(data=small_data, settings={"division": method}))
    sample = plan.dataset[0]
    decides = {
        "version": 1,
        "files": plan.dataset.file_hashes[sample.id],
        "label": sample.label,
        "threshold": sample.threshold,
        "image_size": 768,
        "method": method,
        "options": options,
    }
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    assert prepare._Keys(plan, plan.division.identity()).of(sample) == key
    assert plan.division.record() == options


def test_wrong_settings_are_one_line(tmp_path, square):
    """Wrong options, a folder that is none, and what is not installed are said in one line."""
    with pytest.raises(ConfigError, match=r"Did you mean 'stability_score_thresh'"):
        division_options("sam", {"stability_score_tresh": 0.5})
    with pytest.raises(ConfigError, match=r"pred_iou_thresh.*got 2"):
        division_options("sam", {"pred_iou_thresh": 2})
    if find_spec("torch") is None:
        with pytest.raises(ConfigError, match=r"pip install 'lvlm-ad\[local\]'"):
            divide(square, "sam", sam_model=str(fake_model(tmp_path / "fake")))
        return
    with pytest.raises(ConfigError, match="no folder"):
        divide(square, "sam", sam_model=str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        divide(square, "sam", sam_model=str(tmp_path))


def test_a_model_that_is_none_is_one_line(tmp_path, square, tiny_sam):
    """Another kind of model, damaged or missing weights, no image processor, no such device: one line each."""
    from safetensors.numpy import load_file, save_file

    def says(folder, **options):
        with pytest.raises(ConfigError) as caught:
            divide(square, "sam", sam_model=str(folder), **{**NOISE, **options})
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "is a llama, not a Segment Anything model" in says(fake_model(tmp_path / "llama", "llama"))
    assert "cannot be loaded" in says(fake_model(tmp_path / "damaged"))
    assert "cannot be loaded" in says(fake_model(tmp_path / "unknown", "nothing-known"))

    lacking = shutil.copytree(tiny_sam("sam"), tmp_path / "lacking")
    weights = load_file(lacking / "model.safetensors")
    weights.pop("mask_decoder.iou_token.weight")
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 1 of the model's weights, such as mask_decoder.iou_token.weight" in says(lacking)

    bare = shutil.copytree(tiny_sam("sam"), tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    assert "cannot be loaded" in says(bare)

    other = shutil.copytree(tiny_sam("sam"), tmp_path / "other")
    shutil.copy(tiny_sam("sam2") / "preprocessor_config.json", other)
    (other / "preprocessor_config.json").write_text(
        (other / "preprocessor_config.json").read_text().replace(": 128", ": 64")
    )
    assert "cannot divide an image" in says(other)

    assert "There is no device 'gpu'" in says(tiny_sam("sam"), sam_device="gpu")
    import torch

    if not torch.cuda.is_available():
        assert "has no cuda" in says(tiny_sam("sam"), sam_device="cuda:1")


def test_a_models_own_code_is_not_run(tmp_path, square, tiny_sam):
    """A folder that brings code is refused, and the code is not run."""
    tiny_sam("sam")
    mapped = {"AutoConfig": "mine.Config", "AutoModelForMaskGeneration": "mine.Model"}
    folder = fake_model(tmp_path / "mine", "mine", auto_map=mapped)
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        divide(square, "sam", sam_model=str(folder))
    assert not (tmp_path / "ran").exists()


def settings_for(folder, **more):
    """Turn options into arguments of the command."""
    options = {**NOISE, "sam_model": folder, "image_size": 192, **more}
    return [part for key, value in options.items() for part in ("--set", f"{key}={value}")]


def test_bench_divides_by_sam(lvlm_ad_command, tiny_sam, tmp_path):
    """The offline rows run on overlapping masks; a second run divides nothing, wherever the same weights lie."""
    command = ["bench", "--division", "sam", "--dataset", "demo", "--limit", "2", "--model", "contrast", "--json"]
    first = lvlm_ad_command(*command, *settings_for(tiny_sam("sam2")))
    assert first.returncode == 0, first.stderr
    assert "dividing: 12\n" in first.stderr
    runs = {run["model"]: run for run in json.loads(first.stdout)["runs"]}
    assert list(runs) == ["contrast", "contrast (dense)", "chance", "oracle"]
    through = [runs[name]["metrics"]["mean"]["pixel_auroc"] for name in ("contrast", "chance", "oracle")]
    assert runs["oracle"]["metrics"]["mean"]["image_auroc"] == 1.0
    assert through[2] == max(through) > 0.5
    manifest = json.loads((Path(runs["oracle"]["dir"]) / "run.json").read_text())
    division = manifest["division"]
    assert division["method"] == "sam"
    assert division["options"]["sam_model"] == str(tiny_sam("sam2"))
    assert len(division["options"]["sam_weights"]) == 64
    assert not {"sam_device", "sam_points_per_batch"} & set(division["options"])

    moved = shutil.copytree(tiny_sam("sam2"), tmp_path / "moved")
    again = lvlm_ad_command(*command, *settings_for(moved, sam_points_per_batch=5, sam_device="cpu"))
    assert again.returncode == 0, again.stderr
    assert "dividing: 12 (12 stored)" in again.stderr
    repeated = {run["model"]: run for run in json.loads(again.stdout)["runs"]}
    assert {name: run["dir"] for name, run in repeated.items()} == {name: run["dir"] for name, run in runs.items()}


def test_ask_draws_masks(lvlm_ad_command, tiny_sam, small_data):
    """One image is divided and marked in the same way."""
    image = small_data / "bolt" / "test" / "hole" / "001.png"
    asked = lvlm_ad_command("ask", image, "--model", "contrast", "--division", "sam", *settings_for(tiny_sam("sam2")))
    assert asked.returncode == 0, asked.stderr
    assert "image score" in asked.stderr


def test_a_bench_loads_one_model_and_lets_it_go(tiny_sam, small_data, tmp_path, monkeypatch):
    """However many images there are, they are divided in this process, by one model, whose memory then is free."""
    load, loaded = sam._load, []
    monkeypatch.setattr(sam, "_load", lambda *arguments: loaded.append(arguments) or load(*arguments))
    sam._LOADED.clear()
    settings = {"division": "sam", "sam_model": str(tiny_sam("sam2")), "image_size": 96, **NOISE}
    (run,) = lvlm_ad.bench(models="oracle", data=small_data, out=tmp_path / "out", frame=False, settings=settings)
    assert len(run.predictions) == 12
    assert len(loaded) == 1
    assert not sam._LOADED


def test_ctrl_c_keeps_what_was_divided(tiny_sam, small_data, tmp_path):
    """Interrupted while it divides, it ends with 130, and goes on from there."""
    out = tmp_path / "out"
    # Many points make it slow; few of their masks are kept.
    settings = settings_for(tiny_sam("sam2"), sam_points_per_side=8, crops_nms_thresh=0.5, division="sam")
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "oracle", "--no-frame", "--data", str(small_data)),
        *("--out", str(out), *settings),
    ]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "160"},
        # A test run that was itself started in the background may pass on an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread locks here
    )
    deadline = time.monotonic() + 120
    while stored(out) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    kept = stored(out)
    assert 2 <= kept < 12
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"dividing: 12 ({kept} stored)" in again.stderr


def stored(out):
    """Count the divisions in an output folder."""
    if not (out / "cache.sqlite").exists():
        return 0
    try:
        with sqlite3.connect(out / "cache.sqlite") as db:
            return db.execute("SELECT count(*) FROM divisions").fetchone()[0]
    except sqlite3.OperationalError:  # its table is not there yet
        return 0
