"""MVTec LOCO AD and AutoVI: a mask file for each defect, whose value names its type."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.errors import DataError

TYPES = [{"defect_name": "bent", "pixel_value": 255, "saturation_threshold": 0.5, "relative_saturation": True}]
MARKED = np.zeros((6, 8), np.uint8)
MARKED[:2] = 255


@pytest.fixture
def loco(tmp_path):
    """Return a folder with a good image, one with a logical anomaly, and a mask of 16 pixels."""
    root = tmp_path / "pushpins"
    for place in ("train/good", "test/good", "test/logical_anomalies"):
        (root / place).mkdir(parents=True)
        Image.new("RGB", (8, 6), (200, len(place), 0)).save(root / place / "000.png")
    (root / "ground_truth/logical_anomalies/000").mkdir(parents=True)
    Image.fromarray(MARKED).save(mask_of(root))
    (root / "defects_config.json").write_text(json.dumps(TYPES))
    return root


def mask_of(root):
    """Return the mask's file."""
    return root / "ground_truth/logical_anomalies/000/000.png"


def palette():
    """Return the mask with 1 in place of 255, which is white in its palette."""
    image = Image.fromarray(MARKED // 255).convert("P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    return image


def transparent():
    """Return the mask as white that is seen where the defect is."""
    white = np.full_like(MARKED, 255)
    return Image.fromarray(np.dstack([white, white, white, MARKED]))


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(MARKED > 0),
        palette(),
        transparent(),
        Image.fromarray(np.dstack([MARKED, np.full_like(MARKED, 255)])),
        Image.fromarray(MARKED.astype(np.uint16)),
    ],
    ids=["1 bit", "palette", "transparent", "grey with alpha", "16 bits"],
)
def test_the_type_of_a_defect_is_the_value_that_is_seen(loco, image):
    """White is 255 in every form of a file, and transparent pixels are normal."""
    image.save(mask_of(loco))
    assert not check_dataset("loco", loco.parent).problems
    sample = load_dataset("loco", loco.parent)[1]
    (channel,) = sample.channels
    assert (channel.value, channel.saturation) == (255, 8)
    np.testing.assert_array_equal(channel.mask, MARKED > 0)
    np.testing.assert_array_equal(sample.mask, channel.mask)


def test_types_of_defect_that_name_none_are_an_error(loco):
    """Without the file sPRO is undefined; with an empty one every value would have no type."""
    (loco / "defects_config.json").write_text("[]")
    with pytest.raises(DataError, match=r"defects_config.json must be a list of types of defect"):
        load_dataset("loco", loco.parent)


def test_a_category_without_test_images_is_not_left_out(loco):
    """One whose archive was unpacked in part is told, however many others are complete."""
    (loco / "test").rename(loco / "elsewhere")
    with pytest.raises(DataError, match=r"pushpins has no folder test/; it holds defects_config.json, elsewhere/"):
        load_dataset("loco", loco.parent)


@pytest.mark.parametrize("kind", ["good", "logical"])
def test_masks_of_no_kind_of_defect_are_told(loco, kind):
    """Masks of good images, and those in a folder that was renamed."""
    (loco / "ground_truth" / kind / "000").mkdir(parents=True)
    Image.fromarray(MARKED).save(loco / "ground_truth" / kind / "000" / "000.png")
    (problem,) = check_dataset("loco", loco.parent).problems
    assert problem.severity == "warning"
    assert f"ground_truth/{kind}/ holds masks of a kind of which" in problem.message


def test_a_setting_for_mask_values_is_not_used(loco):
    """A note says so: the values are numbers of types."""
    dataset = load_dataset("loco", loco.parent, mask_values="3")
    assert dataset[1].mask.sum() == 16
    assert [note for note in (*dataset.notes, *dataset.remarks) if "mask values" in note] == [
        "The masks hold numbers of types of defect; the setting for mask values is not used."
    ]
    assert dataset.fingerprint == load_dataset("loco", loco.parent).fingerprint


def test_what_is_not_read_is_told(loco):
    """A category whose name is misspelt, and an image beside the folders of the kinds."""
    (loco.parent / "Screw_bag").mkdir()
    Image.new("RGB", (8, 6)).save(loco / "test" / "000.png")
    told = [note for note in load_dataset("loco", loco.parent).notes if note.startswith("Ignored")]
    assert told == [
        f"Ignored 1 images directly in {loco / 'test'}: those in folders such as test/good have a label.",
        "Ignored folders that are not categories of MVTec LOCO AD: Screw_bag (the data set 'folder' reads any).",
    ]


def test_names_of_images_and_mask_folders_may_differ_in_form(loco):
    """MacOS decomposes accents (NFD) and other systems do not; image and folder of masks still belong together."""
    for kind in ("test", "ground_truth"):
        place = loco / kind / "logical_anomalies"
        (place / ("000.png" if kind == "test" else "000")).rename(
            place / (unicodedata.normalize("NFD", "0\u00e9.png") if kind == "test" else "0\u00e9")
        )
    report = check_dataset("loco", loco)
    assert report.problems == ()
    assert report.dataset[-1].id == "pushpins/logical_anomalies/0\u00e9"
    assert report.dataset[-1].mask.sum() == 16
