"""Published data sets other than MVTec AD and VisA: what their miniature trees (test_layout_trees) do not cover."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.counts import count_dataset
from lvlm_ad.datasets.readers import READERS, recognized, recognized_around
from lvlm_ad.errors import ConfigError, DataError


def picture(path, value=100):
    """Write a colour image of 8 x 6 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (value, value, value)).save(path)
    return path


def mask(path, value=255, size=(8, 6)):
    """Write a mask whose first two columns have a value; 0: it marks nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(size[::-1], np.uint8)
    values[:, :2] = value
    Image.fromarray(values).save(path)
    return path


def mpdd(root, *categories):
    """Write categories in the layout of MVTec AD."""
    for category in categories:
        for place in ("train/good", "test/good", "test/hole"):
            picture(root / category / place / "000.png", len(category + place))
        mask(root / category / "ground_truth/hole/000_mask.png")
    return root


def ksdd(root, values=(0, 200, 60)):
    """Write two items with an image for each value of its label."""
    for item in ("kos01", "kos02"):
        for number, value in enumerate(values):
            picture(root / item / f"Part{number}.jpg", 50 * number)
            mask(root / item / f"Part{number}_label.bmp", value)
    return root


def dagm(root, *classes):
    """Write classes with a good and an anomalous image in both splits."""
    for one in classes:
        for split in ("Train", "Test"):
            for number in range(2):
                picture(root / one / split / f"{number:04}.PNG", 50 * number + len(split))
            mask(root / one / split / "Label" / "0001_label.PNG")
    return root


def bmad(root, category="Brain", *, has_masks=True):
    """Write a category with one image of each kind in each split."""
    picture(root / category / "train/good/0.png")
    for split in ("valid", "test"):
        for kind in ("good", "Ungood"):
            picture(root / category / split / kind / "img/0.png", len(split + kind))
            if has_masks:
                mask(root / category / split / kind / "label/0.png", 255 * (kind != "good"))
    return root


def head_ct(root, table):
    """Write two pictures and a table."""
    for number in range(2):
        picture(root / "head_ct" / f"{number:03}.png", 50 * number)
    (root / "labels.csv").write_text(table)
    return root


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache without data sets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def ids(name, root, **options):
    """Name the test images of a data set."""
    return [sample.id for sample in load_dataset(name, root, **options)]


def errors(name, root):
    """Return the errors that a check finds."""
    return [one.message for one in check_dataset(name, root).problems if one.severity == "error"]


def test_one_category_and_the_folder_around_are_roots(tmp_path):
    """A category is read as a part, and the folder around the data set's as the whole."""
    root = mpdd(tmp_path / "around" / "MPDD", "tubes", "metal_plate")
    assert ids("mpdd", root / "tubes") == ["tubes/good/000", "tubes/hole/000"]
    assert ids("mpdd", root.parent) == ids("mpdd", root)
    assert load_dataset("mpdd", root).notes[0] == "2 of the 6 categories of MPDD are read."


def test_a_part_of_a_category_names_the_folder_above(tmp_path):
    """The error for a root one level too low names the right one."""
    root = mpdd(tmp_path, "tubes")
    with pytest.raises(DataError, match=f"Did you mean {root / 'tubes'}"):
        load_dataset("mpdd", root / "tubes" / "test")
    with pytest.raises(DataError, match=f"Did you mean {tmp_path / 'k'}"):
        load_dataset("ksdd", ksdd(tmp_path / "k") / "kos01")


@pytest.mark.parametrize(
    ("name", "category", "write"),
    [
        ("mpdd", "tubes", mpdd),
        ("dagm", "Class2", dagm),
        ("bmad", "Brain", bmad),
    ],
)
def test_a_category_in_a_folder_of_its_own_name_is_an_error(tmp_path, name, category, write):
    """An archive that was unpacked into a folder of its own name is not silently left out."""
    write(tmp_path, category)
    (tmp_path / category).rename(tmp_path / "inner")
    (tmp_path / category).mkdir()
    (tmp_path / "inner").rename(tmp_path / category / category)
    assert f"{category}/{category}/ holds what belongs in {category}/" in errors(name, tmp_path)[0]


