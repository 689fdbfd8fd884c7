"""MVTec AD and the demo as data sets; names, links and odd files in the layout."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.mvtec import MVTEC_CATEGORIES
from lvlm_ad.errors import ConfigError, DataError


def picture(path, values=100, size=(9, 7)):
    """Write a greyscale image; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size[::-1], values, dtype=np.uint8) if np.isscalar(values) else np.asarray(values, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def category(folder, defects=("broken", "bent"), good=2, bad=2):
    """Write one category in the layout of MVTec AD; masks mark the left column."""
    mask = np.zeros((7, 9))
    mask[:, 0] = 255
    for i in range(good):
        picture(folder / "train" / "good" / f"{i:03}.png", i)
        picture(folder / "test" / "good" / f"{i:03}.png", 50 + i)
    for number, defect in enumerate(defects):
        for i in range(bad):
            picture(folder / "test" / defect / f"{i:03}.png", 100 + 10 * number + i)
            picture(folder / "ground_truth" / defect / f"{i:03}_mask.png", mask)
    return folder


def test_labels_masks_and_order_are_the_layouts(tmp_path):
    """Categories come sorted; in each, good first, then defects, files by name; labels come from the folders."""
    category(tmp_path / "screw")
    category(tmp_path / "bottle", defects=("contamination",))
    dataset = load_dataset("mvtec", tmp_path)
    assert [s.id for s in dataset] == [
        *(f"bottle/{kind}/{i}" for kind in ("good", "contamination") for i in ("000", "001")),
        *(f"screw/{kind}/{i}" for kind in ("good", "bent", "broken") for i in ("000", "001")),
    ]
    assert [s.label for s in dataset][:4] == [False, False, True, True]
    assert dataset.name == "mvtec"
    assert dataset[0].image.shape == (7, 9, 3)
    assert dataset[2].mask.sum() == 7
    assert not dataset[0].mask.any()
    assert [p.name for p in dataset.references["screw"]] == ["000.png", "001.png"]


def test_files_are_sorted_by_name_as_text(tmp_path):
    """The order is that of the names as text: 10 before 2."""
    folder = category(tmp_path / "pill", good=1)
    for name in ("2", "10"):
        picture(folder / "test" / "good" / f"{name}.png")
    assert [s.id for s in load_dataset("mvtec", tmp_path) if not s.label] == [
        f"pill/good/{n}" for n in ("000", "10", "2")
    ]


def test_part_of_the_data_is_noted(tmp_path):
    """Some of the fifteen categories will do; how many, and what else lies there, is noted."""
    category(tmp_path / "wood")
    (tmp_path / "my_things").mkdir()
    (tmp_path / "license.txt").write_text("text")
    notes = load_dataset("mvtec", tmp_path).notes
    assert any("1 of the 15 categories" in note for note in notes)
    assert any("my_things" in note for note in notes)


def test_all_categories_need_no_note_about_parts(tmp_path):
    """With all fifteen categories only the choice of the mask threshold is noted."""
    for name in MVTEC_CATEGORIES:
        category(tmp_path / name, defects=("bent",), good=1, bad=1)
    dataset = load_dataset("mvtec", tmp_path)
    assert dataset.categories == MVTEC_CATEGORIES
    assert len(dataset.notes) == 1
    assert "above 127 count as defective" in dataset.notes[0]


def test_given_threshold_is_kept_and_not_noted(tmp_path):
    """A threshold from the user reaches every mask and needs no note."""
    category(tmp_path / "wood")
    dataset = load_dataset("mvtec", tmp_path, mask_threshold=254)
    assert {s.threshold for s in dataset} == {254}
    assert not any("defective" in note for note in dataset.notes)


def test_root_one_level_off_is_recognised(tmp_path):
    """The folder around the data set's and the folder of one category load too."""
    category(tmp_path / "mvtec_anomaly_detection" / "wood")
    category(tmp_path / "mvtec_anomaly_detection" / "tile")
    assert load_dataset("mvtec", tmp_path).categories == ("tile", "wood")
    inner = tmp_path / "mvtec_anomaly_detection" / "tile"
    assert load_dataset("mvtec", str(inner))[0].id == "tile/good/000"
    assert load_dataset("mvtec", inner / ".." / "tile").categories == ("tile",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "wood").rename(root / "gear"), r"holds gear/, but .*mvtec\.com.*'folder'"),
        (lambda root: root.rename(root.with_name("elsewhere")), r"data does not exist.*mvtec\.com"),
        (lambda root: root.rename(root.with_name("elsewhere")) and root.write_bytes(b"x"), "unpack it"),
        (lambda root: (root / "tile" / "test" / "good").mkdir(parents=True), "has no images in folders such as good/"),
        (lambda root: picture(root / "tile" / "train" / "good" / "0.png"), "tile has no folder test/; it holds train/"),
        (
            lambda root: picture(root / "wood" / "test" / "good" / "000.jpg"),
            r"000\.png and .*000\.jpg would both have the id wood/good/000",
        ),
        (
            lambda root: picture(root / "wood" / "ground_truth" / "good" / "000_mask.png", 255),
            r"good/000\.png is listed as good but has a mask",
        ),
        (lambda root: (root / "wood" / "test" / "good" / "x.png").symlink_to("gone.png"), "broken link"),
    ],
)
def test_a_fault_is_named_with_what_to_do(tmp_path, change, message):
    """A wrong root, an incomplete category, an ambiguous id, a contradicted label and a dead link are errors."""
    category(tmp_path / "data" / "wood")
    change(tmp_path / "data")
    with pytest.raises(DataError, match=message):
        load_dataset("mvtec", tmp_path / "data")


