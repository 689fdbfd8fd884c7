"""Read which option of a multiple-choice question an answer commits to; strictly: nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.answer_part import answer_part
from lvlm_ad.text2seg.drafts import without_struck
from lvlm_ad.text2seg.finding import Chosen
from lvlm_ad.text2seg.lexer import TAG, plain, tail
from lvlm_ad.text2seg.notations import usual_notation
from lvlm_ad.text2seg.read import without_text
from lvlm_ad.text2seg.refusals import is_refusal

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer

__all__ = ["read_choice"]

_QUOTES = re.compile("[*_`\"'#{}]")
"""Emphasis and quotation marks, which say nothing about a letter."""
_ALONE = re.compile(r"[\s(\[>-]*+([A-Za-z])[\s.)\]:,!]*+")
"""A letter and nothing else."""
_LEADING = re.compile(r"[\s(\[>-]*+([A-Z])(?:[ \t]*+[.):\],](?=\s|$)|[ \t]*+\n)\s*+(.*)", re.DOTALL)
"""A letter set apart from what follows: "B. The hole ..."; what follows."""
_LABELLED = re.compile(r"[\s(\[>-]*+(?:(?i:option|choice)\s++)?+([A-Za-z])\b[\s.)\]:,-]*+(.*)", re.DOTALL)
"""A letter and a text that may be its option's."""
_AFTER = re.compile(r"(.*?)[\s(\[]++([A-Z])[)\]]?[\s.]*+", re.DOTALL)
"""A text that may be an option's, and its letter: "Hole (B)"."""
_IS_RIGHT = re.compile(r"[\s(\[]*+(?:(?i:option|choice)\s++)?+([A-Z])\b\)?+ is (?:the )?+(?:correct|right|best)\b")
"""At the beginning: "B is correct"."""
_STATED = re.compile(
    r"\banswer\b [\s:=]*+ (?:is|would\ be|must\ be)?+ [\s:=(\[]*+ (?:(?:option|choice|letter)\b[\s:(\[]*+)?+"
    r" ([A-Za-z])\b (?![ \t]++[a-z]) ([^\n]*+)",
    re.VERBOSE | re.IGNORECASE,
)
"""The statement of an answer, its letter and the rest of its line; "Answer: a scratch" states no letter."""
_STATED_TEXT = re.compile(r"\banswer\b[\s:=]*+(?:is)?+[\s:=]*+([^\n]++)", re.IGNORECASE)
_CHOSEN = re.compile(
    r"""
    \b (?i:option|choice|letter|choose|select|pick) (?:\ (?i:is|option))?+ [\s:(\[]*+ ([A-Z])\b
    (?! [ \t]++ (?!or\b|and\b) [a-z] )
    """,
    re.VERBOSE,
)
"""Weaker: "Option B", "I choose B"."""
_MARKED = re.compile(
    r"<answer>[\s(*]*+([A-Za-z])\b[^<]*+</answer>|\\boxed\s*+\{[\s(]*+(?:\\text\{)?+([A-Z])\b", re.IGNORECASE
)
_LETTER = re.compile(r"(?<![\w'-])([A-Z])(?![\w'])")
_ARTICLE = re.compile(r"[AI][ \t]++(?!(?:or|and|nor)\b)[a-z]|I'")
"""The article, or the pronoun."""


def read_choice(answer: Answer, options: Sequence[str]) -> Chosen:
    """Read which option an answer commits to.

    Taken are a letter alone ("B", "(b)", "**B.**"), a letter with its option's text or with an explanation ("B: Hole.",
    "B. There is ..."), a statement ("The answer is B", ``<answer>B</answer>``, a JSON object with an "answer"), or an
    option's exact text. Two different letters, a letter that is no option, and a letter beside another option's text
    choose nothing; "A scratch" is no letter. An answer that was cut off chooses nothing, whatever it begins with.

    Args:
        answer: what the model answered.
        options: the texts of the options, in the order of their letters from A.

    Returns:
        The index of the option; None with the status "truncated", "refused" or "unparsable".

    Example:
        >>> from lvlm_ad.backend import Answer
        >>> options = ("Scratch.", "Dent.", "Hole.")
        >>> [read_choice(Answer(text), options).option for text in ("C", "B: Dent.", "hole", "A scratch.", "A or B")]
        [2, 1, 2, None, None]
    """
    if answer.outcome == "truncated":
        return Chosen(None, "truncated")
    if (without := without_text(answer)) is not None:
        return Chosen(None, without.status)
    marked = usual_notation(answer_part(without_struck(plain(tail(answer.text)))))
    text = _QUOTES.sub("", marked.replaced(TAG, lambda _: " ").text).strip()
    tagged = [letter for match in _MARKED.finditer(answer.text) for letter in match.groups() if letter]
    option = _option(text, tagged[-1:], [_folded(one) for one in options])
    if option is not None:
        return Chosen(option)
    return Chosen(None, "refused" if is_refusal(answer.text) else "unparsable")


def _option(text: str, tagged: Sequence[str], options: Sequence[str]) -> int | None:
    """Return the option that a text without markup commits to; ``options`` are folded."""
    if (exact := _of_text(text, options)) is not None:
        return exact
    if (alone := _ALONE.fullmatch(text)) is not None:
        return _number(alone[1], options)
    for pattern, letter, rest in ((_LABELLED, 1, 2), (_AFTER, 2, 1)):
        match = pattern.fullmatch(text)
        if match is None or _ARTICLE.match(text):
            continue
        if (named := _of_text(match[rest], options)) is not None:
            return named if _number(match[letter], options) == named else None
    letters = [*tagged, *_stated(text, options)]
    leading = _LEADING.match(text)
    if leading is not None:
        if not letters and _others(leading[2], leading[1]):
            return None
        letters.append(leading[1])
    if not letters:
        letters = _CHOSEN.findall(text)
        if letters and _others(text, letters[0]):
            return None
    chosen = {letter.upper() for letter in letters}
    return _number(chosen.pop(), options) if len(chosen) == 1 else None


def _stated(text: str, options: Sequence[str]) -> Iterator[str]:
    """Yield the letters that statements of an answer name; a line with several letters gives all of them."""
    if (right := _IS_RIGHT.match(text)) is not None:
        yield right[1]
    for match in _STATED.finditer(text):
        letter, rest = match[1], match[2]
        if letter.islower() and rest.strip(" .)]:,!}"):
            continue
        yield letter
        yield from _others(rest, letter.upper())
        named = _of_text(rest, options)
        if named is not None:
            yield chr(ord("A") + named)

    for match in _STATED_TEXT.finditer(text):
        named = _of_text(match[1], options)
        if named is not None:
            yield chr(ord("A") + named)


def _others(text: str, letter: str) -> list[str]:
    """Return the letters in a text, other than a letter and than the article and the pronoun."""
    return [
        match[1] for match in _LETTER.finditer(text) if match[1] != letter and not _ARTICLE.match(text, match.start())
    ]


def _of_text(text: str, options: Sequence[str]) -> int | None:
    """Return the only option with exactly this text, without regard to case, spaces and marks around it."""
    folded = _folded(text)
    return options.index(folded) if folded and options.count(folded) == 1 else None


def _number(letter: str, options: Sequence[str]) -> int | None:
    at = ord(letter.upper()) - ord("A")
    return at if 0 <= at < len(options) else None


def _folded(text: str) -> str:
    words = " ".join(_QUOTES.sub("", text).casefold().split())
    return words.strip(" .,;:!?()[]-")