@pytest.mark.parametrize(
    ("name", "category", "split", "write"),
    [("mpdd", "tubes", "test", mpdd), ("dagm", "Class2", "Test", dagm), ("bmad", "Brain", "test", bmad)],
)
def test_a_category_without_test_images_is_an_error(tmp_path, name, category, split, write):
    """A category that has only training images is an error, not a smaller data set."""
    write(tmp_path, category)
    (tmp_path / category / split).rename(tmp_path / category / "away")
    assert f"{tmp_path / category} has no folder {split}/" in errors(name, tmp_path)[0]


@pytest.mark.usefixtures("cache")
def test_a_data_set_that_cannot_be_downloaded_names_its_page():
    """Without a folder, the error says where the data set is, and offers a download only where there is one."""
    with pytest.raises(ConfigError, match=r"give it with --data PATH; it is available at github\.com/stepanje/MPDD"):
        load_dataset("mpdd")
    with pytest.raises(ConfigError, match="or download it: lvlm-ad data download btad"):
        load_dataset("btad")


def test_another_data_set_is_named(tmp_path):
    """Reading a tree of one data set as another is an error that gives the right name."""
    dagm(tmp_path, "Class1")
    for name in ("btad", "mpdd", "ksdd", "ksdd2", "bmad", "yes-no", "head-ct", "kaputt", "mvtec"):
        with pytest.raises(DataError, match="looks like DAGM 2007: give --dataset dagm"):
            load_dataset(name, tmp_path)


def test_another_data_set_is_named_one_level_down(tmp_path):
    """The folder around a data set, read as another one or as the user's own, names both."""
    inner = dagm(tmp_path / "inner", "Class1")
    for name in ("mvtec", "folder", "mpdd"):
        with pytest.raises(DataError, match=f"inner in it looks like DAGM 2007: give --dataset dagm --data {inner}"):
            load_dataset(name, tmp_path)


def test_a_users_own_folders_are_no_published_set(tmp_path, lvlm_ad_command):
    """Names that anybody may give, such as yes, no and tubes, do not decide what --data alone reads."""
    for root in (mpdd(tmp_path / "a", "tubes"), tmp_path / "b"):
        for kind in ("yes", "no"):
            picture(root / kind / "0.png") if root.name == "b" else None
        done = lvlm_ad_command("data", "info", "--data", root, "--json")
        assert json.loads(done.stdout)["dataset"] == "folder"


def test_class_names_are_words(tmp_path):
    """Questions call a category by a word, not by a number or the name of its folder."""
    assert load_dataset("dagm", dagm(tmp_path / "d", "Class1")).class_names == {"Class1": "texture"}
    assert load_dataset("bmad", bmad(tmp_path / "b")).class_names == {"Brain": "brain MRI"}
    woven = mpdd(tmp_path / "w", "Woven_001", "Mesh_114")
    assert load_dataset("dtd-synthetic", woven).class_names == {"Woven_001": "woven", "Mesh_114": "mesh"}
    assert load_dataset("ksdd", ksdd(tmp_path / "k")).class_names == {
        "electrical commutators": "electrical commutators"
    }


def test_the_label_follows_the_masks_threshold(tmp_path):
    """KolektorSDD: any value marks a defect; with a threshold in the middle (AnomalyVFM's), a faint one does not."""
    root = ksdd(tmp_path)
    assert [sample.label for sample in load_dataset("ksdd", root)] == [False, False, True, True, True, True]
    strict = load_dataset("ksdd", root, mask_threshold=127)
    assert [sample.label for sample in strict] == [False, False, False, False, True, True]
    assert [int(sample.mask.sum()) for sample in strict if sample.label] == [12, 12]
    assert ids("ksdd", root)[0] == "electrical commutators/good/kos01/Part0"


def test_a_label_that_cannot_be_read_is_an_error(tmp_path):
    """Without its label an image is neither good nor bad, so it is left out and reported."""
    root = ksdd(tmp_path)
    (root / "kos01" / "Part0_label.bmp").write_bytes(b"no picture")
    (message,) = errors("ksdd", root)
    assert "Part0_label.bmp" in message
    assert "Part0.jpg is neither good nor bad" in message