def test_two_copies_of_the_data_are_ambiguous(tmp_path):
    """Of two data sets beside each other none is picked silently."""
    category(tmp_path / "old" / "wood")
    category(tmp_path / "new" / "wood")
    with pytest.raises(DataError, match="more than once"):
        load_dataset("mvtec", tmp_path)


def test_root_is_required():
    """Without a root the message says which option gives it."""
    with pytest.raises(ConfigError, match=r"needs a folder.*--data"):
        load_dataset("mvtec")


def test_unknown_data_set_names_the_nearest(tmp_path):
    """A misspelt data set is answered with the right name."""
    with pytest.raises(ConfigError, match="Did you mean 'mvtec'"):
        load_dataset("mvtech", tmp_path)


@pytest.mark.parametrize("threshold", [-1, 65535])
def test_threshold_out_of_range_is_refused(tmp_path, threshold):
    """A threshold that no pixel could be above, or all would be, is a mistake."""
    with pytest.raises(ConfigError, match="out of range"):
        load_dataset("mvtec", tmp_path, mask_threshold=threshold)


def test_missing_masks_are_counted(tmp_path):
    """A defect without a mask is an error that names the mask's place and how many more faults there are."""
    folder = category(tmp_path / "wood")
    (folder / "ground_truth" / "bent" / "001_mask.png").unlink()
    with pytest.raises(
        DataError, match=r"bent/001\.png has no mask; .*ground_truth/bent/001_mask\.png is expected\."
    ) as one:
        load_dataset("mvtec", tmp_path)
    assert "first of" not in str(one.value)
    (folder / "ground_truth" / "broken" / "000_mask.png").unlink()
    with pytest.raises(DataError, match="first of 2 problems"):
        load_dataset("mvtec", tmp_path)


def test_hidden_and_system_files_are_ignored(tmp_path):
    """What macOS and Windows leave behind is no image and no category; other files are noted."""
    folder = category(tmp_path / "wood")
    before = [s.id for s in load_dataset("mvtec", tmp_path)]
    for name in (".DS_Store", "._000.png", "Thumbs.db", "desktop.ini"):
        (folder / "test" / "good" / name).write_bytes(b"x")
    (tmp_path / "__MACOSX" / "wood" / "test").mkdir(parents=True)
    (folder / "test" / "good" / "readme.txt").write_text("x")
    dataset = load_dataset("mvtec", tmp_path)
    assert [s.id for s in dataset] == before
    assert any("1 .txt" in note for note in dataset.notes)
    assert not any("db" in note or "MACOSX" in note for note in dataset.notes)


@pytest.mark.parametrize("name", ["two words", 'it\'s "quoted"', "a\nb", "größe", "裂纹", "-x", "100%"])
def test_unusual_names_load(tmp_path, name):
    """Spaces, quotes, newlines and letters of any script are allowed in names."""
    folder = category(tmp_path / "wood", defects=(name,))
    picture(folder / "test" / "good" / f"{name}.png")
    dataset = load_dataset("mvtec", tmp_path)
    assert f"wood/good/{name}" in {s.id for s in dataset}
    assert dataset.defects == {"wood": (name,)}
    assert all(s.mask is not None for s in dataset)


