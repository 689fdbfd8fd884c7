"""Tell whether words say that there is no defect."""

from __future__ import annotations

import re

__all__ = ["is_negated", "says_nothing"]

_NEGATED = re.compile(
    r"""
    (?: no | none | normal | good | ok | flawless | intact | defect[\s_-]?free )
    (?: [\s_-]+ (?: visible | obvious | clear | apparent ) )?
    (?: [\s_-]+ (?: defects? | anomaly | anomalies | damage | issues? | flaws? | region | area | part | product ) )?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_LONGEST_LABEL = 60

_ADJECTIVE = "(?:visible|obvious|clear|apparent|noticeable|evident|significant|detectable|discernible|such|real)"
_NOUN = (
    "(?:defects?|anomal(?:y|ies)|flaws?|damages?|irregularit(?:y|ies)|objects?|issues?|imperfections?"
    "|abnormalit(?:y|ies)|blemish(?:es)?)"
)
_SEVERAL = rf"(?:{_ADJECTIVE}(?:\ or\ |\ and\ |,\ |\ ))*+ (?:signs?\ of\ (?:any\ )?)?+ (?:{_ADJECTIVE}\ )?{_NOUN}"
_NOT = "(?:(?:do|does|did|could)(?:\\ not|n't)|can(?:\\ ?not|'t)|unable\\ to|not\\ able\\ to)"
_SEE = "(?:see|find|detect|identify|observe|show|have|contain)"
# Of a whole text, or after its last semicolon: "image anomaly score: 0.1; none".
_ALONE = re.compile(r"[\s*\"'`_]*(?:no|(?:none|nothing)(?:\ (?:found|detected))?)[\s*\"'`_.!]*", re.IGNORECASE)
_WRONG = "(?:anomalous|abnormal|defective|suspicious)"
_PLACES = "(?:cells?|regions?|areas?|places?|spots?)"
_PARTLY = "(?:most|part|large|near|hard|bare|on)"  # mostly, partially, hardly, only
_NOTHING = re.compile(
    rf"""
      \bthere\ (?:are|is)\ none\b
    | \bnothing\ (?:is|looks|appears|seems)\ (?:to\ be\ )?(?:{_WRONG}|wrong)\b
    | \bno\ {_SEVERAL}\b
    | \bno\ (?:{_WRONG}\ {_PLACES} | {_PLACES}\ (?:is|are|looks?|appears?|seems?)\ (?:to\ be\ )?{_WRONG})\b
    | \b{_NOT}\ (?:\w{{1,20}}ly\ )?{_SEE}\ (?:any\ |an?\ )?{_SEVERAL}\b
    | (?P<not>(?:\bnot|n't|\bnever|\bno\ longer)\ (?:\w{{1,20}}ly\ )?)?
      (?: \bfree\ (?:of|from)\ (?:any\ )?{_SEVERAL}
        | \b(?:is|are|looks?|appears?|seems?)\ (?:to\ be\ )?(?:(?!{_PARTLY})\w{{1,20}}ly\ )?
          (?:normal|intact|flawless|defect[\ -]free)
      )\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SPACES = re.compile(r"[\s*_]+")
_SENTENCE = re.compile(r"[.!?;\n]")
_CONDITION = re.compile(r"\b(?:if|whether|unless|when|rest|remaining|remainder|others?|otherwise)\b", re.IGNORECASE)
_BUT = re.compile(
    r"\b(?:but|however|except|although|though|besides|apart\ from|aside\ from|other\ than|beyond)\b", re.IGNORECASE
)
_BEGINNING = 4000


def is_negated(label: str) -> bool:
    """Tell whether a whole label says that there is no defect.

    Example:
        >>> is_negated("no visible defects"), is_negated("normal wear"), is_negated("scratch")
        (True, False, False)
    """
    label = label[:_LONGEST_LABEL].strip(" \t\n.!*\"'`")
    return _NEGATED.fullmatch(label) is not None


def says_nothing(text: str) -> bool:
    """Tell whether an answer without places says in words that there is no defect.

    Words do not count under a condition, negated, about the rest of a product, or where an exception follows.

    Example:
        >>> says_nothing("There are no visible defects."), says_nothing("The rest looks normal.")
        (True, False)
    """
    if _ALONE.fullmatch(text.strip()[-_BEGINNING:].rpartition(";")[2]):
        return True
    shown = _SPACES.sub(" ", text[:_BEGINNING])
    for match in _NOTHING.finditer(shown):
        before = _SENTENCE.split(shown[max(match.start() - 200, 0) : match.start()])[-1]
        if not (match["not"] or _CONDITION.search(before)):
            return _BUT.search(shown, match.end()) is None
    return False
