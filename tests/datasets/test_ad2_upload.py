"""The folder for the server of MVTec AD 2: scores as float16, and the check of names, types, values and sizes."""

import shutil
import tarfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from lvlm_ad.datasets.ad2_upload import (
    BINARY_MAPS,
    MAPS,
    half_scale,
    half_scores,
    map_name,
    write_binary_map,
    write_half_map,
)
from lvlm_ad.datasets.ad2_upload_check import PUBLISHED_PRIVATE_IMAGES, check_upload, pack_upload
from lvlm_ad.datasets.load import load_dataset
from lvlm_ad.errors import DataError, MetricError

SIZE = (24, 32)
SPLITS = {"private": ("test_private", "regular"), "private-mixed": ("test_private_mixed", "mixed")}


@pytest.fixture
def data(tmp_path):
    """Two objects with two images in each split without labels."""
    for category in ("can", "vial"):
        for split, end in SPLITS.values():
            folder = tmp_path / "data" / category / split
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("L", SIZE[::-1], 100 + number).save(folder / f"{number:03}_{end}.png")
    return tmp_path / "data"


@pytest.fixture
def upload(data, tmp_path):
    """A right folder of these images."""
    folder = tmp_path / "mine"
    scores = np.linspace(0, 1, SIZE[0] * SIZE[1]).reshape(SIZE)
    for split, (inner, _) in SPLITS.items():
        for sample in load_dataset("mvtec-ad-2", data, split=split):
            place = sample.category, inner, sample.image_path.stem
            write_half_map(folder / map_name(MAPS, *place), scores.astype(np.float16))
            write_binary_map(folder / map_name(BINARY_MAPS, *place), scores > 0.9)
    return folder


def messages(folder, data):
    """What is wrong with a folder, in errors."""
    return [one.message for one in check_upload(folder, data).problems if one.severity == "error"]


def test_a_right_folder_has_no_error(upload, data):
    """Only that the data set here is not the whole one is told, with both numbers."""
    report = check_upload(upload, data)
    assert (report.ok, report.files) == (True, 16)
    (warning,) = report.problems
    assert "8 images without labels, of 2 objects; the published one has 4,090, of 8" in warning.message


def test_maps_are_plain_tiffs_of_float16(upload):
    """One page, one channel, the scores as they were rounded; and a PNG of 0 and 255 in one channel."""
    with tifffile.TiffFile(upload / "anomaly_images/can/test_private/000_regular.tiff") as file:
        assert (len(file.pages), file.pages[0].dtype, file.pages[0].shape) == (1, np.float16, SIZE)
    with Image.open(upload / "anomaly_images_thresholded/can/test_private/000_regular.png") as image:
        assert (image.mode, image.size) == ("L", SIZE[::-1])
        assert set(np.unique(np.asarray(image)).tolist()) == {0, 255}


def test_published_numbers_are_those_of_the_data_set():
    """2,045 images in each of both splits."""
    assert sum(PUBLISHED_PRIVATE_IMAGES.values()) == 2045


def test_without_the_data_set_the_published_names_are_wanted(upload):
    """Every object that has too few files is named, with the first file that is missing."""
    found = messages(upload, None)
    assert "anomaly_images/can/test_private/ lacks 319 of 321 files, such as 002_regular.tiff." in found
    assert len(found) == 2 * 2 * 8


FIRST = "anomaly_images/can/test_private/000_regular.tiff"
FIRST_BINARY = "anomaly_images_thresholded/can/test_private/000_regular.png"


def rewrite(values, **options):
    """Return what replaces the first map."""
    return lambda folder: tifffile.imwrite(folder / FIRST, values, **options)


def binary(image, kind="PNG"):
    """Return what replaces the first binary map."""
    return lambda folder: image.save(folder / FIRST_BINARY, kind)


def rename_a_map(folder):
    (folder / FIRST).rename(folder / FIRST.replace("000_regular", "0_regular"))


def leave_half(folder):
    (folder / FIRST).write_bytes((folder / FIRST).read_bytes()[:100])


def link_a_map(folder):
    (folder / FIRST).rename(folder.parent / "elsewhere.tiff")
    (folder / FIRST).symlink_to(folder.parent / "elsewhere.tiff")


def make(name):
    """Return what makes an empty folder."""
    return lambda folder: (folder / name).mkdir(parents=True)


def write(name):
    """Return what writes a file that does not belong there."""
    return lambda folder: (folder / name).write_text("x")


def remove(name):
    """Return what removes a folder."""
    return lambda folder: shutil.rmtree(folder / name)


