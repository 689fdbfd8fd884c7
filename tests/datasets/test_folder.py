"""A folder of the user: the layout of MVTec AD, folders side by side, or a CSV file."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from lvlm_ad.datasets import load_dataset
from lvlm_ad.errors import DataError

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


def picture(path, value=100, size=(8, 6)):
    """Write a grey image; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def listing(root, text, name="data.csv"):
    """Write a CSV file and the images a.png to d.png and m.png."""
    for number, stem in enumerate("abcdm"):
        picture(root / f"{stem}.png", 50 * number)
    (root / name).write_text(text, encoding="utf-8")
    return root


def ids(root, **options):
    """Load a folder and list its ids."""
    return [sample.id for sample in load_dataset("folder", root, **options)]


def test_magnetic_tiles_load_beside_other_folders():
    """The shared real data gives 60 good, 58 blowhole and 29 crack images, and what lies beside them is noted."""
    if not (SHARED_DATA / "magnetic_tile").is_dir():
        pytest.skip("the magnetic tiles are not beside the repository: shared/data/magnetic_tile")
    dataset = load_dataset("folder", SHARED_DATA)
    assert dataset.categories == ("magnetic_tile",)
    assert Counter(s.defect for s in dataset) == {"good": 60, "blowhole": 58, "crack": 29}
    assert all(s.mask.any() == s.label for s in dataset[50:80])
    assert len(dataset.references["magnetic_tile"]) == 8
    if (SHARED_DATA / "visa").is_dir():
        assert any("visa" in note for note in dataset.notes)
    assert [s.id for s in load_dataset("folder", SHARED_DATA / "magnetic_tile")] == [s.id for s in dataset]


def test_any_names_in_the_layout_of_mvtec(tmp_path):
    """Category and defect names are the user's own; masks may have the image's name and any suffix."""
    picture(tmp_path / "gear" / "train" / "good" / "0.bmp")
    picture(tmp_path / "gear" / "test" / "OK" / "0.JPG")
    picture(tmp_path / "gear" / "test" / "worn" / "1.TIF")
    picture(tmp_path / "gear" / "test" / "worn" / "2.webp")
    picture(tmp_path / "gear" / "ground_truth" / "worn" / "1_mask.bmp", 255)
    picture(tmp_path / "gear" / "ground_truth" / "worn" / "2.PNG", 255)
    dataset = load_dataset("folder", tmp_path)
    assert [s.id for s in dataset] == ["gear/good/0", "gear/worn/1", "gear/worn/2"]
    assert [s.mask_path and s.mask_path.name for s in dataset] == [None, "1_mask.bmp", "2.PNG"]
    assert [p.name for p in dataset.references["gear"]] == ["0.bmp"]


def test_root_with_test_is_one_category(tmp_path):
    """A folder that itself holds test/ is one category with the folder's name."""
    picture(tmp_path / "gear" / "test" / "normal" / "0.png")
    picture(tmp_path / "gear" / "test" / "worn" / "1.png")
    assert ids(tmp_path / "gear") == ["gear/good/0", "gear/worn/1"]
    assert ids(tmp_path / "gear" / "test" / "..") == ["gear/good/0", "gear/worn/1"]


def test_masks_are_optional(tmp_path):
    """Without masks the data loads, the ground truth is None, and the consequence is noted."""
    picture(tmp_path / "test" / "good" / "0.png")
    picture(tmp_path / "test" / "worn" / "1.png")
    dataset = load_dataset("folder", tmp_path)
    assert dataset[1].mask is None
    assert dataset.notes == ("No masks: pixel metrics will be undefined.",)


def test_part_of_the_masks_is_noted(tmp_path):
    """Where some defects have a mask and others none, their number is noted."""
    for i in range(3):
        picture(tmp_path / "test" / "worn" / f"{i}.png")
    picture(tmp_path / "masks" / "worn" / "1.png", 255)
    assert any("2 of 3 defect images have no mask" in note for note in load_dataset("folder", tmp_path).notes)


def test_two_masks_for_one_image_are_an_error(tmp_path):
    """Of two masks none is picked silently."""
    picture(tmp_path / "test" / "worn" / "0.png")
    picture(tmp_path / "ground_truth" / "worn" / "0_mask.png", 255)
    picture(tmp_path / "masks" / "worn" / "0_mask.bmp", 255)
    with pytest.raises(DataError, match=r"one mask, .*truth/worn/0_mask\.png and .*masks/worn/0_mask\.bmp"):
        load_dataset("folder", tmp_path)


