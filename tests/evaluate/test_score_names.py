"""Names of maps and image scores, as other programs write them."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import Dataset, Sample, load_dataset
from lvlm_ad.errors import DataError
from lvlm_ad.evaluate.score_maps import find_maps, read_image_scores
from lvlm_ad.evaluate.score_names import SampleNames


def data(root, *names):
    """Write small pictures under these names, and load them as a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 6), 100).save(path)
    return load_dataset("folder", root)


@pytest.mark.parametrize(
    "name",
    [
        *("bolt/test/bent/img.v2.png", "bolt/test/bent/img.v2", "bolt/bent/img.v2", "bolt/bent/img.v2.npy"),
        *("./bolt/test/bent/img.v2.PNG", "bolt\\test\\bent\\img.v2.png", "{root}/bolt/test/bent/img.v2.png"),
        *("data/bolt/test/bent/img.v2.png", "bolt/bent/img.v2.tiff"),
    ],
)
def test_an_image_is_known_by_its_path_and_its_id(tmp_path, name):
    """With and without suffix, "test", the root and "./", with slashes of both kinds: the same image, and no other."""
    dataset = data(tmp_path / "data", "bolt/test/bent/img.v2.png", "bolt/test/bent/img.v3.png", "nut/test/bent/img.png")
    assert SampleNames(dataset).find(name.format(root=tmp_path / "data")) == {"bolt/bent/img.v2"}


@pytest.mark.parametrize("name", ["bolt/bent/img", "bent/img.v2", "img.v2", "nut/bent/img.v2", "bolt/good/img.v2.png"])
def test_a_name_that_is_no_image_is_none(tmp_path, name):
    """What only begins or ends like a name is nobody's, so it never becomes another image's score."""
    assert not SampleNames(data(tmp_path, "bolt/test/bent/img.v2.png", "nut/test/bent/img.png")).find(name)


@pytest.mark.parametrize("name", ["test/bent/0.png", "bent/0", "gear/test/bent/0.png", "gear/bent/0.bmp"])
def test_the_root_may_be_one_category(tmp_path, name):
    """Then the category's name may be left out, or stand before."""
    assert SampleNames(data(tmp_path / "gear", "test/bent/0.png", "test/good/0.png")).find(name) == {"gear/bent/0"}


def test_a_name_that_fits_two_images_is_an_error(tmp_path):
    """a.png.png without its suffix is called like the file a.png: a.png is that file; other endings are nobody's."""
    dataset = data(tmp_path, "bolt/test/bent/a.png", "bolt/test/bent/a.png.png")
    names = SampleNames(dataset)
    assert names.find("bolt/test/bent/a.png") == {"bolt/bent/a"}
    assert names.find("bolt/bent/a.png") == {"bolt/bent/a", "bolt/bent/a.png"}
    (tmp_path / "a.csv").write_text("image,score\nbolt/bent/a.png,1\n")
    with pytest.raises(DataError, match=r"bolt/bent/a\.png may be bolt/bent/a or bolt/bent/a\.png"):
        read_image_scores(tmp_path / "a.csv", dataset)


@pytest.mark.parametrize("name", ["one/1", "one/1.PNG", "one/1.png", "one/test/1", "one/test/1.PNG"])
def test_the_surest_form_of_a_name_counts(tmp_path, name):
    """A path that is an image's own is that image, though another's without "test" or in another case is the same."""
    files = ("one/1.PNG", "one/1.png", "one/test/1.png")
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 6), 100).save(tmp_path / file)
    (tmp_path / "list.csv").write_text("image,label\n" + "".join(f"{file},good\n" for file in files))
    dataset = load_dataset("folder", tmp_path / "list.csv")
    samples = {sample.image_path.relative_to(tmp_path).as_posix(): sample.id for sample in dataset}
    expected = {"one/1": files[:2], "one/test/1": files[2:], "one/test/1.PNG": files[2:]}.get(name, [name])
    assert SampleNames(dataset).find(name) == {samples[file] for file in expected}


@pytest.mark.parametrize("form", ["candle/Data/Images/Anomaly/000.JPG", "candle/test/bad/000.JPG", "candle/bad/000"])
@pytest.mark.parametrize("layout", ["candle/Data/Images/Anomaly/000.JPG", "candle/test/bad/000.JPG"])
def test_images_of_visa_are_known_in_both_layouts(form, layout):
    """Scores that were made on the released layout fit the reorganised one, and the other way round."""
    sample = Sample("candle/bad/000", "candle", True, "bad", Path("/visa", layout))
    assert SampleNames(Dataset("visa", Path("/visa"), (sample,))).find(form) == {sample.id}


def test_images_of_a_list_with_the_same_stem_have_their_own_scores(tmp_path):
    """The paths of a list tell them apart; the stem alone does not."""
    for name in ("left/0.png", "right/0.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("L", (8, 6), 100).save(tmp_path / name)
    (tmp_path / "list.csv").write_text("image,label\nleft/0.png,good\nright/0.png,good\n")
    dataset = load_dataset("folder", tmp_path)
    (tmp_path / "s.json").write_text('{"right\\\\0.png": 0.75, "left/0": 0.25}')
    assert list(read_image_scores(tmp_path / "s.json", dataset).values()) == [0.25, 0.75]


@pytest.mark.parametrize("names", [("test/bad/ü.npy",), ("bad/ü.NPY",), ("bad/ü.png.npy",), ("x/bad/ü.tiff",)])
def test_maps_are_found_whatever_system_wrote_them(tmp_path, names):
    """Split letters, upper-case endings, the image's own suffix before the map's, and a path without "test"."""
    dataset = data(tmp_path / "x", "test/bad/ü.png")
    for name in names:
        path = tmp_path / "maps" / unicodedata.normalize("NFD", name)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    assert [path.name for path in find_maps(dataset, tmp_path / "maps").values()] == [path.name]


def test_two_maps_in_two_places_are_an_error(tmp_path):
    """Of a map with "test" in its path and one without, none is picked silently."""
    dataset = data(tmp_path / "x", "test/bad/0.png")
    for name in ("test/bad", "bad"):
        (tmp_path / "maps" / name).mkdir(parents=True)
        np.save(tmp_path / "maps" / name / "0.npy", np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"x/bad/0 has several maps: .*bad/0\.npy and .*bad/0\.npy; keep one"):
        find_maps(dataset, tmp_path / "maps")


def test_image_scores_of_a_german_spreadsheet(tmp_path):
    """Semicolons, UTF-16 and decimal commas."""
    dataset = data(tmp_path / "x", "test/bad/0.png", "test/good/0.png")
    (tmp_path / "s.csv").write_bytes("image;score\nbad/0;0,75\ngood/0;0,5\n".encode("utf-16"))
    assert read_image_scores(tmp_path / "s.csv", dataset) == {"x/good/0": 0.5, "x/bad/0": 0.75}