def test_names_in_capitals_are_recognized(tmp_path):
    """Some file systems change the case of names."""
    root = ksdd(tmp_path)
    for path in [*root.glob("kos*/*_label.bmp")]:
        path.rename(path.with_name(path.name.replace("_label.bmp", "_LABEL.BMP")))
    assert recognized(root) == "ksdd"
    assert len(load_dataset("ksdd", root)) == 6


def test_a_class_of_dagm_is_recognized(tmp_path):
    """One class has the folders that are found in no other data set."""
    assert recognized(dagm(tmp_path, "Class3") / "Class3") == "dagm"


def test_masks_beside_images_are_errors(tmp_path):
    """DAGM: a mask that lies one level too high is not read as an image."""
    root = dagm(tmp_path, "Class1")
    mask(root / "Class1" / "Test" / "0000_label.PNG")
    assert "0000_label.PNG is a mask; it belongs in" in errors("dagm", root)[0]


def test_training_images_that_may_be_defective_are_no_references(tmp_path):
    """DAGM: without the masks of the training images, none is a reference."""
    root = dagm(tmp_path, "Class1", "Class2")
    (root / "Class2" / "Train" / "Label").rename(root / "away")
    report = check_dataset("dagm", root)
    assert {name: len(paths) for name, paths in report.dataset.references.items()} == {"Class1": 1}
    assert any("none is a reference" in problem.message for problem in report.problems)
    assert report.ok


def test_masks_of_good_images_are_checked(tmp_path):
    """BMAD: a check reads the masks of good images, which must be black and as large as their image."""
    root = bmad(tmp_path)
    assert check_dataset("bmad", root).ok
    mask(root / "Brain/test/good/label/0.png", 0, size=(6, 8))
    (message,) = errors("bmad", root)
    assert "has 6 x 8 pixels, but its image has 8 x 6" in message
    (root / "Brain/test/good/label/0.png").write_bytes(b"no picture")
    assert "label/0.png" in errors("bmad", root)[0]


def test_whether_a_category_has_masks_is_seen_from_its_folders(tmp_path):
    """BMAD: a category without the folder label has no masks, and its images of valid are for thresholds."""
    dataset = load_dataset("bmad", bmad(bmad(tmp_path), "Chest", has_masks=False))
    assert {sample.category: sample.mask_path is not None for sample in dataset if sample.label} == {
        "Brain": True,
        "Chest": False,
    }
    assert {name: len(paths) for name, paths in dataset.validation.items()} == {"Brain": 1, "Chest": 1}


def test_a_category_without_masks_is_told_in_one_line(tmp_path):
    """Thousands of images in categories that never had masks give one warning each, and no kind is doubted."""
    bmad(bmad(tmp_path, "Brain"), "Chest", has_masks=False)
    for number in (1, 2):
        picture(tmp_path / f"Chest/test/Ungood/img/{number}.png", 90 + number)
    report = check_dataset("bmad", tmp_path)
    assert [one.message for one in report.problems if "mask" in one.message] == [
        "Chest has no masks, though other categories have; its pixel metrics are undefined."
    ]
    assert not report.dataset.remarks


def test_a_third_kind_of_image_is_told(tmp_path):
    """A folder beside good and Ungood may hold either."""
    picture(bmad(tmp_path) / "Brain/test/unsure/img/0.png")
    assert errors("bmad", tmp_path) == [
        f"{tmp_path}/Brain/test/unsure is neither good/ nor Ungood/; its images may be normal or not. Move it away."
    ]


def test_masks_among_images_of_a_set_without_masks_are_told(tmp_path):
    """They would count as anomalous images."""
    for name in ("yes/1.png", "yes/1_mask.png", "no/2.png"):
        picture(tmp_path / name)
    assert errors("yes-no", tmp_path) == [
        f"{tmp_path}/yes/1_mask.png has the name of a mask, but sets of this form have none; give --dataset folder."
    ]


