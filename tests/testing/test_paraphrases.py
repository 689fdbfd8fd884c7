"""Prompts that ask the same in other words, and what the check finds in those that do not."""

import re

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.presets import load_prompt, preset_names
from lvlm_ad.prompts import fill_prompt
from lvlm_ad.testing import PARAPHRASE_CHECKS, ContractError, check_paraphrase, paraphrase_problems
from lvlm_ad.text2seg import parse

CLASS = load_prompt("class")
PARAPHRASES = [f"class-{number}" for number in range(2, 11)]
NAMES_KINDS = "class-3"
"""Its text is older than the check, and stored answers depend on it."""
FILLED = {"class_name": "bolt", "n_regions": "16", "pictures": "The picture shows the product.", "references": ""}


def changed(prompt="class-6", old="", new="", **fields):
    """A prompt with one part of its text replaced."""
    prompt = load_prompt(prompt)
    assert old in prompt.text
    return prompt.model_copy(update={"text": prompt.text.replace(old, new), **fields})


@pytest.mark.parametrize("name", [name for name in PARAPHRASES if name != NAMES_KINDS])
def test_the_paraphrases_of_class_ask_the_same(name):
    """They differ from class, and from each other, in words alone."""
    assert name in preset_names("prompts")
    assert check_paraphrase(name) == list(PARAPHRASE_CHECKS)
    assert not any("other_words" in paraphrase_problems(name, of=other) for other in PARAPHRASES if other != name)


def test_one_paraphrase_of_class_gives_examples_of_defects():
    """This is its only difference, so a study may leave it out."""
    assert list(paraphrase_problems(NAMES_KINDS)) == ["same_knowledge"]
    with pytest.raises(
        ContractError, match=r"same_knowledge: it names kinds of defect that class does not: damage, dirt"
    ):
        check_paraphrase(NAMES_KINDS)


@pytest.mark.parametrize("name", PARAPHRASES)
def test_a_model_that_repeats_a_paraphrase_gives_no_score(name):
    """Its example is not read as an answer, and an answer behind it is."""
    text = fill_prompt(load_prompt(name), FILLED)
    assert parse(text, 16).image is None
    assert parse(f"{text}\nimage anomaly score: 0.4; region 2: 0.4.", 16).regions == {2: 0.4}


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (changed(old="$references", new=""), "same_placeholders: it lacks $references"),
        (changed(old="in numbers", new="($defects) in numbers"), "same_placeholders: it adds $defects"),
        (changed(format="json"), "same_answer: it asks for json, not for text"),
        (
            changed(old="region 3: 0.7", new="region 2: 0.7"),
            "same_answer: its example is read as (0.9, {1: 0.9, 2: 0.7})",
        ),
        (changed(zero_knowledge=False), "same_knowledge: zero_knowledge"),
        (changed(class_names={"pcb1": "board"}), "same_knowledge: zero_knowledge or class_names differ"),
        (changed(old="What may be wrong", new="Whether it is a scratch or a hole"), "does not: scratch, hole"),
        (
            changed(old="between 0 and 1: nothing unusual is 0, something clearly anomalous is 1", new="up to 10"),
            "same_range",
        ),
        (changed(old="$n_regions in all", new=f"$n_regions in all, {'very ' * 200}many"), "similar_length: it has 3"),
        (CLASS, "other_words: 100% of the words"),
        (changed("class", "A single anomalous region", "One anomalous region"), "other_words: 9"),
    ],
)
def test_what_another_question_asks_differently_is_named(prompt, problem):
    """One line for each difference, with what differs."""
    with pytest.raises(ContractError, match=re.escape(problem)):
        check_paraphrase(prompt)


RULES = {
    "class": "A single anomalous region makes the whole image anomalous.",
    "class-2": "If one region is faulty, so is \\\nthe whole picture.",
    "class-3": "The image is anomalous as soon as one region is.",
    "class-4": "The score of the image tells whether there is any anomaly anywhere.",
    "class-5": "; one is enough to reject.",
    "class-6": "One \\\nanomalous region is enough to make the image anomalous.",
    "class-7": "If any region is anomalous, \\\nthen so is the image.",
    "class-8": ", where a single anomalous region suffices for an \\\nanomalous image",
    "class-9": "Count the picture as abnormal \\\nif even a single region is.",
    "class-10": ": a single anomalous region makes it anomalous",
}


@pytest.mark.parametrize("name", RULES)
def test_the_rule_about_the_whole_image_must_be_stated(name):
    """Without its sentence, no paraphrase passes."""
    rule = RULES[name].replace("\\\n", "")
    assert "same_image_rule" not in paraphrase_problems(name)
    assert "same_image_rule" in paraphrase_problems(changed(name, rule, ""))


def test_paraphrases_of_other_prompts(tmp_path):
    """A user's file is compared with any original; what the original does not state is not demanded."""
    path = tmp_path / "mine.toml"
    path.write_text('text = "Is this $class_name all right? $references Say no if it is anomalous, and yes otherwise."')
    own = changed(
        "yes-no", load_prompt("yes-no").text, "Tell whether a $class_name is fine. $references One word: yes or no."
    )
    assert paraphrase_problems(own, of=str(path)) == {}
    with pytest.raises(ConfigError, match="cannot be read"):
        check_paraphrase(str(tmp_path / "none.toml"))
