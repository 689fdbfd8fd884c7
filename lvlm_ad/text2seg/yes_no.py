"""Read a yes or no: the probability of yes from the first token of the answer, else the words."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from lvlm_ad.backend.tokens import stripped
from lvlm_ad.text2seg.answer_part import answer_part
from lvlm_ad.text2seg.drafts import without_struck
from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.lexer import TAG, plain, tail
from lvlm_ad.text2seg.notations import usual_notation
from lvlm_ad.text2seg.read import TOO_LONG, without_text
from lvlm_ad.text2seg.refusals import is_refusal

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, FirstToken
    from lvlm_ad.text2seg.scores import Status

__all__ = ["read_yes_no"]

_ENOUGH = 0.5
"""Below this probability of yes and no together, the model would rather have written something else."""
_ROUNDING = 1e-6
"""Log-probabilities are stored with six decimals."""
_FIRST_WORD = re.compile(r"[\W_]*+(?P<word>yes|no)(?![\w/'-])", re.IGNORECASE)
_STATED = re.compile(
    r"""
      ^ [\ \t*"'_\#`>-]*+ (?:the\ )?+ (?:final\ )?+ answer [\s*"'_\#`]*+ (?: [:=] | is\b ) [\s*"'_\#`:]*+
        (?P<line>yes|no) [\ \t*"'_\#`.!]*+ $
    | \{ [^{}]{0,500}? "answer" \s*+ : \s*+ " \s*+ (?P<json>yes|no) [\s.!]*+ "
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)

_TAGGED = re.compile(r"<answer>\s*+(yes|no)[\s.!]*+</answer>", re.IGNORECASE)


def read_yes_no(answer: Answer) -> Finding:
    """Read whether an answer says yes, which means anomalous.

    If the first token of the answer is a yes or a no and its alternatives are known, the image score is

        P(yes) = (sum of P over variants of yes) / (sum of P over variants of yes and no)

    over these alternatives. "Yes", " yes" and "YES," are variants of yes; what the endpoint does not list counts as 0.
    If the denominator is below 0.5, the flag is ``low_mass`` and the status "partial". Without such a token the
    score is 1 or 0: the first word of the answer, else the last line that is only "Answer: yes", or a JSON object with
    an "answer", or the last ``<answer>yes</answer>``.

    Args:
        answer: what the model answered.

    Returns:
        A finding without shapes; its ``source`` is "probability" or "text", and its ``mass`` is the denominator.
        The status "unparsable" means that the answer says neither; "truncated", "refused" and its other values are as
        for ``text2seg.read``.

    Example:
        >>> from lvlm_ad.backend import Answer, FirstToken
        >>> found = read_yes_no(Answer("Yes.", first=FirstToken("Yes", (("Yes", -0.5108), ("No", -1.6094)))))
        >>> round(found.image, 3), found.source
        (0.75, 'probability')
    """
    if (without := without_text(answer)) is not None:
        return Finding(None, (), without.status, without.notes, source="text")
    end = tail(answer.text)
    marked = usual_notation(answer_part(without_struck(plain(end))))
    text = marked.replaced(TAG, lambda _: " ").text
    notes = [TOO_LONG] if len(end.text) < len(answer.text.strip()) else []
    mass, p_yes = _probability(answer.first, text)
    if p_yes is None:
        return _finding(_in_words(text, marked.text), answer, notes)
    flags: tuple[str, ...] = ()
    if mass < _ENOUGH - _ROUNDING:
        notes.append(f"'Yes' and 'no' have a probability of only {mass:.2g} together.")
        flags = ("low_mass",)
    return _finding(p_yes, answer, notes, flags, mass)


def _finding(
    image: float | None, answer: Answer, notes: list[str], flags: tuple[str, ...] = (), mass: float | None = None
) -> Finding:
    status: Status = "ok" if not notes else "partial"
    if image is None:
        notes.append("The answer says neither yes nor no.")
        status = "refused" if is_refusal(answer.text) else "unparsable"
    if answer.outcome == "truncated":
        notes.append("The answer was cut off.")
        status = "truncated"
    return Finding(image, (), status, tuple(notes), flags, "text" if mass is None else "probability", mass)


def _probability(first: FirstToken | None, text: str) -> tuple[float, float | None]:
    """Return the probability of yes and no together, and P(yes); None if the token is neither, or not the first one."""
    if first is None or (word := _core(first.text)) not in {"yes", "no"} or not _core(text).startswith(word):
        return 0.0, None
    sums = {"yes": 0.0, "no": 0.0}
    for token, log_probability in first.alternatives:
        if (variant := _core(token)) in sums:
            sums[variant] += math.exp(log_probability)
    mass = sum(sums.values())
    return mass, sums["yes"] / mass if mass else None


def _core(token: str) -> str:
    return stripped(token).casefold()


def _in_words(text: str, marked: str) -> float | None:
    """Read the words of an answer without and, if these say neither, with its tags."""
    if (word := _FIRST_WORD.match(text)) is not None:
        return float(word["word"].lower() == "yes")
    stated = [match[str(match.lastgroup)].lower() for match in _STATED.finditer(text)]
    stated = stated or [word.lower() for word in _TAGGED.findall(marked)]
    return float(stated[-1] == "yes") if stated else None
