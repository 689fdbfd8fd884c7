"""MMAD beyond its miniature trees: where its root may be, wrong fields, and each image's own templates."""

import json
import shutil

import pytest
from PIL import Image

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.questions import DETECTION
from lvlm_ad.datasets.readers import READERS
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.presets import Protocol, load_prompt
from lvlm_ad.prompts import Questioner
from lvlm_ad.prompts.question import reference_paths

IMAGE = "VisA/pcb1/test/bad/000.png"
QUESTION = {"Question": "Is there any defect?", "Answer": "B", "Options": {"B": "Yes.", "A": "No."}, "type": DETECTION}


@pytest.fixture
def mmad(tmp_path):
    """Write a tree of two images, and return a function that writes mmad.json with changed fields of the first."""
    root = tmp_path / "MMAD"
    names = [IMAGE, "VisA/pcb1/test/good/000.png", *(f"VisA/pcb1/train/good/00{at}.png" for at in range(3))]
    for at, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 18), (at * 40, 90, 120)).save(root / name)
    mask = root / "VisA/pcb1/test/ground_truth/bad/000.png"
    mask.parent.mkdir(parents=True)
    picture = Image.new("L", (24, 18))
    picture.paste(255, (2, 2, 8, 8))
    picture.save(mask)
    entry = {
        "mask_path": "ground_truth/bad/000.png",
        "conversation": [QUESTION],
        "similar_templates": names[4:1:-1],
        "random_templates": names[2:],
    }
    (root / "domain_knowledge.json").write_text(
        json.dumps({"VisA": {"pcb1": {"good": " all parts are there ", "bad": "a part is missing"}}}), encoding="utf-8"
    )

    def write(**fields):
        whole = {IMAGE: {**entry, **fields}, names[1]: {**entry, "mask_path": ""}}
        (root / "mmad.json").write_text(json.dumps(whole), encoding="utf-8")
        return root

    write()
    return write


def test_a_mask_may_be_relative_to_the_third_folder(mmad):
    """The authors' scripts disagree about what a mask's path is relative to; both are tried."""
    sample = load_dataset("mmad", mmad())[-1]
    assert sample.mask.sum() == 36
    assert sample.mask_path.parts[-4:] == ("test", "ground_truth", "bad", "000.png")


@pytest.mark.parametrize("below", ["..", ".", "VisA", "VisA/pcb1"])
def test_the_root_may_be_a_level_above_or_below(mmad, below, monkeypatch):
    """The folder around MMAD, a source and a category are read with the same ids, also by a relative path."""
    root = mmad()
    monkeypatch.chdir(root.parent)
    (root.parent / "notes").mkdir()
    whole = load_dataset("mmad", root)
    for given in (root / below, (root / below).resolve().relative_to(root.parent)):
        part = load_dataset("mmad", given)
        assert [one.id for one in part] == [one.id for one in whole] == ["VisA/pcb1/good/000", "VisA/pcb1/bad/000"]
        assert part.fingerprint == whole.fingerprint


def test_a_source_alone_is_a_part(mmad):
    """Given the folder of one source, the images of others are not listed."""
    root = mmad()
    (root / "GoodsAD").mkdir()
    with pytest.raises(DataError, match="no test images"):
        load_dataset("mmad", root / "GoodsAD")


def test_another_folder_is_refused(tmp_path):
    """The error for a folder without mmad.json says what the folder holds."""
    (tmp_path / "bottle").mkdir()
    with pytest.raises(DataError, match=r"is not MMAD: it holds bottle/, but mmad\.json was expected"):
        load_dataset("mmad", tmp_path)


def test_questions_and_words(mmad):
    """Options are lettered anew, the object has a word for prompts, and all that is known of it is joined."""
    dataset = load_dataset("mmad", mmad())
    (question,) = dataset[-1].questions
    assert (question.options, question.right_letter, question.says_defect(0)) == (("Yes.", "No."), "A", True)
    assert dataset.class_names == {"VisA/pcb1": "pcb"}
    assert dataset.knowledge == {"VisA/pcb1": "all parts are there\na part is missing"}
    assert "2 multiple-choice questions." in dataset.notes


