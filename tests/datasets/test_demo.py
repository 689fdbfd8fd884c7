import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from lvlm_ad.datasets.demo import make_demo, write
from lvlm_ad.datasets.demo.picture import CATEGORIES, take
from lvlm_ad.errors import DataError

SIZE = 96


def files(root):
    """Return what a folder holds: relative path -> bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return a small demo set that no test may change."""
    return make_demo(tmp_path_factory.mktemp("demo") / "set", images=8, seed=3, size=SIZE)


def test_same_settings_give_the_same_bytes(demo, tmp_path):
    """Two folders made with the same settings hold the same files, byte for byte."""
    again = make_demo(tmp_path / "deep" / "again", images=8, seed=3, size=SIZE)
    assert files(again) == files(demo)


def test_more_images_keep_the_earlier_ones(demo, tmp_path):
    """A demo set of fewer images is a part of the larger one with the same seed."""
    fewer = files(make_demo(tmp_path / "fewer", images=4, seed=3, size=SIZE))
    more = files(demo)
    del fewer["demo.json"]
    assert {name: more[name] for name in fewer} == fewer
    assert len(fewer) < len(more)


def test_another_seed_gives_other_images(demo, tmp_path):
    """No image of one seed is found under another."""
    other = files(make_demo(tmp_path / "other", images=2, seed=4, size=SIZE))
    here = files(demo)
    assert not any(content == here.get(name) for name, content in other.items())


def test_layout_is_that_of_mvtec(demo):
    """Each category has training images, good ones, defects, and a mask for each anomalous image and no other."""
    assert sorted(path.name for path in demo.iterdir()) == sorted([*CATEGORIES, "demo.json"])
    for category, kind in CATEGORIES.items():
        base = demo / category
        assert sorted(path.name for path in (base / "train" / "good").iterdir()) == [f"00{n}.png" for n in range(4)]
        tests = sorted(str(path.relative_to(base / "test").with_suffix("")) for path in base.glob("test/*/*.png"))
        masks = sorted(
            str(path.relative_to(base / "ground_truth")).removesuffix("_mask.png")
            for path in base.glob("ground_truth/*/*.png")
        )
        assert len(tests) == 8
        assert sum(name.startswith("good/") for name in tests) == 4 - (8 % 5 == 2)
        assert masks == [name for name in tests if not name.startswith("good/")]
        assert {name.partition("/")[0] for name in masks} <= set(kind.kinds)


def test_ten_images_are_four_good_ones_and_every_defect():
    """The default number gives 40 % good images and at least one of each defect."""
    for category in CATEGORIES.values():
        places = [place for place, _ in write._plan(category.kinds, 10) if place.startswith("test/")]
        assert places.count("test/good") == 4
        assert len(places) == 10
        assert set(places) == {"test/good", *(f"test/{kind}" for kind in category.kinds)}


def test_files_are_eight_bit_and_of_the_size_asked_for(demo):
    """Images are RGB, masks hold 0 and 255 only, and all have the size asked for."""
    for path in demo.rglob("*.png"):
        with Image.open(path) as image:
            assert image.size == (SIZE, SIZE)
            if path.name.endswith("_mask.png"):
                assert image.mode == "L"
                assert set(np.unique(np.asarray(image))) == {0, 255}
            else:
                assert image.mode == "RGB"


@pytest.mark.parametrize("size", [SIZE, 200])
@pytest.mark.parametrize(("category", "defect"), [(c, d) for c, kind in CATEGORIES.items() for d in kind.kinds])
def test_mask_is_where_the_picture_changed(category, defect, size):
    """Against its sound twin an image differs inside the mask and nowhere else to be seen."""
    for index in range(4):
        picture = take(category, f"test/{defect}", index, seed=11, size=size)
        difference = np.abs(picture.image.astype(int) - picture.twin).max(axis=2)
        assert picture.mask.any()
        assert picture.mask.mean() < 0.35
        assert difference[~binary_dilation(picture.mask, iterations=2)].max(initial=0) <= 14
        assert (difference[picture.mask] >= 6).mean() > 0.5


def test_defects_run_from_tiny_to_large():
    """The anomalous areas of one category span more than a factor of ten."""
    areas = [
        take(category, f"test/{kind.kinds[index % len(kind.kinds)]}", index, seed=0, size=SIZE).mask.mean()
        for category, kind in CATEGORIES.items()
        for index in range(6)
    ]
    assert min(areas) < 0.004
    assert max(areas) > 0.04


@pytest.mark.parametrize("category", CATEGORIES)
def test_good_images_differ_from_one_another(category):
    """Good images vary by more than grain, and training images are none of the test images."""
    pictures = [take(category, place, n, seed=0, size=SIZE) for place in ("train/good", "test/good") for n in range(3)]
    assert not any(picture.mask.any() for picture in pictures)
    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            assert np.abs(one.image.astype(int) - other.image).mean() > 4


