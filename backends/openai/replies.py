"""Replies of chat completions with status 200, translated to an answer, or to the error that they hold.

Endpoints send any JSON, whatever their documentation promises; nothing here trusts its shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lvlm_ad.backend import Answer, Outcome
from lvlm_ad.backend.tokens import without_cut_character
from lvlm_ad.errors import UnusableReplyError

from .failures import failed_answer, status_of
from .outcomes import ending
from .reasons import filtered_by, is_error, one_line, quoted, reason_in, text_of
from .usage import first_of, tokens_of, usage_of
from .waits import announced_limits

_NO_STATUS = 500
"""The status that counts for an error that names none."""
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details")
"""Fields of a message that hold what the model thought before it answered; the first that is filled counts."""
_THOUGHT = re.compile("think|reason")
"""Words in the type of a content part that holds thoughts."""
_QUOTED, _SHORT = 500, 60
"""Maximum length of the reasoning and of the finish reason that are kept, in characters."""


def answer_of(body: Any, headers: Mapping[str, str], seconds: float) -> Answer:
    """Translate the body of a reply with status 200.

    Raises:
        UnusableReplyError: it holds no message, or does not say how the answer ended.
        BackendError: it holds an error.
    """
    if not isinstance(body, dict):
        kind = one_line(headers.get("content-type", "no type").partition(";")[0])
        raise UnusableReplyError(
            f"an unreadable reply ({kind}, not a JSON object): {quoted(reason_in(body) or body)}; base_url may be wrong"
        )
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    for part in (body, choice):
        # A gateway may send status 200 with the error of the server behind it.
        if is_error(part):
            return failed_answer(status_of(part) or _NO_STATUS, part, headers, seconds)
    ended, word = ending(choice, body)
    message = choice.get("message")
    if not isinstance(message, dict):
        if ended not in {"filtered", "refused", "truncated"}:
            return _without_message(body, headers, seconds)
        message = {}
    refusal = text_of(message.get("refusal"))
    text = without_cut_character(_texts(message.get("content"), thoughts=False))
    outcome: Outcome = "truncated" if ended is None else ended
    if refusal and outcome != "filtered":
        outcome = "refused"
    elif outcome == "ok" and not text.strip():
        outcome = "empty"
    detail = refusal or word or "no finish reason"
    if not text.strip() and outcome in {"truncated", "empty"}:
        detail = _why_empty(message, word, ended)
    answer = Answer(
        text=text,
        outcome=outcome,
        usage=usage_of(body.get("usage")),
        seconds=seconds,
        model=text_of(body.get("model")),
        detail=detail,
        limits=announced_limits(headers),
        tokens=tokens_of(choice.get("logprobs"), text),
        first=first_of(choice.get("logprobs"), text),
    )
    if ended is None and outcome != "refused":
        reason = one_line(word, _SHORT) or "none"
        raise UnusableReplyError(f"an answer that may be cut off (finish reason: {reason})", answer=answer)
    return answer


def _without_message(body: Mapping[str, Any], headers: Mapping[str, str], seconds: float) -> Answer:
    """Return the answer "filtered", or raise the error that a reply without a message stands for."""
    status = status_of(body)
    if status is not None or filtered_by(body, _NO_STATUS):
        return failed_answer(status or _NO_STATUS, body, headers, seconds)
    lacks = "a message" if body.get("choices") else "choices"
    reason = reason_in(body)
    hint = "" if reason else "; base_url may be wrong"
    raise UnusableReplyError(f"a reply without {lacks}: {quoted(reason or body)}{hint}")


def _texts(content: Any, *, thoughts: bool) -> str:
    """Return the text of a message's content; some endpoints send it in parts, of which some are thoughts."""
    if isinstance(content, str):
        return "" if thoughts else content
    several = content if isinstance(content, list) else [content]
    parts = [part for part in several if isinstance(part, dict)]
    return "".join(_part(part) for part in parts if bool(_THOUGHT.search(text_of(part.get("type")))) == thoughts)


def _part(part: Mapping[str, Any]) -> str:
    value = next((value for name in ("text", "thinking", "summary", "content") if (value := part.get(name))), "")
    if isinstance(value, list):
        return "".join(text_of(inner.get("text")) for inner in value if isinstance(inner, dict))
    return text_of(value)


def _reasoning(message: Mapping[str, Any]) -> str:
    """Return what the model thought before it answered; empty if the endpoint does not send it."""
    reasoning = next((value for name in _REASONING if (value := message.get(name))), None)
    if isinstance(reasoning, str):
        return reasoning
    parts = reasoning if isinstance(reasoning, list) else [reasoning]
    whole = "".join(_part(part) for part in parts if isinstance(part, dict))
    return whole or _texts(message.get("content"), thoughts=True)


def _why_empty(message: Mapping[str, Any], word: str, outcome: Outcome | None) -> str:
    """Say why an answer holds no text, with the beginning of what the model thought instead."""
    reasoning = one_line(_reasoning(message), _QUOTED)
    quote = f" The reasoning begins: {reasoning}" if reasoning else ""
    end = f"({one_line(word, _SHORT) or 'no finish reason'})"
    if outcome == "truncated" and "context" in word.lower():
        return f"the model's context was full before the answer began {end}.{quote}"
    if outcome == "truncated":
        # Most often by reasoning, which not every endpoint shows.
        return f"max_tokens was used up before the answer began {end}; allow more with --set max_tokens=N.{quote}"
    if outcome == "ok" and quote:
        return f"all text came as reasoning, none as the answer {end}, and asking again will not help.{quote}"
    return f"no text came as the answer {end}.{quote}" if quote or outcome is None else word
