import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

import lvlm_ad
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.errors import ConfigError
from lvlm_ad.regions import divide, division_options, sam

NOISE = {
    "pred_iou_thresh": 0,
    "stability_score_thresh": 0,
    "crops_nms_thresh": 1,
    "max_area": 1e9,
    "sam_points_per_side": 3,
}
"""Models with random weights trust none of their masks, and scatter each over the whole picture: keep them all."""

SAM2_BY_DEFAULT = [pytest.param("sam", marks=pytest.mark.slow), "sam2"]


@pytest.fixture
def square(photo):
    """A colour photograph, uint8 (96, 96, 3)."""
    return resize_image(photo, (96, 96))


def masks_of(regions):
    return regions.membership[:, regions.cells]


def fake_model(folder, kind="sam", **more):
    """Write a folder that looks like a model's and has no weights that could be loaded."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **more}))
    (folder / "model.safetensors").write_bytes(b"no weights")
    return folder


def test_a_division_is_known_by_its_weights(tmp_path):
    """The identity covers what masks depend on: the weights, not the folder's name, the device or the batch."""
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


def test_wrong_settings_are_one_line(tmp_path, square):
    """Wrong options and a model that is not there, or torch where it is not installed, give one line."""
    with pytest.raises(ConfigError, match=r"Did you mean 'stability_score_thresh'"):
        division_options("sam", {"stability_score_tresh": 0.5})
    with pytest.raises(ConfigError, match=r"pred_iou_thresh.*got 2"):
        division_options("sam", {"pred_iou_thresh": 2})
    with pytest.raises(ConfigError, match="no folder"):
        division_options("sam", {"sam_model": str(tmp_path / "nowhere")}).identity()
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        division_options("sam", {"sam_model": str(tmp_path)}).identity()
    if find_spec("torch") is None:
        with pytest.raises(ConfigError, match=r"pip install 'lvlm-ad\[local\]'"):
            divide(square, "sam", sam_model=str(fake_model(tmp_path / "fake")))


@pytest.mark.heavy
@pytest.mark.parametrize("name", [*SAM2_BY_DEFAULT, pytest.param("sam2_video", marks=pytest.mark.slow)])
def test_regions_are_the_masks_that_transformers_generates(tiny_sam, square, name):
    """Overlapping masks of a fitting area become regions, largest first, and their cells are exactly their overlaps."""
    from transformers import pipeline

    generated = pipeline("mask-generation", model=str(tiny_sam(name)), device="cpu")(
        Image.fromarray(square),
        points_per_crop=3,
        pred_iou_thresh=0,
        stability_score_thresh=0,
        crops_nms_thresh=1,
    )["masks"]
    areas = sorted(int(mask.sum()) for mask in generated)
    # Limits between the areas: some masks are too small and most are too large, so that gaps are left.
    low, high = (areas[1] + areas[2]) / 2, (areas[10] + areas[11]) / 2
    expected = {mask.numpy().tobytes() for mask in generated if low < int(mask.sum()) < high}
    assert 5 < len(expected) < len(generated)

    scale = 768**2 / 96**2
    limits = {"min_area": low * scale, "max_area": high * scale}
    regions = divide(square, "sam", sam_model=str(tiny_sam(name)), **{**NOISE, **limits})
    masks = masks_of(regions)
    assert regions.count == len(expected)
    assert {mask.tobytes() for mask in masks} == expected
    assert (np.diff(masks.sum(axis=(1, 2))) <= 0).all()
    assert (regions.membership.sum(axis=0) > 1).any(), "no masks overlap"
    assert (regions.membership.sum(axis=0) == 0).any(), "there is no gap"


