"""VisA, as released and as reorganised."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.visa import VISA_CATEGORIES
from lvlm_ad.errors import DataError

SPLIT_FILE = Path(__file__).parents[3] / "shared" / "data" / "visa" / "1cls.csv"
HEADER = ("object", "split", "label", "image", "mask")


def picture(path, value=100):
    """Write a colour image of 8 x 6 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (value, value, value)).save(path)
    return path


def small_ids(path, ids=(0, 1, 2)):
    """Write a mask of small integers, one column each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((6, 8), dtype=np.uint8)
    values[:, : len(ids)] = ids
    Image.fromarray(values).save(path)
    return path


def rows_of(category):
    """List a category of two training, two good and two anomalous images."""
    folder = f"{category}/Data"
    return [
        *((category, "train", "normal", f"{folder}/Images/Normal/{i:04}.JPG", "") for i in (7, 3)),
        *((category, "test", "normal", f"{folder}/Images/Normal/{i:04}.JPG", "") for i in (1, 0)),
        *(
            (category, "test", "anomaly", f"{folder}/Images/Anomaly/{i:03}.JPG", f"{folder}/Masks/Anomaly/{i:03}.png")
            for i in (1, 0)
        ),
    ]


def write_list(root, rows):
    """Write the split file as published, with Windows line ends."""
    (root / "split_csv").mkdir(exist_ok=True)
    with (root / "split_csv" / "1cls.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])


def released(root, *categories):
    """Write VisA as released."""
    for category in categories:
        for number, (_, _, _, image, mask) in enumerate(rows_of(category)):
            picture(root / image, 40 * number)
            if mask:
                small_ids(root / mask)
    write_list(root, [row for category in categories for row in rows_of(category)])
    return root


def reorganised(root, *categories):
    """Write VisA in the layout of MVTec AD."""
    for category in categories:
        for i in range(2):
            picture(root / category / "train" / "good" / f"{i:04}.JPG", i)
            picture(root / category / "test" / "good" / f"{i:04}.JPG", 50 + i)
            picture(root / category / "test" / "bad" / f"{i:03}.JPG", 100 + i)
            small_ids(root / category / "ground_truth" / "bad" / f"{i:03}.png", (0, 255))
    return root


def test_released_form_follows_its_list(tmp_path):
    """Labels come from the list, references from its training rows; the order is that of the names, not of the list."""
    dataset = load_dataset("visa", released(tmp_path, "pcb1", "candle"))
    assert [s.id for s in dataset] == [
        f"{category}/{name}"
        for category in ("candle", "pcb1")
        for name in ("good/0000", "good/0001", "bad/000", "bad/001")
    ]
    assert [s.label for s in dataset][:4] == [False, False, True, True]
    assert [p.name for p in dataset.references["pcb1"]] == ["0003.JPG", "0007.JPG"]
    assert dataset.defects == {"candle": ("bad",), "pcb1": ("bad",)}


def test_small_defect_ids_are_all_defective(tmp_path):
    """Masks hold 0, 1, 2: whatever is not 0 is defective, and that choice is noted."""
    dataset = load_dataset("visa", released(tmp_path, "candle"))
    assert dataset[2].mask.sum() == 12
    assert any("above 0 count as defective" in note for note in dataset.notes)


def test_reorganised_form_loads(tmp_path):
    """test/good, test/bad and masks without an ending are read as VisA."""
    dataset = load_dataset("visa", reorganised(tmp_path, "fryum", "cashew"))
    assert dataset.name == "visa"
    assert [s.id for s in dataset][:4] == ["cashew/good/0000", "cashew/good/0001", "cashew/bad/000", "cashew/bad/001"]
    assert dataset[2].mask.sum() == 6
    assert len(dataset.references["fryum"]) == 2
    assert any("2 of the 12 categories" in note for note in dataset.notes)


@pytest.mark.parametrize("given", ["", "VisA_20220922"])
def test_released_form_is_found_from_near(tmp_path, given):
    """The folder of the released form and the one around it will do."""
    (tmp_path / "VisA_20220922").mkdir()
    released(tmp_path / "VisA_20220922", "candle", "pcb1")
    assert load_dataset("visa", tmp_path / given).categories == ("candle", "pcb1")


@pytest.mark.parametrize("given", ["", "visa_pytorch", "visa_pytorch/1cls"])
def test_reorganised_form_is_found_from_near(tmp_path, given):
    """The folder of the categories and the two above it will do."""
    reorganised(tmp_path / "visa_pytorch" / "1cls", "candle", "pcb1")
    assert load_dataset("visa", tmp_path / given).categories == ("candle", "pcb1")


@pytest.mark.parametrize("build", [released, reorganised])
def test_one_category_as_root_loads_that_category(tmp_path, build):
    """A category's own folder, in either form, gives that category alone, with the same ids."""
    ids = [s.id for s in load_dataset("visa", build(tmp_path, "candle", "pcb1")) if s.category == "pcb1"]
    assert [s.id for s in load_dataset("visa", tmp_path / "pcb1")] == ids


def test_category_left_out_on_purpose_is_noted(tmp_path):
    """With the list of the whole and the folders of a part, the part is loaded."""
    released(tmp_path, "candle")
    write_list(tmp_path, [*rows_of("candle"), *rows_of("pcb4")])
    dataset = load_dataset("visa", tmp_path)
    assert dataset.categories == ("candle",)
    assert any("1 of the 12 categories" in note for note in dataset.notes)


