"""The built-in demo: its layout, its masks, and what happens to folders that hold something else."""

import shutil
import socket

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import demo as demo_module
from lvlm_ad.datasets import demo_canvas, load_dataset
from lvlm_ad.datasets.demo import make_demo
from lvlm_ad.datasets.demo_pictures import CATEGORIES, draw_picture
from lvlm_ad.errors import DataError

SIZE = 64
SETTINGS = {"images": 6, "seed": 3, "size": SIZE}


def files(root):
    """What a folder holds: relative path -> bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A small demo that no test may change, drawn where no connection can be opened."""
    with pytest.MonkeyPatch.context() as patched:
        demo_canvas._photo.cache_clear()
        patched.setattr(socket.socket, "connect", lambda *_: pytest.fail("the demo asked for the network"))
        patched.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("the demo asked for the network"))
        return make_demo(tmp_path_factory.mktemp("demo") / "set", **SETTINGS)


def test_the_demo_is_in_the_layout_of_mvtec_ad(demo):
    """Each category has training images, as many good as defective test images, every defect, and a mask for each."""
    dataset = load_dataset("demo", demo)
    assert dataset.categories == tuple(CATEGORIES)
    assert len(dataset) == 6 * len(CATEGORIES)
    for category, (_, defects) in CATEGORIES.items():
        samples = [sample for sample in dataset if sample.category == category]
        assert sum(sample.label for sample in samples) == 3
        assert {sample.defect for sample in samples} == {"good", *defects}
        assert len(dataset.references[category]) == 4
        for sample in samples:
            assert sample.image.shape == (SIZE, SIZE, 3)
            assert sample.mask.any() == sample.label
    with Image.open(demo / "washer" / "ground_truth" / "chip" / "000_mask.png") as mask:
        assert set(np.unique(np.asarray(mask))) == {0, 255}


def test_the_same_settings_give_the_same_bytes(demo, tmp_path):
    """A smaller demo with the same seed is a part of the larger one, byte for byte; another seed is not."""
    fewer = files(make_demo(tmp_path / "deep" / "fewer", **{**SETTINGS, "images": 2}))
    other = files(make_demo(tmp_path / "other", **{**SETTINGS, "images": 2, "seed": 4}))
    images = [name for name in fewer if name.endswith(".png") and "ground_truth" not in name]
    here = files(demo)
    assert len(images) == 6 * len(CATEGORIES)
    assert all(here[name] == fewer[name] for name in images)
    assert not any(here[name] == other[name] for name in images if name in other)


@pytest.mark.parametrize(("category", "defect"), [(c, d) for c, (_, defects) in CATEGORIES.items() for d in defects])
def test_a_mask_covers_its_defect(category, defect):
    """Against the same picture without the defect, pixels differ inside the mask far more than outside."""
    seen = 0
    for seed in range(4):
        sound, shown = (demo_canvas.Canvas(np.random.default_rng(seed), 96) for _ in range(2))
        for canvas in (sound, shown):
            CATEGORIES[category][0](canvas)
        CATEGORIES[category][1][defect](shown)
        if shown.mask.any():
            seen += 1
            difference = np.abs(shown.image - sound.image).max(axis=2)
            assert shown.mask.mean() < 0.3
            assert difference[shown.mask].mean() > 8 * difference[~shown.mask].mean()
    assert seen > 1


def test_defects_differ_in_size_and_good_images_differ():
    """Defects cover from less than half a percent to more than three; good images differ by more than grain."""
    areas = [
        draw_picture(category, f"test/{defect}", index, seed=0, size=SIZE)[1].mean()
        for category, (_, defects) in CATEGORIES.items()
        for defect in defects
        for index in range(3)
    ]
    assert min(areas) < 0.005
    assert max(areas) > 0.03
    for category in CATEGORIES:
        one, other = (draw_picture(category, "test/good", n, seed=0, size=SIZE)[0].astype(int) for n in range(2))
        assert np.abs(one - other).mean() > 4


def test_a_complete_demo_is_not_drawn_again(demo):
    """A second call writes nothing."""
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    assert make_demo(demo, **SETTINGS) == demo
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before


def test_an_interrupted_demo_is_completed_by_the_next_call(demo, monkeypatch, tmp_path):
    """After an interruption the folder does not count as a demo; the next call gives the same files as one call."""
    drawn = []

    def stop_early(*args, **kwargs):
        drawn.append(args)
        if len(drawn) == 20:
            raise KeyboardInterrupt
        return draw_picture(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(demo_module, "draw_picture", stop_early)
        with pytest.raises(KeyboardInterrupt):
            make_demo(tmp_path / "set", **SETTINGS)
    assert not (tmp_path / "set" / "demo.json").exists()
    make_demo(tmp_path / "set", **SETTINGS)
    assert files(tmp_path / "set") == files(demo)


@pytest.mark.parametrize("change", [{"images": 7}, {"seed": 1}, {"size": 65}])
def test_another_demo_is_not_overwritten(demo, change):
    """A demo with other settings is kept, and the message names both settings in one line."""
    with pytest.raises(DataError, match=r'"images": 6, "seed": 3, "size": 64}, not ') as caught:
        make_demo(demo, **{**SETTINGS, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "\xff\xfe"])
def test_a_folder_with_something_else_is_not_touched(tmp_path, content):
    """A folder with other files is refused and stays as it was, whatever its demo.json holds."""
    (tmp_path / "thesis.txt").write_text("precious")
    if content is not None:
        (tmp_path / "demo.json").write_bytes(content.encode("latin-1"))
    before = files(tmp_path)
    with pytest.raises(DataError):
        make_demo(tmp_path, images=2, size=64)
    assert files(tmp_path) == before


def test_a_copy_without_its_settings_is_refused(demo, tmp_path):
    """A folder without demo.json is not taken for a demo."""
    shutil.copytree(demo, tmp_path / "half", ignore=shutil.ignore_patterns("demo.json"))
    with pytest.raises(DataError, match="something other than a demo"):
        make_demo(tmp_path / "half", **SETTINGS)


def test_a_file_in_the_way_is_named(tmp_path):
    """A file with the folder's name, or with that of a parent, is named in one line and kept."""
    (tmp_path / "file").write_text("precious")
    for root in (tmp_path / "file", tmp_path / "file" / "set"):
        with pytest.raises(DataError) as caught:
            make_demo(root, images=2, size=64)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "precious"
