"""Replies of chat completions with status 200, translated to an answer, or to the error that they hold.

Endpoints send any JSON, whatever their documentation promises; nothing here trusts its shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lvlm_ad.backend import Answer, Outcome
from lvlm_ad.errors import UnusableReplyError

from .failures import failed_answer, status_of
from .outcomes import ending
from .reasons import filtered_by, is_error, one_line, quoted, reason_in, text_of
from .usage import tokens_of, usage_of
from .waits import announced_limits

_NO_STATUS = 500
"""The status of an error that names none."""
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details")
"""Fields of a message that hold what the model thought before it answered; the first that is filled counts."""
_QUOTED, _SHORT = 500, 60
"""Most characters of reasoning and of a finish reason that are kept."""


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
    text = "".join(_texts(message.get("content"), thoughts=False))
    outcome: Outcome = "truncated" if ended is None else ended
    if refusal and outcome != "filtered":
        outcome = "refused"
    elif outcome == "ok" and not text.strip():
        outcome = "empty"
    detail = refusal or word
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
    )
    if ended is None and outcome != "refused":
        how = f"the finish reason {one_line(word, _SHORT)!r}" if word else "no finish reason"
        raise UnusableReplyError(f"an answer with {how}, so it may be cut off", answer=answer)
    return answer


def _without_message(body: Mapping[str, Any], headers: Mapping[str, str], seconds: float) -> Answer:
    """Return the answer "filtered", or raise what a reply without a message means."""
    status = status_of(body)
    if status is not None or filtered_by(body, _NO_STATUS):
        return failed_answer(status or _NO_STATUS, body, headers, seconds)
    raise UnusableReplyError(f"a reply without choices: {quoted(reason_in(body) or body)}")


def _texts(value: Any, *, thoughts: bool) -> Iterator[str]:
    """Yield the texts of a message's content; some endpoints send it in parts, of which some are thoughts."""
    if isinstance(value, str):
        yield value
    for part in value if isinstance(value, list) else []:
        if isinstance(part, dict) and bool(re.search("think|reason", str(part.get("type")))) == thoughts:
            yield next((text for name in ("text", "thinking", "summary") if (text := text_of(part.get(name)))), "")
            yield from _texts(part.get("thinking"), thoughts=False) if isinstance(part.get("thinking"), list) else ()


def _why_empty(message: Mapping[str, Any], word: str, outcome: Outcome | None) -> str:
    """Say why an answer holds no text, with the beginning of what the model thought instead."""
    found = next((value for name in _REASONING if (value := message.get(name))), message.get("content"))
    reasoning = found if isinstance(found, str) else "".join(_texts(found, thoughts=True))
    quote = f" The reasoning begins: {one_line(reasoning, _QUOTED)}" if reasoning.strip() else ""
    end = one_line(word, _SHORT)
    if outcome == "truncated" and "context" not in word.lower():
        # Most often by reasoning, which not every endpoint shows.
        return f"{end}: max_tokens was used up before the answer began; allow more with --set max_tokens=N.{quote}"
    if outcome == "ok" and quote:
        return f"{end}: all text came as reasoning, none as the answer, and asking again will not help.{quote}"
    return f"{end or 'no finish reason'}: no text came as the answer.{quote}" if quote or outcome != "ok" else word