@pytest.mark.heavy
def test_a_division_is_the_same_each_time(tiny_sam, square):
    """The same image, weights and settings give the same hash; others give another; strict thresholds leave no mask."""
    folder = str(tiny_sam("sam2"))
    first = divide(square, "sam", sam_model=folder, **NOISE)
    sam._LOADED.clear()
    assert divide(square.copy(), "sam", sam_model=folder, **NOISE).hash == first.hash
    assert divide(square[:, ::-1], "sam", sam_model=folder, **NOISE).hash != first.hash
    assert divide(square, "sam", sam_model=folder, **{**NOISE, "crops_nms_thresh": 0.9}).hash != first.hash
    assert divide(square, "sam", sam_model=folder, sam_points_per_side=3).count == 0


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam", "sam2"])
def test_points_together_decide_no_region(tiny_sam, photo, name):
    """One point at a time, a few or all together: the same regions, up to rounding at their edges."""
    square, folder = resize_image(photo, (192, 192)), str(tiny_sam(name))
    together = divide(square, "sam", sam_model=folder, **NOISE)
    ours = masks_of(together).reshape(together.count, -1)
    for points in (1, 4):
        apart = divide(square, "sam", sam_model=folder, sam_points_per_batch=points, **NOISE)
        theirs = masks_of(apart).reshape(apart.count, -1)
        assert together.count == apart.count > 5
        shared = ours.astype(int) @ theirs.T.astype(int)
        iou = shared / (ours.sum(axis=1)[:, None] + theirs.sum(axis=1)[None, :] - shared)
        assert iou.max(axis=1).min() > 0.95
        assert iou.max(axis=0).min() > 0.95