def test_images_without_a_kind_are_noted(tmp_path):
    """Images directly in test/ have no label and are left out aloud."""
    picture(tmp_path / "test" / "good" / "0.png")
    picture(tmp_path / "test" / "1.png")
    dataset = load_dataset("folder", tmp_path)
    assert len(dataset) == 1
    assert any("Ignored 1 images directly in" in note for note in dataset.notes)


@pytest.mark.parametrize("good", ["good", "Normal", "ok"])
@pytest.mark.parametrize("masks", ["ground_truth", "masks"])
def test_folders_side_by_side_are_one_category(tmp_path, good, masks):
    """good/ beside other folders is one category; the others are its defects, masks their own."""
    root = tmp_path / "gear"
    picture(root / good / "0.png")
    picture(root / "worn" / "1.png")
    picture(root / "bent tooth" / "1.png")
    picture(root / masks / "worn" / "1_mask.png", 255)
    picture(root / "train" / "good" / "9.png")
    dataset = load_dataset("folder", root)
    assert [s.id for s in dataset] == ["gear/good/0", "gear/bent tooth/1", "gear/worn/1"]
    assert [s.mask_path is None for s in dataset] == [True, True, False]


def test_good_image_with_a_mask_is_an_error(tmp_path):
    """A mask for a good image contradicts its label in this form too."""
    picture(tmp_path / "good" / "0.png")
    picture(tmp_path / "masks" / "good" / "0.png")
    with pytest.raises(DataError, match="listed as good but has a mask"):
        load_dataset("folder", tmp_path)


def test_two_good_folders_may_share_a_name(tmp_path):
    """good/0.png and ok/0.png are two samples, with their paths in their ids."""
    picture(tmp_path / "gear" / "good" / "0.png")
    picture(tmp_path / "gear" / "ok" / "0.png")
    picture(tmp_path / "gear" / "ok" / "1.png")
    assert ids(tmp_path / "gear") == ["gear/good/good/0", "gear/good/ok/0", "gear/good/1"]


def test_two_pictures_of_one_name_in_a_folder_are_an_error(tmp_path):
    """Beside 0.jpg, 0.png may be the same picture converted, so none is taken without a word."""
    picture(tmp_path / "good" / "0.png")
    picture(tmp_path / "good" / "0.jpg")
    with pytest.raises(DataError, match="would both have the id"):
        load_dataset("folder", tmp_path)


def test_csv_gives_labels_masks_categories_and_splits(tmp_path):
    """A CSV's columns may stand in any order and case; training rows become references."""
    header = "Label,IMAGE,split,category,mask\n"
    rows = "ok,a.png,train,gear,\n0,b.png,test,gear,\ncrack,c.png,,gear,m.png\n1,d.png,test,nut,\n"
    dataset = load_dataset("folder", listing(tmp_path, header + rows))
    assert [(s.id, s.label, s.defect) for s in dataset] == [
        ("gear/good/b", False, "good"),
        ("gear/crack/c", True, "crack"),
        ("nut/bad/d", True, "bad"),
    ]
    assert dataset[1].mask_path == tmp_path / "m.png"
    assert {k: [p.name for p in v] for k, v in dataset.references.items()} == {"gear": ["a.png"]}
    assert dataset.root == tmp_path


@pytest.mark.parametrize("word", ["good", "Normal", "OK", "0", "False", "0.0"])
def test_words_for_normal(tmp_path, word):
    """Each usual word for a normal image means one."""
    (tmp_path / "gear").mkdir()
    assert ids(listing(tmp_path / "gear", f"image,label\na.png,{word}\n")) == ["gear/good/a"]


@pytest.mark.parametrize("word", ["anomaly", "Anomalous", "bad", "DEFECT", "1", "True"])
def test_words_for_anomalous(tmp_path, word):
    """Each usual word for an anomalous image means one; none of them names a kind of defect."""
    (tmp_path / "gear").mkdir()
    assert ids(listing(tmp_path / "gear", f"image,label\na.png,{word}\n")) == ["gear/bad/a"]


def test_csv_file_as_root_chooses_among_several(tmp_path):
    """With two CSV files in a folder, none is picked silently; either can be given itself."""
    listing(tmp_path, "image,label\na.png,good\n")
    listing(tmp_path, "image,label\nb.png,good\n", "other.CSV")
    with pytest.raises(DataError, match="several CSV files"):
        load_dataset("folder", tmp_path)
    assert ids(tmp_path / "other.CSV") == [f"{tmp_path.name}/good/b"]


