"""Lists of the zero-shot family: meta.json, and UniAD's test.json with an object a line."""

import json

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.readers import recognized
from lvlm_ad.errors import DataError


def picture(path):
    """Write a colour image of 8 x 6 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (90, 100, 110)).save(path)
    return path


def entry(name, category="nut", kind="good", mask=""):
    """Return an entry of a list."""
    return {
        "img_path": name,
        "mask_path": mask,
        "cls_name": category,
        "specie_name": kind,
        "anomaly": int(kind != "good"),
    }


@pytest.fixture
def listed(tmp_path):
    """The folder of a list with two classes: a training image, a good one and a bad one each."""
    root, content = tmp_path / "around" / "set", {"train": {}, "test": {}}
    for category in ("bolt", "nut"):
        for name in ("a", "b_1", "c_2"):
            picture(root / category / "images" / f"{name}.png")
        mask = np.zeros((6, 8), np.uint8)
        mask[:2] = 255
        (root / category / "marks").mkdir()
        Image.fromarray(mask).save(root / category / "marks" / "2.png")
        images = f"{category}/images"
        content["train"][category] = [entry(f"{images}/a.png", category)]
        bad = entry(f"{images}/c_2.png", category, "bent", f"{category}/marks/2.png")
        content["test"][category] = [entry(f"{images}/b_1.png", category), bad]
    (root / "meta.json").write_text(json.dumps(content))
    return root


def edited(root, edit):
    """Change the list."""
    path = root / "meta.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_the_folder_around_and_that_of_a_class_are_roots_too(listed):
    """The folder of a class holds its images, the folder around those of all classes."""
    ids = [one.id for one in load_dataset("meta-json", listed)]
    assert ids == ["bolt/good/b_1", "bolt/bent/c_2", "nut/good/b_1", "nut/bent/c_2"]
    assert [one.id for one in load_dataset("meta-json", listed.parent)] == ids
    assert [one.id for one in load_dataset("meta-json", listed / "nut")] == ids[2:]


def test_a_list_in_folders_that_can_be_read_without_it_is_not_recognized(listed):
    """Data of MVTec's layout with a list in it is read by its folders, unless the user names the list's data set."""
    assert recognized(listed) == "meta-json"
    picture(listed / "bolt" / "test" / "good" / "0.png")
    assert recognized(listed) is None


def test_training_images_with_a_defect_are_no_references(listed):
    """Some training phases hold defects."""
    bad = {**entry("nut/images/c_2.png", "nut", "bent"), "mask_path": None}
    edited(listed, lambda content: content["train"]["nut"].append(bad))
    references = load_dataset("meta-json", listed).references["nut"]
    assert [path.name for path in references] == ["a.png"]


def test_an_image_may_not_stand_twice_in_the_test_phase(listed):
    """Twice with two labels is an error, too: only one of them can be right."""
    edited(listed, lambda content: content["test"]["nut"].append(entry("nut/images/b_1.png", "nut", "bent")))
    with pytest.raises(DataError, match=r"meta.json, test, nut, entry 3: .*b_1.png is listed twice"):
        load_dataset("meta-json", listed)


@pytest.mark.parametrize("written", [True, "1"])
def test_labels_may_be_written_in_several_ways(listed, written):
    """JSON's true and the text "1" mean anomalous; 1.5 means nothing."""
    edited(listed, lambda content: content["test"]["nut"][1].update(anomaly=written))
    assert load_dataset("meta-json", listed)[3].label
    edited(listed, lambda content: content["test"]["nut"][1].update(anomaly=1.5))
    with pytest.raises(DataError, match=r"anomaly must be 0 or 1, not 1.5"):
        load_dataset("meta-json", listed)


def test_pictures_that_are_not_listed_are_counted(listed):
    """They are left out, and a note says how many; masks are listed."""
    assert not any("does not list" in note for note in load_dataset("meta-json", listed).notes)
    picture(listed / "nut" / "images" / "d.png")
    notes = load_dataset("meta-json", listed).notes
    assert "Pictures that meta.json does not list are left out: 1." in notes