def test_message_about_a_name_with_a_newline_is_one_line(tmp_path):
    """Control characters in names are escaped in messages."""
    folder = category(tmp_path / "wood", defects=("a\nb",))
    (folder / "ground_truth" / "a\nb" / "000_mask.png").unlink()
    with pytest.raises(DataError) as raised:
        load_dataset("mvtec", tmp_path)
    assert "\n" not in str(raised.value)
    assert r"a\nb" in str(raised.value)


def test_accents_are_the_same_on_all_machines(tmp_path):
    """A name that macOS wrote with separate accents gives the same id as the composed one, and finds its mask."""
    apart = unicodedata.normalize("NFD", "größe")
    category(tmp_path / "wood", defects=(apart,))
    assert load_dataset("mvtec", tmp_path).defects == {"wood": (unicodedata.normalize("NFC", apart),)}


def test_root_that_is_a_link_loads(tmp_path):
    """The root itself may be a link, and links may point about within it."""
    folder = category(tmp_path / "real" / "wood")
    (folder / "test" / "good" / "linked.png").symlink_to(folder / "test" / "good" / "000.png")
    (tmp_path / "data").symlink_to(tmp_path / "real")
    ids = [s.id for s in load_dataset("mvtec", tmp_path / "data")]
    assert "wood/good/linked" in ids


@pytest.mark.parametrize("what", ["image", "mask", "folder", "reference"])
def test_link_out_of_the_root_is_an_error(tmp_path, what):
    """A link below the root that leads out of it is refused, be it a file or a folder."""
    folder = category(tmp_path / "data" / "wood")
    outside = picture(tmp_path / "outside" / "x.png")
    link, target = {
        "image": (folder / "test" / "good" / "x.png", outside),
        "mask": (folder / "ground_truth" / "bent" / "000_mask.png", outside),
        "folder": (folder / "test" / "strange", outside.parent),
        "reference": (folder / "train" / "good" / "x.png", outside),
    }[what]
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    with pytest.raises(DataError, match=r"leads out of .*data"):
        load_dataset("mvtec", tmp_path / "data")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
def test_a_pipe_is_not_opened(tmp_path):
    """A pipe named like an image is ignored; reading it would wait for ever."""
    folder = category(tmp_path / "wood")
    os.mkfifo(folder / "test" / "good" / "pipe.png")
    assert "wood/good/pipe" not in {sample.id for sample in load_dataset("mvtec", tmp_path)}


def test_name_that_is_not_text_is_an_error(tmp_path):
    """A file name that is not valid UTF-8 could not be written into any report."""
    folder = category(tmp_path / "wood")
    bad = Path(str(folder / "test" / "good") + "/\udcff.png")
    try:
        picture(bad)
    except OSError:
        pytest.skip("this file system allows only UTF-8 names")
    with pytest.raises(DataError, match="not valid UTF-8") as raised:
        load_dataset("mvtec", tmp_path)
    str(raised.value).encode()


def test_demo_that_was_made_is_read(tmp_path):
    """Where a demo lies already it is read as it is, with any number of images, and files beside it are ignored."""
    category(tmp_path / "pills")
    category(tmp_path / "cable_end")
    (tmp_path / "demo.json").write_text("{}")
    dataset = load_dataset("demo", tmp_path)
    assert dataset.name == "demo"
    assert dataset.categories == ("cable_end", "pills")


def test_demo_is_made_where_it_is_not(tmp_path):
    """A root without a demo gets one, in the layout that is then read: both labels and a mask for each defect."""
    dataset = load_dataset("demo", tmp_path / "demo")
    assert len(dataset.categories) == 6
    assert all({s.label for s in dataset if s.category == category} == {False, True} for category in dataset.categories)
    assert all(s.mask.any() == s.label for s in dataset)
    assert load_dataset("demo", tmp_path / "demo") == dataset


def test_demo_in_a_folder_of_other_things_is_an_error(tmp_path):
    """A folder with something else in it is neither overwritten nor read as the demo."""
    category(tmp_path / "wood")
    with pytest.raises(DataError, match="something other"):
        load_dataset("demo", tmp_path)
