"""The tokens of an answer whose probabilities are kept: those that spell numbers, and the first one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "FirstToken",
    "Token",
    "first_index",
    "first_token",
    "number_tokens",
    "sound_first",
    "sound_tokens",
    "stripped",
    "without_cut_character",
]

_MAX_LENGTH, _MAX_ALTERNATIVES, _MAX_TOKENS = 24, 64, 20_000
"""Characters of an alternative, alternatives of a token, tokens of an answer; no model sends more."""
_ROUNDING = 1e-3
"""Log-probabilities up to this are accepted: servers compute them with few bits."""
_IN_NUMBER = re.compile(r"[0-9.]")
_NUMBER = re.compile(r"[0-9.]+")
_ANYTHING = re.compile("(?s).*")
_SPACED_NUMBER = re.compile(r"\s*+[0-9.]++\s*+")
_UNSEEN = re.compile(r"[^!-~]+")
"""What the text of an answer and its pieces may differ in: spaces, and characters whose bytes are several tokens."""
_THOUGHT_ENDS = re.compile(
    r"<\|?(?:/|end_(?:of_)?)(?:think(?:ing)?|thoughts?|reason(?:ing)?)\|?>|\u25c1/think\u25b7|\[/THINK\]"
    r"|<channel\|>|<\|channel\|>final<\|message\|>|<unused95>",
    re.IGNORECASE,
)
"""Where the reasoning ends at the latest; whether the token after it begins the answer is for the reader to check."""
_SPECIAL = re.compile(r"<[^<>\s]{1,40}>")
"""A special token, such as the end of a turn."""
_BEFORE = " \t\r\n\u2581\u0120\u010a*\"'_#`"
"""Spaces, the signs that tokenizers write for them, and markup."""
_AFTER = f"{_BEFORE}.,:;!"


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer that consists of digits and points.

    Attributes:
        start: index of its first character in the answer's text.
        text: its text, without surrounding spaces.
        alternatives: (text, natural-log probability) of the tokens that could have stood there and consist of digits
            and points, with or without surrounding spaces. Includes the token itself, if its probability is known.
    """

    start: int
    text: str
    alternatives: tuple[tuple[str, float], ...]


def number_tokens(
    pieces: Iterable[tuple[str, Sequence[tuple[str, float]]]], text: str | None = None
) -> tuple[Token, ...]:
    """Select the tokens of an answer that spell numbers.

    Args:
        pieces: for every token its text, and (text, natural-log probability) of the tokens that could have stood there,
            itself included.
        text: the answer's text; None: the pieces joined. It may differ from them in everything but digits and points,
            and their beginning may be missing in it, as some servers remove the reasoning.

    Returns:
        The tokens in order; none if the digits and points of the text are not those of the last pieces.

    Example:
        >>> number_tokens([("score: ", ()), ("0.9", [("0.9", -0.1), ("0.8", -2.3)])])
        (Token(start=7, text='0.9', alternatives=(('0.9', -0.1), ('0.8', -2.3))),)
    """
    pieces = list(pieces)
    if text is None:
        text = "".join(piece for piece, _ in pieces)
    tokens: list[Token] = []
    end = len(text)
    for piece, likely in reversed(pieces):
        core = piece.strip()
        if not _IN_NUMBER.search(core):
            continue
        start = text.rfind(core, 0, end)
        if start < 0 and _SPECIAL.fullmatch(core):
            # Some servers list special tokens that they remove from the text.
            continue
        if start < 0 or _IN_NUMBER.search(text, start + len(core), end):
            break
        end = start
        if _NUMBER.fullmatch(core) and (alternatives := _alternatives(likely)):
            tokens.append(Token(start, core, alternatives))
    # Digits that belong to no piece: the positions of all others are uncertain.
    return () if _IN_NUMBER.search(text, 0, end) else tuple(reversed(tokens))


def sound_tokens(tokens: Sequence[Token], text: str) -> tuple[Token, ...]:
    """Return the tokens that the text really has at their positions, in order.

    Args:
        tokens: as a backend or a file gave them; anything else than a token is dropped.
        text: the answer's text.
    """
    kept: list[Token] = []
    end = 0
    for token in tokens[:_MAX_TOKENS]:
        try:
            fits = token.start >= end and _NUMBER.fullmatch(token.text) and text.startswith(token.text, token.start)
            alternatives = _alternatives(token.alternatives) if fits else ()
        except (AttributeError, TypeError, ValueError):
            continue
        if alternatives:
            kept.append(Token(token.start, token.text, alternatives))
            end = token.start + len(token.text)
    return tuple(kept)