def test_absolute_paths_may_lead_through_a_link(listed, tmp_path, monkeypatch):
    """The root may be given by another name than the list writes, or relative to the current folder."""
    edited(listed, lambda content: content["test"]["nut"][0].update(img_path=str(listed / "nut/images/b_1.png")))
    expected = load_dataset("meta-json", listed)
    link = tmp_path / "link"
    link.symlink_to(listed)
    assert load_dataset("meta-json", link).fingerprint == expected.fingerprint
    monkeypatch.chdir(listed)
    here = load_dataset("meta-json", ".")
    assert here.fingerprint == expected.fingerprint
    assert {one.image_path.parent.as_posix() for one in here} == {"bolt/images", "nut/images"}
    edited(listed, lambda content: content["test"]["nut"][0].update(img_path="../else.png"))
    with pytest.raises(DataError, match=r"'\.\./else.png' leads out of"):
        load_dataset("meta-json", ".")


def write_lines(path, entries):
    """Write a list as UniAD does."""
    path.write_text("".join(json.dumps(one) + "\n" for one in entries))


def test_uniad_keeps_its_lists_beside_the_pictures(tmp_path):
    """Paths are relative to the one folder that has the pictures; errors name the entry and UniAD's fields."""
    picture(tmp_path / "pictures" / "bolt" / "1.png")
    picture(tmp_path / "pictures" / "bolt" / "2.png")
    good = {"filename": "bolt/1.png", "label": 0, "label_name": "good", "clsname": "bolt"}
    bad = {"filename": "bolt/2.png", "label": 1, "label_name": "defective", "clsname": "bolt"}
    write_lines(tmp_path / "test.json", [good, bad])
    assert recognized(tmp_path) == "meta-json"
    assert [one.id for one in load_dataset("meta-json", tmp_path)] == ["bolt/good/1", "bolt/defective/2"]
    write_lines(tmp_path / "test.json", [good, {**bad, "label_name": "good"}])
    (problem,) = [one for one in check_dataset("meta-json", tmp_path).problems if one.severity == "error"]
    assert problem.message == "test.json, entry 2: label is 1, but label_name is 'good'; correct one of them."
    (tmp_path / "test.json").write_text(json.dumps(good) + "\n{")
    with pytest.raises(DataError, match=r"test.json, line 2, is not valid JSON"):
        load_dataset("meta-json", tmp_path)


def test_no_list_at_all(tmp_path):
    """The message says what is missing."""
    picture(tmp_path / "nut" / "1.png")
    with pytest.raises(DataError, match=r"has no meta.json: it holds nut/."):
        load_dataset("meta-json", tmp_path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda text: text.replace('"train"', '"Test"'), r"has two phases of one name: Test, test; remove one"),
        (lambda text: text[:-1] + ', "test": {}}', r"is not valid JSON \(the field 'test' stands twice"),
        (lambda _: '{"test": {"nut": []}}', r"meta.json lists no test image"),
    ],
)
def test_a_list_is_never_read_in_part(listed, write, said):
    """Of two phases or classes of one name JSON would keep the last; an empty list is told as one."""
    path = listed / "meta.json"
    path.write_text(write(path.read_text()))
    with pytest.raises(DataError, match=said):
        load_dataset("meta-json", listed)


def test_a_line_that_is_no_object_is_named(tmp_path):
    """Also if it is the first, which tells where the pictures are."""
    (tmp_path / "test.json").write_text('["filename", "clsname"]\n')
    with pytest.raises(DataError, match=r"test.json, entry 1 must be an object, not \['filename', 'clsname'\]"):
        load_dataset("meta-json", tmp_path)


def test_folders_of_test_images_without_kinds_need_the_list(listed):
    """Nobody could read ``nut/test/0.png`` without it, so the folder is recognized."""
    picture(listed / "nut" / "test" / "0.png")
    assert recognized(listed) == "meta-json"
    with pytest.raises(DataError, match=rf"The folder above .*: give --dataset meta-json --data {listed}\."):
        load_dataset("folder", listed / "meta.json")


def test_an_entry_that_names_a_folder_is_told(listed):
    """It is there, but it is no picture."""
    edited(listed, lambda content: content["test"]["nut"][0].update(img_path="nut/images"))
    with pytest.raises(DataError, match=r"nut, entry 1: .*images is a folder, not a file"):
        load_dataset("meta-json", listed)


def test_test_images_that_are_references_are_told(listed):
    """A list may name an image in both phases; a class without a name is an error."""
    edited(listed, lambda content: content["train"]["nut"].append(content["test"]["nut"][0]))
    told = load_dataset("meta-json", listed).remarks
    assert told == ("Test images that are reference images, too: 1, the first nut/good/b_1.",)
    edited(listed, lambda content: content["test"].update({"": [entry("nut/images/b_1.png", "")]}))
    with pytest.raises(DataError, match=r"meta.json, test, entry 1: cls_name is empty"):
        load_dataset("meta-json", listed)
