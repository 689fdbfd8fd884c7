"""The check of a whole data set: everything wrong is reported at once."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.check import CheckReport
from lvlm_ad.datasets.listing import Problem
from lvlm_ad.errors import ConfigError, DataError

RNG = np.random.default_rng(3)


def picture(path, size=(20, 16)):
    """Write noise, different at each call; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def mask(path, value=255, size=(20, 16)):
    """Write a mask of one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def bottles(root, count=6):
    """Write one sound category in the layout of MVTec AD."""
    folder = root / "bottle"
    for i in range(count):
        picture(folder / "train" / "good" / f"{i}.png")
        picture(folder / "test" / "good" / f"{i}.png")
        picture(folder / "test" / "bent" / f"{i}.png")
        mask(folder / "ground_truth" / "bent" / f"{i}_mask.png")
    return folder


def truncate(path):
    """Keep the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def bomb(path):
    """Change a PNG's header so that it claims 50,000 x 50,000 pixels."""
    data = picture(path).read_bytes()
    header = b"IHDR" + struct.pack(">II", 50_000, 50_000) + data[24:29]
    path.write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])


def test_sound_data_has_no_problems(tmp_path):
    """A sound data set gives an empty report and the data set."""
    bottles(tmp_path)
    report = check_dataset("mvtec", tmp_path)
    assert report.problems == ()
    assert report.ok
    assert report.dataset == load_dataset("mvtec", tmp_path)


def test_everything_wrong_is_reported_at_once(tmp_path):
    """One report names every fault: of the listing, of images, of masks and of training images."""
    folder = bottles(tmp_path)
    truncate(folder / "test" / "good" / "0.png")
    (folder / "test" / "good" / "1.png").write_text("no image")
    bomb(folder / "test" / "good" / "2.png")
    picture(folder / "test" / "good" / "3.jpg")
    mask(folder / "ground_truth" / "good" / "4_mask.png")
    (folder / "ground_truth" / "bent" / "0_mask.png").unlink()
    mask(folder / "ground_truth" / "bent" / "1_mask.png", size=(16, 20))
    truncate(picture(folder / "ground_truth" / "bent" / "2_mask.png"))
    mask(folder / "ground_truth" / "bent" / "3_mask.png", 0)
    (folder / "ground_truth" / "bent" / "4_mask.png").unlink()
    truncate(folder / "train" / "good" / "0.png")
    (folder / "train" / "good" / "1.png").write_bytes(b"")
    report = check_dataset("mvtec", tmp_path)
    expected = [
        ("test/bent/0.png", "has no mask"),
        ("test/bent/4.png", "has no mask"),
        ("bottle/good/3", "would both have the id"),
        ("bottle/good/4", "has a mask"),
        ("bottle/good/0", "damaged or truncated"),
        ("bottle/good/1", "not an image file"),
        ("bottle/good/2", "decompression bomb"),
        ("bottle/bent/1", "both must have the same size"),
        ("bottle/bent/2", "damaged or truncated"),
        ("bottle/bent/3", "no defective pixel"),
        ("bottle/train/1.png", "not an image file"),
    ]
    found = [(problem.where, problem.message) for problem in report.problems]
    assert len(found) == len(expected)
    for (subject, message), (place, words) in zip(found, expected, strict=True):
        assert subject.endswith(place)
        assert words in message
    assert {problem.severity for problem in report.problems} == {"error"}
    assert not report.ok
    assert report.dataset is not None


def test_damaged_image_does_not_hide_its_mask(tmp_path):
    """An image and its mask that are both damaged are two problems."""
    folder = bottles(tmp_path)
    truncate(folder / "test" / "bent" / "0.png")
    truncate(picture(folder / "ground_truth" / "bent" / "0_mask.png"))
    messages = [problem.message for problem in check_dataset("mvtec", tmp_path).problems]
    assert [("0_mask.png" in message, "damaged" in message) for message in messages] == [(False, True), (True, True)]


def test_mask_below_the_threshold_is_empty(tmp_path):
    """With a threshold above all its values a mask is empty, which is an error of the choice or of the mask."""
    bottles(tmp_path, count=1)
    report = check_dataset("mvtec", tmp_path, mask_threshold=255)
    assert [problem.where for problem in report.problems] == ["bottle/bent/0"]
    assert "threshold" in report.problems[0].message


def test_category_with_one_label_is_a_warning(tmp_path):
    """A category of good images alone, or of defects alone, can be run but not fully measured."""
    picture(tmp_path / "a" / "test" / "good" / "0.png")
    picture(tmp_path / "b" / "test" / "bent" / "0.png")
    report = check_dataset("folder", tmp_path)
    assert [(p.where, p.severity) for p in report.problems] == [("a", "warning"), ("b", "warning")]
    assert "only good images; without defect images" in report.problems[0].message
    assert "only defects; without good images" in report.problems[1].message
    assert report.ok