def _alternatives(likely: Sequence[tuple[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Select those that could be part of a number; none if any log-probability is invalid.

    Six decimals, a millionth of the probability, keep the stored answer short.
    """
    return _checked(likely, _SPACED_NUMBER)


def _checked(likely: Sequence[tuple[str, Any]], form: re.Pattern[str] = _ANYTHING) -> tuple[tuple[str, float], ...]:
    if not all(isinstance(value, int | float) and value <= _ROUNDING for _, value in likely):
        return ()
    parts = [(text, value) for text, value in likely if len(text) <= _MAX_LENGTH and form.fullmatch(text)]
    finite = [(text, round(min(value, 0.0), 6)) for text, value in parts if value > float("-inf")]
    return tuple(finite[:_MAX_ALTERNATIVES])


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The first token of an answer after its reasoning, markup aside.

    Attributes:
        text: its text.
        alternatives: (text, natural-log probability) of the tokens that could have stood there, itself included.
    """

    text: str
    alternatives: tuple[tuple[str, float], ...]


def first_token(
    pieces: Iterable[tuple[str, Sequence[tuple[str, float]]]], text: str | None = None
) -> FirstToken | None:
    """Select the token with which an answer begins.

    Spaces, markup such as ``**``, parts of a character and special tokens are passed over.

    Args:
        pieces: as for ``number_tokens``.
        text: the answer's text; None: the pieces joined. The beginning of the pieces may be missing in it, as some
            servers remove the reasoning; so may special tokens at the end, and it may differ in spaces.

    Returns:
        The token; None if the pieces are neither the end nor the beginning of the text, or no alternatives are known.

    Example:
        >>> first_token([("**", ()), ("Yes", [("Yes", -0.2), ("No", -1.7)]), ("**", ())])
        FirstToken(text='Yes', alternatives=(('Yes', -0.2), ('No', -1.7)))
    """
    pieces = list(pieces)
    index = first_index([piece for piece, _ in pieces], text)
    return None if index is None else sound_first(FirstToken(pieces[index][0], tuple(pieces[index][1])))


def first_index(pieces: Sequence[str], text: str | None = None) -> int | None:
    """Return the index of the token with which an answer begins; arguments and None are as for ``first_token``."""
    text = "".join(pieces) if text is None else text
    thoughts = [match.end() for match in _THOUGHT_ENDS.finditer(text)]
    whole = _UNSEEN.sub("", text)
    answer = _UNSEEN.sub("", text[thoughts[-1] :]) if thoughts else whole
    seen = [_UNSEEN.sub("", piece) for piece in pieces]
    while seen and (not seen[-1] or (_SPECIAL.fullmatch(seen[-1]) and not whole.endswith(seen[-1]))):
        seen.pop()
    in_text = seen
    begin = _begin(in_text, whole, answer)
    if begin is None:
        # Special tokens that are missing in the text, as above.
        in_text = ["" if _SPECIAL.fullmatch(piece) else piece for piece in seen]
        begin = _begin(in_text, whole, answer)
    if begin is None:
        return None
    at = 0
    for index, shown in enumerate(seen):
        # A part of a character is no word; vLLM writes it as no text at all.
        word = stripped(pieces[index]).strip("\ufffd")
        if at >= begin and word and not _SPECIAL.fullmatch(shown):
            return index
        at += len(in_text[index])
    return None


def _begin(pieces: Sequence[str], whole: str, answer: str) -> int | None:
    """Return where the answer begins in the joined pieces; None if these are neither end nor beginning of the text."""
    joined = "".join(pieces)
    if joined.endswith(answer):
        return len(joined) - len(answer)
    return len(whole) - len(answer) if whole.startswith(joined) else None


def stripped(token: str) -> str:
    """Return a token without spaces and markup around it, and without a punctuation mark after it.

    Example:
        >>> stripped(" **Yes,")
        'Yes'
    """
    return token.lstrip(_BEFORE).rstrip(_AFTER)


def without_cut_character(text: str) -> str:
    r"""Return an answer's text without the replacement characters (U+FFFD) at its end.

    They stand for a character of which the limit of tokens left only the first bytes. Some engines write them and
    others do not, so each backend removes them: the same tokens are then the same text everywhere.

    Example:
        >>> without_cut_character("image anomaly score: 0.9\ufffd")
        'image anomaly score: 0.9'
    """
    return text.rstrip("\ufffd")


def sound_first(first: Any) -> FirstToken | None:
    """Return a first token as it is stored: with at most 64 alternatives, of 24 characters and six decimals.

    Args:
        first: as a backend or a file gave it; None if it is anything else than a token with log-probabilities.
    """
    try:
        short = isinstance(first.text, str) and len(first.text) <= _MAX_LENGTH
        likely = _checked(first.alternatives) if short else ()
    except (AttributeError, TypeError, ValueError):
        return None
    return FirstToken(first.text, likely) if likely else None
