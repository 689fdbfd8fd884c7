"""Tables from spreadsheets and other systems."""

import unicodedata

import pytest
from PIL import Image

from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.tables import decimal_points, read_table
from lvlm_ad.errors import DataError


def picture(path):
    """Write a small picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 6), 100).save(path)
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Image;Label\na, b.png;good\n", "utf-8"),
        ("image\tlabel\r\na, b.png\tgood\r\n", "utf-8-sig"),
        ("sep=;\nimage;label\na, b.png;good\n", "utf-8"),
        ("image\tlabel\na, b.png\tgood\n", "utf-16"),
        ("label|image\ngood|a, b.png\n", "utf-8"),
        ('image,label\n"a, b.png",good\n', "utf-16"),
    ],
    ids=["semicolons", "tabs and a mark", "separator named", "UTF-16", "bars", "commas in UTF-16"],
)
def test_tables_of_spreadsheets_are_read(tmp_path, text, encoding):
    """The first line tells the separator, the byte-order mark the encoding."""
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    (row,) = read_table(tmp_path / "a.csv", ("image", "label")).rows
    assert (row["image"], row["label"]) == ("a, b.png", "good")


def test_the_line_of_a_fault_counts_the_line_of_the_separator(tmp_path):
    """Line numbers are those of the file, with quoted line breaks and the line "sep=;"."""
    (tmp_path / "a.csv").write_text('sep=;\nimage;label\n"a\nb.png";good\nc.png;good;more\n')
    table = read_table(tmp_path / "a.csv", ("image", "label"))
    assert table.rows[0].where.endswith("line 4: ")
    assert table.faults[0].endswith("line 5: 3 fields, but 2 columns; quote fields that hold semicolons.")


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (["0,25", "1,5e-3", "-2"], ["0.25", "1.5e-3", "-2"]),
        (["1,250", "0.5"], ["1,250", "0.5"]),
        (["1,250,000", ",5"], ["1,250,000", ".5"]),
    ],
)
def test_decimal_commas_are_read_where_no_number_has_a_point(numbers, expected):
    """Beside a point, a comma may separate thousands; then the number stays as it is, and is refused later."""
    assert list(decimal_points(numbers)) == expected


@pytest.mark.parametrize(
    "name", ["img\\ä.PNG", ".\\img\\ä.png", "./img//ä.png", "{root}/img/ä.png", "gear/img/ä.png", "img/a\u0308.png"]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_list_finds_files_whatever_system_wrote_it(tmp_path, name, form):
    """Backslashes, "./", absolute paths, the folder's own name, split letters and the suffix's case are no obstacle."""
    root = tmp_path / "gear"
    path = picture(root / "img" / f"{unicodedata.normalize(form, 'ä')}.png")
    (root / "list.csv").write_text(f"image,label\n{name.format(root=root)},good\n", encoding="utf-8")
    (sample,) = load_dataset("folder", root)
    assert (sample.id, sample.image_path) == ("gear/good/ä", path)


def test_a_name_that_fits_two_files_is_an_error(tmp_path):
    """Neither of a.PNG and a.Png is taken for a.png."""
    for suffix in ("PNG", "Png"):
        picture(tmp_path / f"a.{suffix}")
    (tmp_path / "list.csv").write_text("image,label\na.png,good\n")
    with pytest.raises(DataError, match=r"line 2: 'a\.png' may be .*a\.PNG or .*a\.Png; rename one"):
        load_dataset("folder", tmp_path)


def test_words_that_become_kinds_of_defect_are_told(tmp_path):
    """A word nobody knows is read as a kind of defect, and named once, outside the notes that a run records."""
    rows = ("good", "dent", "dent", "banana", "nok")
    for at in range(len(rows)):
        picture(tmp_path / f"{at}.png")
    lines = "".join(f"{at}.png,{label}\n" for at, label in enumerate(rows))
    (tmp_path / "list.csv").write_text(f"image,label\n{lines}")
    dataset = load_dataset("folder", tmp_path)
    (remark,) = dataset.remarks
    assert "read as kinds of defect: dent, banana. If one means normal, write good" in remark
    assert dataset.notes == ("No masks: pixel metrics will be undefined.",)


def test_an_unclear_label_is_an_error_with_its_line(tmp_path):
    """A label near to a word for normal never becomes a defect."""
    picture(tmp_path / "a.png")
    (tmp_path / "list.csv").write_text("image,label\na.png,nomal\n")
    with pytest.raises(DataError, match=r"line 2: 'nomal' is not a label"):
        load_dataset("folder", tmp_path)


def test_a_kind_whose_pictures_cannot_be_read_is_an_error(tmp_path):
    """A kind of defect does not vanish because its pictures have another ending."""
    picture(tmp_path / "gear" / "test" / "good" / "0.png")
    (tmp_path / "gear" / "test" / "worn").mkdir()
    (tmp_path / "gear" / "test" / "worn" / "1.heic").write_bytes(b"")
    (tmp_path / "gear" / "test" / "worn" / "2.JP2").write_bytes(b"")
    with pytest.raises(DataError, match=r"worn holds 1 \.heic, 1 \.jp2 and no picture that can be read; convert them"):
        load_dataset("folder", tmp_path)
    picture(tmp_path / "gear" / "test" / "worn" / "3.png")
    notes = load_dataset("folder", tmp_path).notes
    assert any("worn: 1 .heic, 1 .jp2, which are not read" in note for note in notes)


def test_what_is_wrong_in_one_category_does_not_stop_another(tmp_path):
    """With the categories named that are used, the errors of the others do not count."""
    for category in ("gear", "nut"):
        picture(tmp_path / category / "test" / "good" / "0.png")
    picture(tmp_path / "nut" / "test" / "good" / "0.jpg")
    with pytest.raises(DataError, match="would both have the id nut/good/0"):
        load_dataset("folder", tmp_path)
    assert len(load_dataset("folder", tmp_path, categories=["gear"]).select(["gear"])) == 1
