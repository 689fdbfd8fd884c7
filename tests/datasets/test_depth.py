"""Pictures with more than 8 bits: the scale comes from the type or the category, never from one picture."""

import pickle
import warnings

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.images import as_rgb, read_image
from lvlm_ad.errors import ImageError


def category(root, suffix, **pictures):
    """Write pictures of one row, good ones first, and load them: name -> values."""
    for name, values in pictures.items():
        kind = "good" if name.startswith("good") else "bad"
        path = root / "test" / kind / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.atleast_2d(values)).save(path)
    return load_dataset("folder", root)


def greys(dataset):
    """Return name -> the grey levels read."""
    return {sample.image_path.stem: sample.image[0, :, 0].tolist() for sample in dataset}


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_one_brighter_pixel_does_not_change_the_scale(tmp_path, suffix):
    """Of two pictures of 16 bits, one stays below 256; both have the range of their type, in another process too."""
    low, high = np.array([[200, 255]], np.uint16), np.array([[200, 2560]], np.uint16)
    dataset = category(tmp_path, suffix, good=low, bad=high)
    packed = pickle.dumps(dataset[0])
    assert b"bad." not in packed
    assert greys(dataset) == {"good": [1, 1], "bad": [1, 10]}
    assert greys([pickle.loads(packed)]) == {"good": [1, 1]}
    for name in ("good", "bad"):
        path = tmp_path / "test" / name / f"{name}.{suffix}"
        assert read_image(path)[0, 0, 0] == 1


def test_a_category_of_8_bits_in_16_keeps_its_values(tmp_path):
    """If no picture of the category exceeds 255, the values are grey levels."""
    one, two = np.array([[0, 90]], np.uint16), np.array([[20, 255]], np.uint16)
    assert greys(category(tmp_path, "png", good=one, bad=two)) == {"good": [0, 90], "bad": [20, 255]}


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        ([0, 0.5], [0, 1.04], {"good": [0, 128], "bad": [0, 255]}),
        ([0, 0.5], [0, 200], {"good": [0, 0], "bad": [0, 200]}),
        ([0, 257], [0, 65535], {"good": [0, 1], "bad": [0, 255]}),
        ([-1, 1], [0, 0.25], {"good": [0, 255], "bad": [0, 64]}),
    ],
    ids=["a little above 1", "one below 1", "16 bits as floats", "below 0"],
)
def test_floats_have_the_range_of_their_category(tmp_path, good, bad, expected):
    """All floats of a category are in [0, 1], [0, 255] or [0, 65535]; below 0 is black."""
    pictures = {"good": np.array([good], np.float32), "bad": np.array([bad], np.float32)}
    assert greys(category(tmp_path, "tif", **pictures)) == expected


def test_training_images_have_the_range_of_the_test_images(tmp_path):
    """A reference picture is scaled with the category, whose range it widens."""
    path = tmp_path / "train" / "good" / "0.tif"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.array([[0, 200]], np.float32)).save(path)
    dataset = category(tmp_path, "tif", good=np.array([[0, 1]], np.float32))
    assert greys(dataset) == {"good": [0, 1]}
    assert dataset.reference_image(dataset.categories[0], path)[0, :, 0].tolist() == [0, 200]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_picture_without_numbers_is_one_line(tmp_path, value):
    """NaN and infinite pixels are an error that names the file and counts them, without a warning of NumPy."""
    Image.fromarray(np.array([[value, 1, value]], np.float32)).save(tmp_path / "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"a\.tif has NaN or infinity in 2 pixels; replace"):
            read_image(tmp_path / "a.tif")
        assert as_rgb(np.array([[np.nan, np.inf, 1e308, -np.inf, 0.5]])).shape == (1, 5, 3)


def test_an_array_of_16_bits_is_scaled_by_its_type():
    """The type uint16 tells the range; other integers do not."""
    assert as_rgb(np.array([[255, 256]], np.uint16))[0, :, 0].tolist() == [1, 1]
    assert as_rgb(np.array([[0, 255]], np.int64))[0, :, 0].tolist() == [0, 255]


def warned(root):
    """Return the warnings of a check."""
    return [one.message for one in check_dataset("folder", root).problems if one.severity == "warning"]


def test_a_check_warns_of_a_dark_range(tmp_path):
    """12 bits in a file of 16 reach 6 % of the range; one bright picture shows that the range is used."""
    values = np.array([[100, 4095]], np.uint16)
    category(tmp_path / "a", "png", good=values, bad=values // 2)
    (message,) = warned(tmp_path / "a")
    assert "the brightest pixel of all reaches 6 % of the range" in message
    category(tmp_path / "b", "png", good=values, bad=values * 16)
    assert warned(tmp_path / "b") == []


@pytest.mark.parametrize(
    ("good", "bad"),
    [(np.float32([[0.2, 1]]), np.float32([[20, 255]])), (np.uint16([[9, 255]]), np.uint16([[0, 65535]]))],
    ids=["floats", "8 and 16 bits"],
)
def test_a_check_warns_of_pictures_with_a_range_of_their_own(tmp_path, good, bad):
    """Good pictures of 0..1 beside bad ones of 0..255 come out black: no difference that a model should see."""
    category(tmp_path, "tif", good0=good, good1=good / 2 if good.dtype == np.float32 else good // 2, bad=bad)
    (message,) = warned(tmp_path)
    assert "good/good0 (and 1 more of this category) is almost black, unlike other pictures" in message


def test_a_check_warns_of_transparent_pixels(tmp_path):
    """They are told once for a category; an alpha channel that hides nothing is not."""
    for name in ("good0", "good1", "bad"):
        values = np.full((1, 2, 4), (200, 100, len(name), 255), np.uint8)
        values[0, 0, 3] = 255 if name == "bad" else 128
        category(tmp_path, "png", **{name: values[None][0]})
    (message,) = warned(tmp_path)
    assert "good/good0 (and 1 more of this category) has transparent pixels, which are read as black" in message


def test_a_check_warns_of_a_mask_that_may_be_turned(tmp_path):
    """A square picture turned by its EXIF orientation fits its mask in size only."""
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / "test" / "bad" / "0.jpg"
    path.parent.mkdir(parents=True)
    (tmp_path / "ground_truth" / "bad").mkdir(parents=True)
    Image.new("L", (8, 8), 200).save(path, exif=exif)
    Image.new("L", (8, 8), 255).save(tmp_path / "ground_truth" / "bad" / "0.png")
    assert any("bad/0 and its mask have different EXIF orientations" in one for one in warned(tmp_path))


def test_a_transposed_mask_is_told(tmp_path):
    """A mask of W x H pixels for a picture of H x W is an error that says so."""
    for name, size in (("test/bad/0.png", (8, 6)), ("ground_truth/bad/0.png", (6, 8))):
        (tmp_path / name).parent.mkdir(parents=True)
        Image.new("L", size, 255).save(tmp_path / name)
    (problem,) = (one for one in check_dataset("folder", tmp_path).problems if one.severity == "error")
    assert "Height and width are swapped: transpose the mask" in problem.message