def test_csv_as_spreadsheets_write_it(tmp_path):
    """A byte-order mark, blank lines, spaces, quoted commas, short rows and unknown columns are no obstacle."""
    picture(tmp_path / 'x, "y".png')
    text = '\ufeffimage, label ,comment,mask\r\n"x, ""y"".png",good,fine,\r\n,,,\r\n a.png , scratch\r\n'
    dataset = load_dataset("folder", listing(tmp_path, text))
    assert [s.id.split("/", 1)[1] for s in dataset] == ['good/x, "y"', "scratch/a"]
    assert any("Ignored columns of data.csv: 'comment'" in note for note in dataset.notes)


def test_csv_with_unusual_file_names(tmp_path):
    """Newlines and letters of any script are allowed in a CSV's paths."""
    picture(tmp_path / "ä\n裂.png")
    assert ids(listing(tmp_path, 'image,label\n"ä\n裂.png",good\n')) == [f"{tmp_path.name}/good/ä\n裂"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../a.png,good,,", "../a.png leads out of"),
        ("sub/../../a.png,good,,", "../a.png leads out of"),
        ("a.png,bad,../../m.png,", "m.png does not exist"),
        ("/etc/passwd,good,,", "is not an image"),
        ("link.png,good,,", "link.png leads out of"),
        ("linked/a.png,good,,", "a.png leads out of"),
        ("none.png,good,,", "none.png does not exist"),
        ("sub,good,,", "'sub' is not an image"),
        (",good,,", "'' is not an image"),
        ("a.png,,,", "'' is not a label"),
        ("a.png,../x,,", "'../x' is not a label"),
        ("a.png,good,,../x", "'../x' is not a category"),
        ("a.png,good,m.png,", "is listed as good but has a mask"),
        ("a.png,good,,gear,test,surplus", "6 fields, but 5 columns"),
        ("a.png,good,,gear,valid", "'valid' is not a split"),
        ("a.png,good,m.png,gear,train", "is listed as good but has a mask"),
        (f"{'x' * 300}.png,good,,", "does not exist"),
    ],
)
def test_wrong_row_is_named_with_its_line(tmp_path, row, message):
    """Each fault of a row is an error that names the file, the line and what it met, on one line."""
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    outside = picture(tmp_path / "a.png")
    (root / "link.png").symlink_to(outside)
    (root / "linked").symlink_to(outside.parent)
    with pytest.raises(DataError) as raised:
        load_dataset("folder", listing(root, f"image,label,mask,category,split\n{row}\n"))
    assert message in str(raised.value)
    assert "data.csv, line 2: " in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column image, label; its first line names nothing"),
        (b"image:label\na.png:good\n", "has no column image, label; its first line names 'image:label'"),
        (b"image;label\na.png;good;x\n", "line 2: 3 fields, but 2 columns; quote fields that hold semicolons"),
        (b"image,label,image\n", "has two columns image"),
        (b"image,label\n\xff\xfe.png,good\n", "is not in UTF-8"),
        (b'image,label\n"a.png,good\n', "is not a CSV file"),
        (b"image,label\n", "has no test images"),
    ],
)
def test_csv_that_cannot_be_read_is_an_error(tmp_path, content, message):
    """A CSV without its columns, in another encoding, damaged or empty is told as such."""
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_dataset("folder", tmp_path)


def test_same_stem_in_two_folders_of_a_csv_gives_ids_from_paths(tmp_path):
    """Where stems repeat, ids hold the path, and the suffix if that repeats too; other ids stay as they are."""
    for name in ("one/a.png", "two/a.png", "two/b.png", "two/b.jpg", "two/c.png"):
        picture(tmp_path / "gear" / name)
    rows = "one/a.png,good\ntwo/a.png,good\ntwo/b.png,bad\ntwo/b.jpg,bad\ntwo/c.png,good\n"
    found = ids(listing(tmp_path / "gear", f"image,label\n{rows}"))
    assert found == ["gear/good/one/a", "gear/good/two/a", "gear/good/c", "gear/bad/two/b.jpg", "gear/bad/two/b.png"]


def test_a_file_listed_twice_is_an_error(tmp_path):
    """The second line is named."""
    with pytest.raises(DataError, match=r"line 3: .*a\.png is listed twice, as .*/good/a; remove one of the lines"):
        load_dataset("folder", listing(tmp_path, "image,label\na.png,good\na.png,ok\n"))