@pytest.mark.heavy
@pytest.mark.parametrize("name", SAM2_BY_DEFAULT)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 3), (60, 200)])
def test_images_of_any_shape_divide(tiny_sam, name, shape):
    """Thin, tiny and oblong images are divided; identical masks are one region, and each region has a pixel."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    regions = divide(image, "sam", sam_model=str(tiny_sam(name)), **{**NOISE, "min_area": 0})
    assert regions.shape == shape
    assert regions.count >= 1
    masks = masks_of(regions)
    assert masks.any(axis=(1, 2)).all()
    assert len({mask.tobytes() for mask in masks}) == regions.count


@pytest.mark.heavy
@pytest.mark.parametrize("name", SAM2_BY_DEFAULT)
def test_an_oblong_image_is_divided_like_its_square(tiny_sam, photo, name):
    """An oblong image is stretched to a square, so that points lie all over it, and its masks are shrunk back."""
    oblong = resize_image(photo, (32, 96))
    options = {**NOISE, "sam_model": str(tiny_sam(name)), "min_area": 0}
    whole = masks_of(divide(resize_image(oblong, (96, 96)), "sam", **options))
    expected = {mask[::3].tobytes() for mask in whole if mask[::3].any()}
    assert {mask.tobytes() for mask in masks_of(divide(oblong, "sam", **options))} == expected
    assert len(expected) > 5


@pytest.mark.heavy
def test_threads_share_one_model(tiny_sam, photo, monkeypatch):
    """Divided in several threads, each image gets its own regions, and the model is loaded once."""
    from concurrent.futures import ThreadPoolExecutor

    images = [resize_image(np.roll(photo, 100 * turn, axis=1), (96, 96)) for turn in range(4)]
    options = {"sam_model": str(tiny_sam("sam2")), **NOISE}
    one_by_one = [divide(image, "sam", **options).hash for image in images]
    sam._LOADED.clear()
    load, loaded = sam._load, []
    monkeypatch.setattr(sam, "_load", lambda *arguments: loaded.append(arguments) or load(*arguments))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: divide(image, "sam", **options).hash, images))
    assert together == one_by_one
    assert len(set(together)) == 4
    assert len(loaded) == 1


def limited(code):
    """Run code in a process whose memory can be bounded: ``limit(megabytes)`` allows so much more from there."""
    head = (
        "import torch; torch.set_num_threads(1)\n"
        "import resource\n"
        "def limit(megabytes):\n"
        "    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))\n"
        "import numpy as np\n"
        "from lvlm_ad.errors import ConfigError\n"
        "from lvlm_ad.regions import divide, sam\n"
    )
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_too_many_points_for_the_memory_are_halved(tiny_sam, photo, tmp_path):
    """If memory does not suffice for the points of a batch, fewer are taken, and the division is the same."""
    square = resize_image(photo, (192, 192))
    np.save(tmp_path / "square.npy", square)
    printed = limited(
        f"square = np.load({str(tmp_path / 'square.npy')!r})\n"
        f"options = {{**{NOISE!r}, 'sam_points_per_side': 16, 'sam_model': {str(tiny_sam('sam2'))!r}}}\n"
        "free = divide(square, 'sam', sam_points_per_batch=8, **options)\n"
        "limit(150)\n"
        "bound = divide(square, 'sam', sam_points_per_batch=256, **options)\n"
        "(generator,) = sam._LOADED.values()\n"
        "differ = free.membership[:, free.cells] != bound.membership[:, bound.cells]\n"
        "print(generator._most_points, free.count, bound.count, differ.sum())\n"
    )
    fits, free, bound, differ = map(int, printed.split())
    assert 1 <= fits < 256
    assert free == bound > 100
    assert differ < free * square.shape[0] ** 2 / 1000


@pytest.mark.heavy
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_memory_for_one_point_is_one_line(tiny_sam):
    """If even one point is too much, the error tells what to do."""
    printed = limited(
        f"options = {{**{NOISE!r}, 'sam_model': {str(tiny_sam('sam2'))!r}}}\n"
        "divide(np.zeros((64, 64, 3), np.uint8), 'sam', **options)\n"
        "large = np.zeros((5000, 5000, 3), np.uint8)\n"
        "limit(250)\n"
        "try:\n"
        "    divide(large, 'sam', **options)\n"
        "except ConfigError as error:\n"
        "    print(error)\n"
    )
    assert "out of memory on cpu even with one point at a time" in printed
    assert "smaller model" in printed
    assert printed.count("\n") == 1


@pytest.mark.heavy
def test_a_model_that_cannot_be_used_is_one_line(tmp_path, square, tiny_sam):
    """Another kind of model, damaged or missing weights, no image processor, no such device: one line each."""
    from safetensors.numpy import load_file, save_file

    def message(folder, **options):
        with pytest.raises(ConfigError) as caught:
            divide(square, "sam", sam_model=str(folder), **{**NOISE, **options})
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "is a llama, not a Segment Anything model" in message(fake_model(tmp_path / "llama", "llama"))
    assert "cannot be loaded" in message(fake_model(tmp_path / "damaged"))
    assert "cannot be loaded" in message(fake_model(tmp_path / "unknown", "nothing-known"))

    lacking = shutil.copytree(tiny_sam("sam"), tmp_path / "lacking")
    weights = load_file(lacking / "model.safetensors")
    weights.pop("mask_decoder.iou_token.weight")
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 1 of the model's weights, such as mask_decoder.iou_token.weight" in message(lacking)

    bare = shutil.copytree(tiny_sam("sam"), tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    assert "cannot be loaded" in message(bare)

    other = shutil.copytree(tiny_sam("sam"), tmp_path / "other")
    settings = (tiny_sam("sam2") / "preprocessor_config.json").read_text().replace(": 128", ": 64")
    (other / "preprocessor_config.json").write_text(settings)
    assert "cannot divide an image" in message(other)

    assert "There is no device 'gpu'" in message(tiny_sam("sam"), sam_device="gpu")
    import torch

    if not torch.cuda.is_available():
        assert "has no cuda" in message(tiny_sam("sam"), sam_device="cuda:1")


@pytest.mark.heavy
def test_a_models_own_code_is_not_run(tmp_path, square):
    """A folder that brings code is refused, and the code is not run."""
    mapped = {"AutoConfig": "mine.Config", "AutoModelForMaskGeneration": "mine.Model"}
    folder = fake_model(tmp_path / "mine", "mine", auto_map=mapped)
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        divide(square, "sam", sam_model=str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.heavy
def test_a_bench_divides_by_one_model_and_releases_it(tiny_sam, small_data, tmp_path, monkeypatch):
    """All images are divided by one model, which is then unloaded; later, the same weights elsewhere divide nothing."""
    load, loaded = sam._load, []
    monkeypatch.setattr(sam, "_load", lambda *arguments: loaded.append(arguments) or load(*arguments))
    sam._LOADED.clear()
    settings = {"division": "sam", "sam_model": str(tiny_sam("sam2")), "image_size": 96, **NOISE}

    def bench(**changes):
        changed = {**settings, **changes}
        (run,) = lvlm_ad.bench(models="oracle", data=small_data, out=tmp_path / "out", frame=False, settings=changed)
        return run

    run = bench()
    assert len(run.predictions) == 12
    assert len(loaded) == 1
    assert not sam._LOADED
    recorded = json.loads((run.dir / "run.json").read_text())["division"]
    assert recorded["method"] == "sam"
    assert recorded["options"]["sam_model"] == settings["sam_model"]
    assert len(recorded["options"]["sam_weights"]) == 64
    assert not {"sam_device", "sam_points_per_batch"} & set(recorded["options"])

    moved = shutil.copytree(tiny_sam("sam2"), tmp_path / "moved")
    assert bench(sam_model=str(moved), sam_points_per_batch=5, sam_device="cpu").dir == run.dir
    assert len(loaded) == 1
