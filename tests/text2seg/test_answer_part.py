"""Which part of a text is the answer: not the reasoning, not the question again, no later turn."""

from string import Template

import pytest

from lvlm_ad.backend import Answer
from lvlm_ad.presets import load_prompt
from lvlm_ad.text2seg import parse, read

ANSWER = "image anomaly score: 0.2; region 5: 0.2."
DRAFT = "The format is image anomaly score: 0.9; region 1: 0.9. Region 9: 0.5, I think."
NOTATIONS = [
    ("<think>", "</think>"),
    ("<Thinking>\n", "\n</Thinking>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("<thought_process>", "</thought_process>"),
    ("<scratchpad>", "</scratchpad>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("\uff1cthink\uff1e", "\uff1c/think\uff1e"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
    ("Thinking...\n", "\n...done thinking.\n\n"),
    ("<|im_start|>think\n", "\n<|im_start|>answer\n"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("analysisWe compare. ", "assistantfinal"),
    ('<details type="reasoning" done="true">\n', "\n</details>\n"),
    ("<details><summary>Thought for 3 seconds</summary>\n", "</details>"),
    ("```thinking\n", "\n```\n"),
    ("<think>So <thinking>", "</thinking> and </think>"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("analysis\n\n", "\n\nfinal\n\n"),
]
CLOSES_ALONE = [closing for opening, closing in NOTATIONS if "details" not in opening and "`" not in opening]
ROLES = [
    ("USER: ", " ASSISTANT: "),
    ("A chat between a curious human and an AI assistant. USER: ", " ASSISTANT: "),
    ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
    ("system\nYou are a helpful assistant.\nuser\n", "\nassistant\n"),
    ("<start_of_turn>user\n", "<end_of_turn>\n<start_of_turn>model\n"),
    ("<|turn>user\n", "<turn|>\n<|turn>model\n"),
    ("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
    ("[INST] ", " [/INST] "),
    ("### Human: ", "\n### Assistant: "),
    ("### Instruction:\n", "\n\n### Response:\n"),
    ("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"),
    ("\u7528\u6237\uff1a", "\n\u52a9\u624b\uff1a"),
    ("Question: ", " Answer: "),
    ("[gMASK]<sop><|user|>\n", "<|assistant|>\n"),
    ("GPT4 Correct User: ", "<|end_of_turn|>GPT4 Correct Assistant: "),
]


def reading(text):
    scores = parse(text, 60)
    return scores.image, dict(scores.regions), scores.status


def prompt(name):
    """A question as it is asked."""
    values = {"class_name": "bottle", "n_regions": 60, "references": "", "defects": "crack"}
    pictures = "The picture shows the product under inspection."
    return Template(load_prompt(name).text).substitute(values, pictures=pictures).strip()


@pytest.mark.parametrize(("opening", "closing"), NOTATIONS)
def test_reasoning_is_not_the_answer(opening, closing):
    """What follows closed reasoning is read; reasoning that never ends has no answer; a refusal after it is one."""
    assert reading(f"{opening}{DRAFT}{closing}{ANSWER}") == (0.2, {5: 0.2}, "ok")
    assert reading(f"{opening}{DRAFT}") == (None, {}, "unparsable")
    assert reading(f"{opening}I can't help with that. {closing}Normal.") == (None, {}, "unparsable")
    assert reading(f"{opening}{DRAFT}{closing}I'm sorry, I can't help with that.") == (None, {}, "refused")


@pytest.mark.parametrize("closing", CLOSES_ALONE)
def test_reasoning_whose_opening_tag_was_stripped_is_not_the_answer(closing):
    """Everything before a closing mark without an opening one is reasoning."""
    assert reading(f"{DRAFT}{closing}{ANSWER}") == (0.2, {5: 0.2}, "ok")


@pytest.mark.parametrize(
    ("text", "image"),
    [
        (f"{DRAFT}<|begin_of_solution|>{ANSWER}<|end_of_solution|>", 0.2),
        (f"Here are my reasoning steps: {DRAFT}\n[BEGIN FINAL RESPONSE]\n{ANSWER}\n[END FINAL RESPONSE]", 0.2),
        (f"<think>{DRAFT} <answer>{ANSWER}</answer>", 0.2),
        (f"<think>The form is <answer>{ANSWER}</answer>. Let me look at region 14", None),
        (f"<think/>{ANSWER}", 0.2),
        (f"## Thinking\n{DRAFT}\n\n## Final Response\nThere is no anomaly.", None),
        (f"<details><summary>Scores</summary>{ANSWER}</details>", 0.2),
        (f"analysis of the picture: no dents.\n{ANSWER}", 0.2),
    ],
)
def test_the_marked_answer_counts(text, image):
    """A mark that opens the answer ends reasoning; words and tags that only look like reasoning end nothing."""
    assert parse(text, 60).image == image


@pytest.mark.parametrize("name", ["class", "general", "json", "reason", "types"])
def test_an_echoed_question_is_not_the_answer(name):
    """The example of each prompt is no answer, alone or before one; the prompt again after the answer ends it."""
    question = prompt(name)
    assert reading(question) == reading(f"{question}\nThere is no anomaly.") == (None, {}, "unparsable")
    assert reading(f"{question}\n{ANSWER}") == (0.2, {5: 0.2}, "ok")
    assert reading(f"{ANSWER}\n\n{question}\nimage anomaly score: 0.8") == (0.2, {5: 0.2}, "ok")


@pytest.mark.parametrize(("asks", "replies"), ROLES)
def test_turns_are_told_apart(asks, replies):
    """An echoed turn of the user is dropped, a leading role marker too, and an invented next turn ends the answer."""
    question = prompt("class")
    assert reading(f"{asks}{question}{replies}There is no anomaly.") == (None, {}, "unparsable")
    assert reading(f"{asks}{question}{replies}{ANSWER}") == (0.2, {5: 0.2}, "ok")
    assert reading(f"{replies.strip()} {ANSWER}") == (0.2, {5: 0.2}, "ok")
    if not asks.startswith(("A chat", "system")):
        assert reading(f"{ANSWER}\n{asks}And this?{replies}image anomaly score: 0.9.") == (0.2, {5: 0.2}, "ok")
    assert reading(f"{replies.strip()}\nI'm sorry, I can't help with that.") == (None, {}, "refused")


def test_a_turn_without_a_line_of_its_own_ends_the_answer():
    """Role markers after "###" begin a turn also in the middle of a line."""
    assert reading(f"{ANSWER.rstrip('.')}###Human: And region 9?###Assistant: region 9: 0.9") == (0.2, {5: 0.2}, "ok")


@pytest.mark.parametrize(
    "end", ["</s>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<eos>", "<\uff5cend\u2581of\u2581sentence\uff5c>"]
)
def test_nothing_after_an_end_of_turn_counts(end):
    """A token that ends the turn ends the answer, also one without scores; before the answer it means nothing."""
    assert reading(f"{ANSWER}{end}\nimage anomaly score: 0.9.") == (0.2, {5: 0.2}, "ok")
    assert reading(f"There is no anomaly.{end}image anomaly score: 0.9.") == (None, {}, "unparsable")
    assert reading(f"{end}{ANSWER}") == (0.2, {5: 0.2}, "ok")


@pytest.mark.parametrize(
    "before",
    [
        "Use the following format:\nImage anomaly score: 0.9\nRegion 1: 0.9\n\n",
        "For example, image anomaly score: 0.9; region 1: 0.9. ",
        "For example, you want: image anomaly score: 0.9; region 1: 0.9. ",
        "You must answer in this format: image anomaly score: 0.9; region 1: 0.9.\n",
        "Antworte genau in diesem Format:\nimage anomaly score: 0.9; region 1: 0.9.\n",
        "请按以下格式回答:\nimage anomaly score: 0.9; region 1: 0.9.\n",
        "1. Format: image anomaly score: 0.9; region 1: 0.9.\n",
        'Give your answer like this:\n```json\n{"image_anomaly_score": 0.9, "regions": []}\n```\n',
    ],
)
def test_an_example_is_no_answer(before):
    """The example of any prompt is left out, and what follows it is read."""
    assert reading(before) == (None, {}, "unparsable")
    assert reading(before + ANSWER) == (0.2, {5: 0.2}, "ok")


@pytest.mark.parametrize(
    "before",
    [
        "Here is my answer in the requested format:\n",
        "**Answer in the required format:**\n",
        "Several regions differ, for example region 5. ",
        "Question: is it broken?\n",
        "Answer in exactly this format, with your own numbers, and write nothing else:\n",
        "Human inspection is advised. ",
        "[Reasoning]\nThere is a dent.\n\n[Scores]\n",
        "<think>USER: what?\nASSISTANT: that.\n</think>",
    ],
)
def test_words_before_an_answer_do_not_hide_it(before):
    """Headings and words that resemble an instruction or a role change nothing."""
    assert reading(before + ANSWER) == (0.2, {5: 0.2}, "ok")


def test_an_answer_that_was_cut_while_reasoning_holds_no_scores():
    """A truncated answer whose reasoning had not ended is truncated and empty."""
    scores = read(Answer(f"<|channel>thought\n{DRAFT}", outcome="truncated"), 60)
    assert (scores.image, dict(scores.regions), scores.status) == (None, {}, "truncated")