HALVES = np.zeros(SIZE, np.float16)
GREY = Image.new("L", SIZE[::-1])


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda folder: (folder / FIRST).unlink(), "can/test_private/ lacks 1 of 2 files, such as 000_regular.tiff."),
        (rename_a_map, "anomaly_images/can/test_private/ holds 0_regular.tiff that the server does not expect"),
        (rewrite(HALVES.astype(np.float32)), "000_regular.tiff: its scores are float32; they must be float16."),
        (
            rewrite(np.zeros((*SIZE, 3), np.float16), photometric="rgb"),
            "000_regular.tiff: it has the shape (24, 32, 3)",
        ),
        (rewrite(np.zeros((2, *SIZE), np.float16), photometric="minisblack"), "000_regular.tiff: it has 2 pages"),
        (rewrite(HALVES + np.float16(np.inf)), "000_regular.tiff: it contains NaN or infinite scores."),
        (rewrite(HALVES * np.float16(np.nan)), "000_regular.tiff: it contains NaN or infinite scores."),
        (rewrite(HALVES[:12]), "000_regular.tiff: it has 32 x 12 pixels, but its image has 32 x 24."),
        (leave_half, "000_regular.tiff: it cannot be read as a TIFF"),
        (write(FIRST), "000_regular.tiff: it cannot be read as a TIFF"),
        (link_a_map, "000_regular.tiff is a link"),
        (binary(Image.new("L", SIZE[::-1], 1)), "000_regular.png: it contains the value 1; only 0 and 255"),
        (binary(Image.new("1", SIZE[::-1])), "000_regular.png: its mode is 1"),
        (binary(Image.new("RGB", SIZE[::-1])), "000_regular.png: its mode is RGB"),
        (binary(GREY, "BMP"), "000_regular.png: it is a BMP file; it must be a PNG."),
        (binary(GREY.resize((5, 4))), "000_regular.png: it has 5 x 4 pixels, but its image has 32 x 24."),
        (write(FIRST_BINARY), "000_regular.png: it cannot be read as a PNG"),
        (write("readme.txt"), "The folder holds readme.txt that the server does not expect"),
        (write("anomaly_images/.DS_Store"), "anomaly_images/ holds .DS_Store that the server does not expect"),
        (make("anomaly_images/rice/test_private"), "anomaly_images/rice/test_private/ is empty"),
        (remove("anomaly_images"), "anomaly_images/ is missing."),
        (remove("anomaly_images_thresholded/can"), "anomaly_images_thresholded/can/test_private/ lacks 2 of 2 files"),
    ],
)
def test_what_the_server_would_refuse_is_an_error(upload, data, harm, expected):
    """The message names the file, what is wrong with it, and what it must be."""
    harm(upload)
    assert [one for one in messages(upload, data) if expected in one]


def test_a_missing_split_is_told_with_the_option_that_adds_it(upload, data):
    """A bench writes one split; the other needs a second one."""
    for category in ("can", "vial"):
        for part in (MAPS, BINARY_MAPS):
            shutil.rmtree(upload / part / category / "test_private_mixed")
    found = messages(upload, data)
    assert len(found) == 4
    assert all("--split private-mixed adds this one" in one for one in found)


def test_without_thresholded_maps_the_consequence_is_told(upload, data):
    """The server takes such a folder; two of its metrics are then 0."""
    shutil.rmtree(upload / BINARY_MAPS)
    report = check_upload(upload, data)
    assert report.ok
    assert any("sets ClassF1 and SegF1 to 0" in one.message for one in report.problems)


def test_the_same_fault_of_many_files_is_one_line(upload, data):
    """It counts the others."""
    for path in (upload / MAPS).rglob("*.tiff"):
        tifffile.imwrite(path, HALVES.astype(np.float64))
    (message,) = messages(upload, data)
    assert message.endswith(" (and 7 more files): its scores are float64; they must be float16.")


def test_without_the_data_set_both_maps_of_an_image_must_have_one_size(upload):
    """Sizes of images are unknown then."""
    write_binary_map(upload / FIRST_BINARY, np.zeros((4, 5), np.bool_))
    assert any(
        "it has 5 x 4 pixels, but its map in anomaly_images/ has 32 x 24" in one for one in messages(upload, None)
    )


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    """The message names it."""
    with pytest.raises(DataError, match="nowhere"):
        check_upload(tmp_path / "nowhere")


def test_the_archive_has_the_folder_as_its_only_top_entry(upload):
    """Its name is the folder's; nobody's user name stands in it; another packing replaces it."""
    pack_upload(upload)
    archive = pack_upload(upload)
    assert archive == upload.parent / "mine.tar.gz"
    with tarfile.open(archive) as packed:
        entries = packed.getmembers()
    assert {entry.name.split("/")[0] for entry in entries} == {"mine"}
    assert sum(entry.isfile() for entry in entries) == 16
    assert {(entry.uid, entry.uname) for entry in entries} == {(0, "")}
    assert sorted(one.name for one in upload.parent.iterdir()) == ["data", "mine", "mine.tar.gz"]


def test_the_command_checks_and_packs(upload, data, lvlm_ad_command):
    """Exit status 2 and no archive if there is an error."""
    done = lvlm_ad_command("data", "check-upload", upload, "--data", data, "--pack")
    assert (done.returncode, "packed: " in done.stdout) == (0, True)
    (upload.parent / "mine.tar.gz").unlink()
    (upload / FIRST).unlink()
    done = lvlm_ad_command("data", "check-upload", upload, "--data", data, "--pack")
    assert done.returncode == 2
    assert "error: anomaly_images/can/test_private/ lacks 1 of 2 files" in done.stdout
    assert not (upload.parent / "mine.tar.gz").exists()


def test_scores_are_scaled_before_they_are_rounded():
    """float16 ends at 65504: higher scores, NaN and infinity are refused; a scale keeps their order."""
    scores = np.array([[1.0, 70000.0, 140000.0]])
    with pytest.raises(MetricError, match="contains the score 140000, but float16 ends at 65504; multiply all"):
        half_scores(scores)
    values, distinct, equal = half_scores(scores, half_scale(scores.max()))
    assert (values[0, 2], distinct, equal) == (65504, 3, 0)
    assert np.all(np.diff(values[0]) > 0)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(MetricError, match="NaN or infinite"):
            half_scores(np.array([[0.0, bad]]))


def test_scores_that_become_equal_are_counted():
    """Between 0.5 and 1 float16 knows 1024 steps; -0 and 0 are one score before and after."""
    scores = np.concatenate([0.5 + np.arange(4096) / 8192, [0.0, -0.0]]).reshape(2, -1)
    values, distinct, equal = half_scores(scores)
    assert distinct == 4097
    assert equal == 4097 - np.unique(values).size
    assert np.unique(values).size == 1026
