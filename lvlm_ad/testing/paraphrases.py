"""Whether a prompt asks the same as another one, in other words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from string import Template
from typing import TYPE_CHECKING

from lvlm_ad.presets import load_prompt
from lvlm_ad.testing.any_plugin import ContractError
from lvlm_ad.text2seg import parse

if TYPE_CHECKING:
    from lvlm_ad.presets import PromptPreset

__all__ = ["PARAPHRASE_CHECKS", "check_paraphrase", "paraphrase_problems"]

_REGIONS = 9
"""Regions of the question whose example is read."""
_LENGTH = 2.0
"""A paraphrase has at most this many times the words of the original, and at least one divided by it."""
_ALIKE = 0.6
"""Similarity of two texts, by words in their order, from which they are nearly the same. The paraphrases of this
package have at most 0.5, prompts that differ in a sentence 0.85 and more."""
_KINDS = re.compile(
    r"\b(?:scratch|crack|dent|dirt|dust|stain|hole|chip|broken|break|bent|tear|torn|burr?n|rust|corro|contamin|foreign"
    r"|missing|misplac|misalign|wrong (?:place|shape|colou?r)|colou?r|shape|deform|damage|discolou?r|bubble|wrinkle"
    r"|worn|leak|squeez|melt|fray)\w*",
    re.IGNORECASE,
)
"""Words for kinds of defect."""
_ANY_PART = re.compile(
    r"\b(?:single|any|anywhere|as soon as|one\b(?! (?:for|score|line|number|value|image|picture|product)))",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"\b(?:image|picture|whole|reject)\b", re.IGNORECASE)
_ANOMALOUS = re.compile(r"anomal|abnormal|fault|defect|flaw|reject", re.IGNORECASE)
_SCORES_FROM_TO = re.compile(r"(?<![\d.])0(?![\d.]*\d).*(?<![\d.])1(?![\d.]*\d)", re.DOTALL)


def check_paraphrase(prompt: str | PromptPreset, of: str | PromptPreset = "class") -> list[str]:
    """Check that a prompt asks the same as another one, in other words.

    What the words mean is checked only as far as ``PARAPHRASE_CHECKS`` say; that a high score still stands for an
    anomaly, for instance, is for a reader to see.

    Args:
        prompt: the paraphrase: a preset's name, the path of a file, or the prompt itself.
        of: the original.

    Returns:
        The names of the checks.

    Raises:
        ContractError: some checks failed; one line for each.
        ConfigError: a prompt does not exist or is wrong.

    Example:
        >>> "other_words" in check_paraphrase("class-2", of="class")
        True
    """
    if problems := paraphrase_problems(prompt, of):
        raise ContractError("\n".join(f"{name}: {text}" for name, text in problems.items()))
    return list(PARAPHRASE_CHECKS)


def paraphrase_problems(prompt: str | PromptPreset, of: str | PromptPreset = "class") -> dict[str, str]:
    """Return what a prompt asks differently than another one: name of the check -> what is wrong.

    Args:
        prompt: as for ``check_paraphrase``.
        of: the original.

    Raises:
        ConfigError: a prompt does not exist or is wrong.

    Example:
        >>> sorted(paraphrase_problems("general", of="class"))
        ['other_words', 'same_placeholders']
    """
    pair = [load_prompt(one) if isinstance(one, str) else one for one in (prompt, of)]
    found = {name: check(*pair) for name, check in PARAPHRASE_CHECKS.items()}
    return {name: text for name, text in found.items() if text}


def same_placeholders(prompt: PromptPreset, of: PromptPreset) -> str:
    """It fills in the same placeholders."""
    own, others = ({f"${name}" for name in Template(one.text).get_identifiers()} for one in (prompt, of))
    lacks, adds = sorted(others - own), sorted(own - others)
    parts = [f"it lacks {', '.join(lacks)}" if lacks else "", f"it adds {', '.join(adds)}" if adds else ""]
    return " and ".join(filter(None, parts))


def same_answer(prompt: PromptPreset, of: PromptPreset) -> str:
    """Format and example of the answer are the same: the example is read as the same scores."""
    if prompt.format != of.format:
        return f"it asks for {prompt.format}, not for {of.format}"
    own, expected = _example(prompt), _example(of)
    return "" if own == expected else f"its example is read as {own}, not as {expected}"


def same_knowledge(prompt: PromptPreset, of: PromptPreset) -> str:
    """It tells no more: ``zero_knowledge`` and the names of classes are the same, and it adds no kind of defect."""
    if (prompt.zero_knowledge, prompt.class_names) != (of.zero_knowledge, of.class_names):
        return "zero_knowledge or class_names differ"
    known = {word.lower() for word in _KINDS.findall(of.text)}
    kinds = list(dict.fromkeys(word.lower() for word in _KINDS.findall(prompt.text) if word.lower() not in known))
    return f"it names kinds of defect that {of.name or 'the original'} does not: {', '.join(kinds)}" if kinds else ""


def same_range(prompt: PromptPreset, of: PromptPreset) -> str:
    """If the original states in a sentence that scores go from 0 to 1, so does it."""
    return _stated(prompt, of, lambda sentence: bool(_SCORES_FROM_TO.search(sentence)), "that scores go from 0 to 1")


def same_image_rule(prompt: PromptPreset, of: PromptPreset) -> str:
    """If the original states in a sentence that one anomalous region makes the image anomalous, so does it."""

    def states(sentence: str) -> bool:
        return all(words.search(sentence) for words in (_ANY_PART, _WHOLE, _ANOMALOUS))

    return _stated(prompt, of, states, "that one anomalous region makes the whole image anomalous")


def similar_length(prompt: PromptPreset, of: PromptPreset) -> str:
    """It has at least half as many words, and at most twice as many."""
    own, others = (len(_words(one)) for one in (prompt, of))
    return "" if others / _LENGTH <= own <= others * _LENGTH else f"it has {own} words, the original {others}"


def other_words(prompt: PromptPreset, of: PromptPreset) -> str:
    """It is not nearly the same text."""
    alike = SequenceMatcher(None, _words(prompt), _words(of), autojunk=False).ratio()
    return "" if alike < _ALIKE else f"{alike:.0%} of the words are the original's, in its order"


PARAPHRASE_CHECKS: dict[str, Callable[[PromptPreset, PromptPreset], str]] = {
    check.__name__: check
    for check in (
        same_placeholders,
        same_answer,
        same_knowledge,
        same_range,
        same_image_rule,
        similar_length,
        other_words,
    )
}
"""Name -> check, which takes the paraphrase and the original and returns what is wrong; empty if nothing is."""


def _example(prompt: PromptPreset) -> tuple[float, Mapping[int, float]] | None:
    """Return the scores in the last line that gives an image score; None without such a line."""
    found = [parse(line, _REGIONS) for line in prompt.text.splitlines()]
    return next(((one.image, one.regions) for one in reversed(found) if one.image is not None), None)


def _stated(prompt: PromptPreset, of: PromptPreset, states: Callable[[str], bool], what: str) -> str:
    own, others = (any(map(states, _sentences(one))) for one in (prompt, of))
    return f"it does not say {what}" if others and not own else ""


def _sentences(prompt: PromptPreset) -> Iterator[str]:
    """Yield the sentences of a prompt, without lines that hold scores, such as its example."""
    lines = (line for line in prompt.text.splitlines() if not re.search(r"\d\.\d", line))
    for paragraph in "\n".join(lines).split("\n\n"):
        yield from re.split(r"(?<=[.!?])\s+", paragraph)


def _words(prompt: PromptPreset) -> list[str]:
    return re.findall(r"\w+", prompt.text.lower())