def test_another_question_is_another_data_set(mmad):
    """Questions and their right answers are part of the fingerprint."""
    first = load_dataset("mmad", mmad()).fingerprint
    assert load_dataset("mmad", mmad(conversation=[{**QUESTION, "Answer": "A"}])).fingerprint != first
    assert load_dataset("mmad", mmad()).fingerprint == first


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"conversation": None}, "no list named conversation"),
        ({"conversation": [{**QUESTION, "Options": {"A": "Yes."}, "Answer": "A"}]}, "2 to 26 options"),
        ({"conversation": [{**QUESTION, "Options": ["Yes.", "No."]}]}, "2 to 26 options"),
        ({"conversation": [{**QUESTION, "Options": {"A": "", "B": "No."}}]}, "not empty"),
        ({"conversation": [{key: QUESTION[key] for key in ("Question", "Options", "type")}]}, "it has no Answer"),
        ({"conversation": ["?"]}, "question 1: must be an object"),
        ({"random_templates": "VisA/pcb1/train/good/000.png"}, "must be a list of paths"),
        ({"mask_path": "ground_truth/bad/001.png"}, "001.png does not exist"),
    ],
)
def test_a_wrong_field_is_named_with_its_image(mmad, fields, words):
    """An entry that is wrong names mmad.json, the image, the field and what is wrong."""
    (message,) = [one.message for one in check_dataset("mmad", mmad(**fields)).problems if one.severity == "error"]
    assert message.startswith(f"mmad.json, '{IMAGE}': ")
    assert words in message


def test_an_image_without_a_question_is_left_out(mmad):
    """There is nothing to ask about it, so it is no test image; a warning says so."""
    report = check_dataset("mmad", mmad(conversation=[]))
    assert [one.id for one in report.dataset] == ["VisA/pcb1/good/000"]
    assert any("it has no question, so it is left out" in one.message for one in report.problems)


def test_the_first_list_of_questions_counts(mmad):
    """Of several lists whose names begin with conversation, the first is asked."""
    other = {**QUESTION, "Question": "Another?"}
    dataset = load_dataset("mmad", mmad(conversation=[QUESTION], conversation_2=[other, other]))
    assert [one.text for one in dataset[-1].questions] == ["Is there any defect?"]


def test_templates_are_counted_as_references(mmad, lvlm_ad_command):
    """``data info`` counts the different templates of a category's images."""
    info = json.loads(lvlm_ad_command("data", "info", "--data", mmad(), "--json").stdout)
    assert info["references"] == {"VisA/pcb1": 3}
    assert [row["references"] for row in info["categories"]] == [3]


def test_similar_templates_are_a_data_set_of_their_own(mmad):
    """``mmad-similar`` shows the similar templates; images and questions are the same."""
    root = mmad()
    random, similar = load_dataset("mmad", root), load_dataset("mmad-similar", root)
    assert [path.name for path in random[-1].references] == ["000.png", "001.png", "002.png"]
    assert [path.name for path in similar[-1].references] == ["002.png", "001.png", "000.png"]
    assert random.fingerprint == similar.fingerprint
    assert READERS["mmad-similar"].fits is None


def test_each_image_shows_its_own_templates(mmad):
    """A question shows the first templates of its image, and the questions' hash depends on these alone."""
    root = mmad(random_templates=["VisA/pcb1/train/good/001.png", "VisA/pcb1/train/good/000.png"])
    dataset, prompt = load_dataset("mmad", root), load_prompt("score")

    def shown(shots):
        questioner = Questioner(dataset, Protocol(shots=shots, image_size=32), prompt, seed=0)
        return [questioner.references(one.category, one) for one in dataset], questioner.hash

    (good, bad), one_shot = shown(1)
    assert [len(pictures) for pictures in (good, bad)] == [1, 1]
    assert good != bad
    assert [len(pictures) for pictures in shown(2)[0]] == [2, 2]
    assert shown(0)[0] == [(), ()]
    with pytest.raises(ConfigError, match=r"VisA/pcb1/bad/000 has only 2 templates\. Set fewer shots; shots=0"):
        shown(3)
    with pytest.raises(ConfigError, match=r"shows 1 reference image \(shots=1\), .* has only 0 normal training images"):
        reference_paths(dataset, "VisA/pcb1", 1, seed=0)
    shutil.copy(root / "VisA/pcb1/train/good/002.png", root / "VisA/pcb1/train/good/001.png")
    assert shown(1)[1] != one_shot
    shutil.copy(root / IMAGE, root / "VisA/pcb1/train/good/002.png")
    again = shown(1)[1]
    assert again == shown(1)[1]


def test_a_truncated_list_suggests_no_other_data_set(tmp_path):
    """The folder is MMAD; that the data sets in it look like themselves says nothing."""
    (tmp_path / "mmad.json").write_text('{"GoodsAD/drink_can')
    for kind in ("good", "opened"):
        (tmp_path / "GoodsAD" / "drink_can" / "test" / kind).mkdir(parents=True)
    with pytest.raises(DataError, match="is not valid JSON") as raised:
        load_dataset("mmad", tmp_path)
    assert "looks like" not in str(raised.value)