def test_pictures_in_deeper_folders_are_errors(tmp_path):
    """yes-no: pictures one level too low would leave a class empty."""
    picture(tmp_path / "yes" / "yes" / "0.png")
    picture(tmp_path / "no" / "0.png")
    assert "move them up" in errors("yes-no", tmp_path)[0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0,1\n1,2\n", "line 3: expected are a number and 0 or 1, not '1' and '2'"),
        ("0,1\n1,0\n" + "9" * 5000 + ",1\n", "line 4: expected are a number and 0 or 1, not '999"),
        ("0,1\n1,0\n1,1\n", "line 4: the number 1 is in the table twice"),
        ("0,1\n1,0\n7,0\n", "line 4: .*007.png does not exist"),
        ("0,1\n", "001.png has no label"),
    ],
)
def test_a_table_that_does_not_fit_its_pictures_is_an_error(tmp_path, rows, said):
    """Head CT: each picture has one line in the table, with 0 or 1."""
    root = head_ct(tmp_path, "id, hemorrhage\n" + rows)
    with pytest.raises(DataError, match=said):
        load_dataset("head-ct", root)


@pytest.mark.parametrize("table", ["id; hemorrhage\n0;0\n1;1\n", "id\themorrhage\n0\t0\n1\t1\n"])
def test_a_table_may_have_other_separators(tmp_path, table):
    """Head CT: semicolons, which spreadsheets write in many countries, and tabs are read as commas are."""
    assert ids("head-ct", head_ct(tmp_path, table)) == ["head_ct/good/000", "head_ct/defect/001"]


@pytest.mark.parametrize("table", ["0,0\n1,1\n", "hemorrhage\n0\n1\n", ""])
def test_a_table_without_names_of_columns_is_refused(tmp_path, table):
    """Head CT: the message says that the first line must name the columns, and what it holds."""
    (message,) = errors("head-ct", head_ct(tmp_path, table))
    assert "its first line must name two columns, number and label, such as id,hemorrhage; it holds" in message


def test_head_ct_is_read_in_the_other_form(tmp_path):
    """Folders good and defect in test/, as AdaCLIP arranges the pictures, give the same labels as the table."""
    listed = load_dataset("head-ct", head_ct(tmp_path / "a", "id, hemorrhage\n0,0\n1,1\n"))
    picture(tmp_path / "b/headct/test/good/000.png", 0)
    picture(tmp_path / "b/headct/test/defect/001.png", 50)
    assert load_dataset("head-ct", tmp_path / "b").fingerprint == listed.fingerprint
    assert ids("head-ct", tmp_path / "b") == ["head_ct/good/000", "head_ct/defect/001"]