def test_same_picture_as_good_and_as_defect_is_a_warning(tmp_path):
    """A file that is listed under both labels is found by its content; copies under one label are no contradiction."""
    folder = bottles(tmp_path)
    image = (folder / "test" / "good" / "1.png").read_bytes()
    (folder / "test" / "good" / "2.png").write_bytes(image)
    (folder / "test" / "bent" / "3.png").write_bytes(image)
    (folder / "test" / "bent" / "4.png").write_bytes((folder / "test" / "bent" / "5.png").read_bytes())
    report = check_dataset("mvtec", tmp_path)
    assert [problem.severity for problem in report.problems] == ["warning"]
    assert "bottle/good/1, bottle/good/2, bottle/bent/3 are the same picture" in report.problems[0].message
    for number in range(6, 9):
        (folder / "test" / "good" / f"{number}.png").write_bytes(image)
    (problem,) = check_dataset("mvtec", tmp_path).problems
    assert problem.message.startswith("bottle/good/1, bottle/good/2, bottle/good/6, 2 more, bottle/bent/3 are the")


def test_mask_without_an_image_is_a_warning(tmp_path):
    """A mask that belongs to no image hints at a missing file, but loading goes on."""
    folder = bottles(tmp_path)
    (folder / "test" / "bent" / "2.png").unlink()
    report = check_dataset("mvtec", tmp_path)
    assert [(p.severity, p.where.endswith("2_mask.png")) for p in report.problems] == [("warning", True)]
    assert len(load_dataset("mvtec", tmp_path)) == 11


def test_masks_for_some_defects_only_are_warnings(tmp_path):
    """Where masks are optional, each defect that lacks one among others that have one is named."""
    folder = bottles(tmp_path)
    (folder / "ground_truth" / "bent" / "2_mask.png").unlink()
    report = check_dataset("folder", tmp_path)
    assert [(p.where, p.severity) for p in report.problems] == [("bottle/bent/2", "warning")]


def test_wrong_root_is_reported_not_raised(tmp_path):
    """A root that is no data set is one problem, and there is no data set."""
    report = check_dataset("visa", tmp_path)
    assert report.dataset is None
    assert not report.ok
    assert [problem.where for problem in report.problems] == [str(tmp_path)]


def test_empty_data_set_is_reported_not_raised(tmp_path):
    """A data set of which nothing can be listed is an error in the report, also if only warnings explain it."""
    mask(tmp_path / "bottle" / "ground_truth" / "bent" / "0_mask.png")
    (tmp_path / "bottle" / "test" / "bent").mkdir(parents=True)
    report = check_dataset("mvtec", tmp_path)
    assert report.dataset is None
    assert [problem.severity for problem in report.problems] == ["warning", "error"]


def test_empty_list_is_reported_not_raised(tmp_path):
    """A CSV without rows is an error in the report."""
    (tmp_path / "a.csv").write_text("image,label\n")
    report = check_dataset("folder", tmp_path)
    assert [problem.severity for problem in report.problems] == ["error"]
    assert "no test images" in report.problems[0].message


def test_unknown_name_is_raised(tmp_path):
    """A wrong name is the caller's mistake, not the data's."""
    with pytest.raises(ConfigError, match="Did you mean 'folder'"):
        check_dataset("foldr", tmp_path)


def test_faults_of_the_listing_stop_loading_as_well(tmp_path):
    """What a check calls an error in the listing, loading refuses with the same words."""
    folder = bottles(tmp_path)
    (folder / "ground_truth" / "bent" / "0_mask.png").unlink()
    report = check_dataset("mvtec", tmp_path)
    with pytest.raises(DataError) as raised:
        load_dataset("mvtec", tmp_path)
    assert str(raised.value) == report.problems[0].message


def test_report_with_warnings_alone_is_ok():
    """Warnings do not stop a run; one error does."""
    warning, error = Problem("a", "odd", "warning"), Problem("b", "wrong")
    assert CheckReport(None, (warning,)).ok
    assert not CheckReport(None, (warning, error)).ok


def test_one_mask_unlike_the_others_is_a_warning(tmp_path):
    """A mask that is black on white among others is read like them, but named; a stated threshold is not doubted."""
    folder = bottles(tmp_path, 3)
    for at in range(3):
        marked = np.zeros((16, 20), np.uint8)
        marked[5:9, 6:12] = 255
        Image.fromarray(255 - marked if at == 1 else marked).save(folder / "ground_truth" / "bent" / f"{at}_mask.png")
    (problem,) = check_dataset("mvtec", tmp_path).problems
    assert problem.severity == "warning"
    assert problem.message.startswith("bottle/bent/1 has a mask that marks the corners and most of the picture")
    assert check_dataset("mvtec", tmp_path, mask_threshold=127).problems == ()