def test_missing_files_are_counted_and_the_first_named(tmp_path):
    """Listed files that do not exist are an error with the line of the first and the number of all."""
    released(tmp_path, "candle")
    (tmp_path / "candle/Data/Images/Anomaly/001.JPG").unlink()
    (tmp_path / "candle/Data/Masks/Anomaly/000.png").unlink()
    with pytest.raises(DataError, match=r"1cls\.csv, line 6: .*001\.JPG does not exist;.*first of 2 problems"):
        load_dataset("visa", tmp_path)


@pytest.mark.parametrize("column", ["image", "mask"])
@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "C:\\x.png", "candle/../../out.png", "a\0.png"])
def test_path_that_leaves_the_root_is_an_error(tmp_path, column, path):
    """A list that points out of the data set's folder is refused with its line, whether the file exists or not."""
    root = tmp_path / "visa"
    root.mkdir()
    released(root, "candle")
    picture(tmp_path / "out.png")
    rows = rows_of("candle")
    rows[4] = (*rows[4][:3], path if column == "image" else rows[4][3], path if column == "mask" else rows[4][4])
    write_list(root, rows)
    with pytest.raises(DataError, match=r"1cls\.csv, line 6: .*( leads out of|does not exist|is not an image)"):
        load_dataset("visa", root)


def test_listed_link_out_of_the_root_is_an_error(tmp_path):
    """A listed file that is a link out of the data set's folder is refused, with its line."""
    root = tmp_path / "visa"
    root.mkdir()
    released(root, "candle")
    outside = picture(tmp_path / "out.png")
    image = root / rows_of("candle")[4][3]
    image.unlink()
    image.symlink_to(outside)
    with pytest.raises(DataError, match=r"line 6: .*001\.JPG leads out of"):
        load_dataset("visa", root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "abnormal"}, "label 'abnormal'; expected"),
        ({"split": "val"}, "split 'val'"),
        ({"object": "candel"}, "'candel' is not a category of VisA. Did you mean 'candle'"),
        ({"mask": ""}, "is an anomaly without a mask"),
        ({"label": "normal"}, "is listed as good but has a mask"),
        ({"label": "normal", "split": "train"}, "is listed as good but has a mask"),
        ({"image": "candle/Data/Images/Anomaly/000.txt"}, "is not an image"),
        ({"image": "candle/Data/Images/Anomaly/000.JPG"}, "is listed twice, as candle/bad/000"),
    ],
)
def test_wrong_row_is_named_with_its_line(tmp_path, change, message):
    """A row that contradicts itself or the format is an error that names the file and the line."""
    released(tmp_path, "candle")
    rows = rows_of("candle")
    rows[4] = tuple({**dict(zip(HEADER, rows[4], strict=True)), **change}.values())
    write_list(tmp_path, rows)
    with pytest.raises(DataError) as raised:
        load_dataset("visa", tmp_path)
    assert message in str(raised.value)
    assert "1cls.csv, line " in str(raised.value)


def test_list_without_its_columns_is_an_error(tmp_path):
    """Another CSV in the list's place is told from the list by its columns."""
    released(tmp_path, "candle")
    (tmp_path / "split_csv" / "1cls.csv").write_text("image,label\na.png,good\n")
    with pytest.raises(DataError, match="has no column object, split, mask; its first line names 'image', 'label'"):
        load_dataset("visa", tmp_path)


def test_wrong_root_says_what_was_expected(tmp_path):
    """A folder without VisA's files says what is there, what was expected and where VisA is had."""
    (tmp_path / "stuff").mkdir()
    with pytest.raises(DataError, match=r"holds stuff/, but split_csv/1cls\.csv .*amazon-science/spot-diff"):
        load_dataset("visa", tmp_path)
    with pytest.raises(DataError, match=r"does not exist.*amazon-science/spot-diff"):
        load_dataset("visa", tmp_path / "none")


def test_published_list_has_the_published_counts(tmp_path):
    """The list as published gives 2,162 test images of 12 categories: 962 normal and 1,200 anomalous."""
    if not SPLIT_FILE.is_file():
        pytest.skip("the published list is not beside the repository: shared/data/visa/1cls.csv")
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").write_bytes(SPLIT_FILE.read_bytes())
    image, mask = picture(tmp_path / "image.png"), small_ids(tmp_path / "mask.png")
    folders = set()
    with SPLIT_FILE.open(newline="") as file:
        for row in csv.DictReader(file):
            for column, source in (("image", image), ("mask", mask)):
                if not row[column]:
                    continue
                target = f"{tmp_path}/{row[column]}"
                folder = target.rpartition("/")[0]
                if folder not in folders:
                    os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - 12,000 Path objects take seconds
                    folders.add(folder)
                os.link(source, target)
    dataset = load_dataset("visa", tmp_path)
    assert len(dataset) == 2162
    assert sum(not s.label for s in dataset) == 962
    assert sum(s.label for s in dataset) == 1200
    assert sum(map(len, dataset.references.values())) == 8659
    assert dataset.categories == tuple(sorted(VISA_CATEGORIES))
    assert all((s.mask_path is not None) == s.label for s in dataset)
    assert list(dataset) == sorted(dataset, key=lambda s: (s.category, s.label, s.image_path.name))