def kaputt(root, split="test", **changes):
    """Write two items with a query image and a reference each in a split; ``changes`` are of the first query."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    queries, references = [], []
    for number in range(2):
        picture(root / f"query-image/test/{number}.jpg", 50 * number)
        picture(root / f"reference-image/test/{number}.jpg", 90 * number)
        common = {"item_identifier": f"item{number}"}
        query = {"item_material": "book_other", "defect": bool(number), "defect_types": ["spillage"] * number}
        queries.append({**common, **query, "query_image": f"test/{number}.jpg"})
        references.append({**common, "reference_image": f"test/{number}.jpg"})
    queries[0].update(changes)
    (root / "datasets").mkdir(exist_ok=True)
    for name, rows in (("query", queries), ("reference", references)):
        parquet.write_table(pa.Table.from_pylist(rows), root / f"datasets/{name}-{split}.parquet")
    return root


def test_references_belong_to_an_item(tmp_path):
    """Kaputt: an image is compared with those of its own item; the material is its category."""
    dataset = load_dataset("kaputt", kaputt(tmp_path / "kaputt").parent)
    assert [(one.id, one.references[0].name) for one in dataset] == [
        ("book_other/good/0", "0.jpg"),
        ("book_other/spillage/1", "1.jpg"),
    ]
    assert dataset.class_names == {"book_other": "book"}
    assert dataset.references == {}
    assert count_dataset(dataset)["references"] == {"book_other": 2}


def test_train_and_validation_are_splits_of_kaputt(tmp_path):
    """Each is read by its name; without a name, and by any other, only the test images are."""
    root = kaputt(kaputt(tmp_path), "validation", item_material="paper")
    assert ids("kaputt", root) == ["book_other/good/0", "book_other/spillage/1"]
    assert ids("kaputt", root, split="validation") == ["book_other/spillage/1", "paper/good/0"]
    with pytest.raises(DataError, match=r"query-train\.parquet does not exist"):
        load_dataset("kaputt", root, split="train")
    with pytest.raises(ConfigError, match="Did you mean 'train'"):
        load_dataset("kaputt", root, split="trains")


def test_two_images_of_one_name_are_told_once(tmp_path):
    """BTAD: a folder that was partly converted to PNG holds both files; one line names them."""
    for name in ("ok/000.png", "ko/000.bmp", "ko/000.png"):
        picture(tmp_path / "01" / "test" / name)
    mask(tmp_path / "01" / "ground_truth" / "ko" / "000.png")
    (message,) = errors("btad", tmp_path)
    assert "000.bmp" in message
    assert "000.png" in message
    assert "id" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"defect": None}, "row 1: expected are two texts, and true or false"),
        ({"query_image": "../../secret.jpg"}, "row 1: '../../secret.jpg' leads out of"),
    ],
)
def test_rows_of_a_table_that_cannot_be_used_are_errors(tmp_path, changes, said):
    """Kaputt: a wrong value or a path out of the data set is an error with its row."""
    with pytest.raises(DataError, match=said):
        load_dataset("kaputt", kaputt(tmp_path, **changes))


def test_a_reference_that_cannot_be_read_is_an_error_of_a_check(tmp_path):
    """The references of single images are looked at as those of categories are."""
    root = kaputt(tmp_path)
    (root / "reference-image/test/1.jpg").write_bytes(b"no picture")
    (message,) = errors("kaputt", root)
    assert "1.jpg" in message


def test_a_damaged_table_is_an_error(tmp_path):
    """Kaputt: a file that is no Parquet, and a table without a column, are one line each."""
    root = kaputt(tmp_path)
    table = root / "datasets" / "query-test.parquet"
    table.write_bytes((root / "datasets" / "reference-test.parquet").read_bytes())
    with pytest.raises(DataError, match="has no column item_material, defect"):
        load_dataset("kaputt", root)
    table.write_bytes(b"no table")
    with pytest.raises(DataError, match=r"query-test\.parquet cannot be read"):
        load_dataset("kaputt", root)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    """Kaputt without pyarrow: the error says what to install."""
    picture(tmp_path / "query-image/0.jpg")
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "query-test.parquet").write_bytes(b"")
    # None is how Python itself marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'lvlm-ad\[kaputt\]'"):
        load_dataset("kaputt", tmp_path)


def test_the_documentation_lists_every_data_set():
    """Each name that --dataset takes has a row in docs/datasets.md, with its licence."""
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    table = text.partition("| name |")[2].partition("\n\n")[0]
    rows = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    assert set(READERS) <= set(rows)
    for name, reader in READERS.items():
        assert reader.licence in rows[name]


def test_a_mask_setting_without_any_defect_is_refused(tmp_path):
    """Every image would count as good."""
    with pytest.raises(DataError, match="every image counts as normal; change the mask threshold"):
        load_dataset("ksdd", ksdd(tmp_path), mask_threshold=300)


def test_the_only_folder_in_the_given_one_is_recognized(tmp_path):
    """An unpacked archive often has a folder around the data set; beside others it is not unmistakable."""
    ksdd(tmp_path / "around" / "data")
    assert recognized(tmp_path / "around") is None
    assert recognized_around(tmp_path / "around") == "ksdd"
    assert len(load_dataset("ksdd", tmp_path / "around")) == 6
    (tmp_path / "around" / "more").mkdir()
    assert recognized_around(tmp_path / "around") is None


def test_a_damaged_data_set_is_still_recognized(tmp_path):
    """A list whose entries lack a field, KolektorSDD2 without test images: errors, and of the right data set."""
    (tmp_path / "meta.json").write_text('{"train": {}, "test": {"nut": [{"cls_name": "nut", "anomaly": 0}]}}')
    assert recognized(tmp_path) == "meta-json"
    train = tmp_path / "k2" / "train"
    train.mkdir(parents=True)
    for name in ("1.png", "1_GT.png"):
        Image.new("L", (4, 4)).save(train / name)
    assert recognized(tmp_path / "k2") == "ksdd2"
    with pytest.raises(DataError, match=r"KolektorSDD2 in .* has no folder test/"):
        load_dataset("ksdd2", tmp_path / "k2")