def test_made_without_the_network(monkeypatch, tmp_path):
    """No connection is tried: the textures are in scikit-image's wheel."""

    def refuse(*_args, **_kwargs):
        pytest.fail("the demo set asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    from lvlm_ad.datasets.demo import textures

    textures._photo.cache_clear()
    assert make_demo(tmp_path / "set", images=3, size=64).is_dir()


def test_a_set_that_is_there_is_left_alone(demo):
    """Asked for once more, nothing is written."""
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
    assert make_demo(demo, images=8, seed=3, size=SIZE) == demo
    assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before


def test_an_empty_folder_is_filled(tmp_path):
    """An existing empty folder is used, and nothing is left beside it."""
    (tmp_path / "set").mkdir()
    make_demo(tmp_path / "set", images=2, size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert json.loads((tmp_path / "set" / "demo.json").read_text())["images"] == 2


def test_the_working_folder_can_be_filled(monkeypatch, tmp_path):
    """The empty folder one stands in is filled and stays the folder one stands in."""
    monkeypatch.chdir(tmp_path)
    make_demo(Path(), images=2, size=64)
    assert sorted(path.name for path in Path().iterdir()) == sorted([*CATEGORIES, "demo.json"])


def test_interrupted_while_moving_is_not_complete(monkeypatch, tmp_path):
    """Stopped between two moves into a folder that was there, the set is refused, not taken for complete."""
    real, moved = Path.rename, []

    def stop_early(self, target):
        moved.append(target)
        if len(moved) == 3:
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stop_early)
        with pytest.raises(KeyboardInterrupt):
            make_demo(tmp_path, images=2, size=64)
    with pytest.raises(DataError):
        make_demo(tmp_path, images=2, size=64)


@pytest.mark.parametrize("change", [{"images": 9}, {"seed": 1}, {"size": 64}])
def test_other_settings_do_not_overwrite(demo, change):
    """A demo set of other settings is kept, and both settings are named in one line."""
    with pytest.raises(DataError, match=r"images 8, seed 3, size 96; asked for") as caught:
        make_demo(demo, **{"images": 8, "seed": 3, "size": SIZE, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '"demo"', "\xff\xfe"])
def test_somebody_elses_folder_is_not_touched(tmp_path, content):
    """A folder with other files in it is refused and stays as it was, whatever its demo.json may be."""
    (tmp_path / "thesis.txt").write_text("precious")
    if content is not None:
        (tmp_path / "demo.json").write_bytes(content.encode("latin-1"))
    before = files(tmp_path)
    with pytest.raises(DataError):
        make_demo(tmp_path, images=2, size=64)
    assert files(tmp_path) == before


def test_a_file_is_no_place_for_a_set(tmp_path):
    """A file under the name of the folder, or of one of its parents, is reported in one line."""
    (tmp_path / "file").write_text("precious")
    for root in (tmp_path / "file", tmp_path / "file" / "set"):
        with pytest.raises(DataError) as caught:
            make_demo(root, images=2, size=64)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "precious"


def test_an_interrupted_set_is_not_taken_for_a_complete_one(monkeypatch, tmp_path):
    """Interrupted half-way, nothing bears the set's name, nothing is left over, and the next call succeeds."""
    taken = []

    def stop_early(*args, **kwargs):
        taken.append(args)
        if len(taken) == 20:
            raise KeyboardInterrupt
        return take(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(write, "take", stop_early)
        with pytest.raises(KeyboardInterrupt):
            make_demo(tmp_path / "set", images=3, size=64)
    assert list(tmp_path.iterdir()) == []
    make_demo(tmp_path / "set", images=3, size=64)
    assert (tmp_path / "set" / "demo.json").is_file()


def test_a_half_copied_set_is_refused(demo, tmp_path):
    """A folder that lacks the settings file, which is written last, counts as something else."""
    shutil.copytree(demo, tmp_path / "half", ignore=shutil.ignore_patterns("demo.json"))
    with pytest.raises(DataError, match="something else than a demo set"):
        make_demo(tmp_path / "half", images=8, seed=3, size=SIZE)


def test_two_at_once_end_with_one_set(monkeypatch, tmp_path):
    """If another process finishes the same set first, its set is used and nothing is left beside it."""
    root = tmp_path / "set"
    real = write._move

    def be_late(made, target, settings):
        shutil.copytree(made, target)
        real(made, target, settings)

    monkeypatch.setattr(write, "_move", be_late)
    assert make_demo(root, images=2, size=64) == root
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.skipif(os.name != "posix", reason="other systems have no permission bits")
def test_the_folder_is_readable_like_any_other(demo):
    """The set's folders have the permissions that an ordinary new folder has, not a temporary folder's."""
    assert demo.stat().st_mode == (demo / "board").stat().st_mode


@pytest.mark.parametrize("wrong", [{"images": 1}, {"images": -3}, {"seed": -1}, {"size": 63}, {"size": 4000}])
def test_settings_out_of_range_are_refused(tmp_path, wrong):
    """A number that cannot work is refused before anything is written."""
    with pytest.raises(DataError):
        make_demo(tmp_path / "set", **wrong)
    assert list(tmp_path.iterdir()) == []