def test_folder_in_no_known_form_says_what_is_expected(tmp_path):
    """A folder of images without labels says what it holds and which forms are known."""
    picture(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"holds a\.png; expected are <category>/test/good"):
        load_dataset("folder", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds nothing"):
        load_dataset("folder", tmp_path / "empty")


@pytest.mark.parametrize("root", ["none", "none.csv", "x" * 300, "a\nb"])
def test_missing_root_is_an_error(tmp_path, root):
    """A root that does not exist, even one that cannot, is named on one line."""
    with pytest.raises(DataError, match="does not exist") as raised:
        load_dataset("folder", tmp_path / root)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("good", ["defect-free", "Pass", "not_defective", "test_good", "negative"])
def test_folders_with_common_words_for_normal_hold_normal_images(tmp_path, good):
    """A folder's name means what the same word means in a list; a number may be that of a kind of defect."""
    picture(tmp_path / "gear" / "test" / good / "1.png")
    picture(tmp_path / "gear" / "test" / "0" / "2.png")
    assert ids(tmp_path / "gear") == ["gear/good/1", "gear/0/2"]
    picture(tmp_path / "nut" / good / "1.png")
    picture(tmp_path / "nut" / "worn" / "2.png")
    assert ids(tmp_path / "nut") == ["nut/good/1", "nut/worn/2"]


def test_a_folder_named_almost_like_good_is_told(tmp_path):
    """It stays a kind of defect, as ever, and the user is told."""
    picture(tmp_path / "test" / "good" / "0.png")
    picture(tmp_path / "test" / "goood" / "1.png")
    assert load_dataset("folder", tmp_path).remarks == (
        "Read as kinds of defect: goood. If one means normal, call its folder good.",
    )


def test_the_folders_of_the_layout_may_be_in_upper_case(tmp_path):
    """Test/, Train/ and Ground_Truth/ are the folders that MVTec AD has in lower case; another category may differ."""
    picture(tmp_path / "gear" / "Test" / "Good" / "0.png")
    picture(tmp_path / "gear" / "TRAIN" / "Good" / "0.png")
    picture(tmp_path / "gear" / "Test" / "Worn" / "0.png")
    picture(tmp_path / "gear" / "Ground_Truth" / "Worn" / "0.png", 255)
    picture(tmp_path / "nut" / "test" / "good" / "0.png")
    dataset = load_dataset("folder", tmp_path)
    assert [s.id for s in dataset] == ["gear/good/0", "gear/Worn/0", "nut/good/0"]
    assert dataset[1].mask_path is not None
    assert len(dataset.references["gear"]) == 1


@pytest.mark.parametrize("name", ["list.tsv", "list.TXT"])
def test_a_list_with_another_ending_may_be_given(tmp_path, name):
    """A table with tabs need not be called .csv if it is named itself."""
    listing(tmp_path, "image\tlabel\na.png\tgood\nb.png\tworn\n", name)
    assert len(load_dataset("folder", tmp_path / name)) == 2
    workbook = tmp_path / "list.xlsx"
    workbook.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"list\.xlsx is a file.*A list must end in \.csv, \.tsv, \.txt"):
        load_dataset("folder", workbook)


def test_masks_beside_a_list_without_masks_are_told(tmp_path):
    """A list has its masks in a column; a folder of masks beside it is not read."""
    picture(tmp_path / "masks" / "b.png", 255)
    listing(tmp_path, "image,label\na.png,good\nb.png,worn\n")
    told = "masks/ beside data.csv is not read. Name each image's mask in a column mask."
    assert told in load_dataset("folder", tmp_path).remarks
    (tmp_path / "data.csv").write_text("image,label,mask\na.png,good,\nb.png,worn,masks/b.png\n")
    assert told not in load_dataset("folder", tmp_path).remarks


@pytest.mark.parametrize("name", ["gear", "test"])
def test_the_folder_above_need_not_be_listable(tmp_path, monkeypatch, name):
    """On shared machines one may be allowed to enter the folder above, but not to list it."""
    root = tmp_path / name
    picture(root / "good" / "0.png")
    list_folder = os.listdir

    def refuse(folder):
        if Path(folder) == tmp_path:
            raise PermissionError(13, "Permission denied")
        return list_folder(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    assert len(load_dataset("folder", root)) == 1


def test_info_counts_the_kinds_that_a_line_has_no_room_for(tmp_path, lvlm_ad_command):
    """A folder with a kind for each image has a short line; --json names all kinds."""
    picture(tmp_path / "nut" / "good" / "0.png")
    for number in range(60):
        picture(tmp_path / "nut" / f"kind-of-defect-{number:02}" / "0.png", number)
    shown = lvlm_ad_command("data", "info", "--data", tmp_path / "nut").stdout
    assert "48 more" in shown
    assert "kind-of-defect-11" in shown
    assert "kind-of-defect-12" not in shown
    info = json.loads(lvlm_ad_command("data", "info", "--data", tmp_path / "nut", "--json").stdout)
    assert len(info["defects"]["nut"]) == 60
