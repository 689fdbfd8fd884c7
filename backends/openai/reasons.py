"""The reason that a reply gives for an error, in any of its fields, and the words that classify the error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from .outcomes import incomplete_outcome
from .streams import fields_in, parse_json

_LONGEST, _QUOTED = 5000, 300
"""Maximum length of a server's message that is processed, and of a reply that is quoted, in characters."""
_DEEPEST, _WIDEST = 8, 100
"""How many levels of a body, and fields of an object, are searched at most; real replies have fewer."""
_LISTED = 3
"""How many problems of a list are named at most."""

_CONTAINERS = ("error", "errors")
_MESSAGES = (
    *("message", "msg", "detail", "details", "error_message", "errormessage", "error_msg", "errormsg", "errmsg"),
    *("err_msg", "status_msg", "error_description", "faultstring", "description", "reason", "title", "error"),
)
"""Fields, in lower case, that hold the reason in words; the first that is filled counts."""
_CODES = {"code", "type", "status", "reason", "error_code", "errorcode", "blockreason", "block_reason"}
"""Fields, in lower case, that hold a word for the kind of error."""

_PAGE = re.compile(r"<(?:!doctype|html|head|body|title)\b", re.IGNORECASE)
_DECLINED = re.compile(
    r"content[ _-]?(?:management|filtering|moderation|safety)?[ _-]?policy|responsible ?ai|data_?inspection"
    r"|violat\w* .{0,40}(?:usage|safety|content|use) (?:policy|policies|guidelines)|(?:inappropriate|sensitive) content"
    r"|(?:blocked|flagged|filtered) .{0,30}(?:content|safety|moderation|guardrail)|content_?filter|considered high risk"
    r"|sensitive (?:words?|information)|new_sensitive|敏感|不安全|违规",
    re.IGNORECASE,
)
"""What the messages of content filters say, where a gateway has dropped the code."""
_ABOUT_ACCOUNT = re.compile(r"account|organi[sz]ation|suspend|deactivat|banned|账号|账户|封", re.IGNORECASE)
"""A message with one of these words is about the user, not about the question."""


_FORBIDDEN, _ABOUT_USER = 403, {401, 402, 404, 407, 429}
"""HTTP statuses; those in the set are never about a question's content."""


def text_of(value: Any) -> str:
    """Return a text, empty if the value is something else."""
    return value if isinstance(value, str) else ""


def one_line(text: str, longest: int = _LONGEST) -> str:
    r"""Write a server's text in one line, control characters escaped; the last word of a long text is dropped.

    A half word could be a part of a key, too short to be recognized. JSON can hold lone surrogates, which no file can.

    Example:
        >>> one_line("<b>\x1b no\n way", 100)
        '<b>\\x1b no way'
    """
    shown = text[:longest].encode("utf-8", "replace").decode("utf-8")
    if len(text) > longest:
        shown = re.sub(r"[\w+/=.-]{1,60}$", "", shown) + "..."
    return " ".join("".join(c if c.isprintable() or c.isspace() else repr(c)[1:-1] for c in shown).split())


def quoted(body: Any) -> str:
    """Return a shortened body in quotation marks, for a message that can say nothing better."""
    try:
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    except RecursionError:
        text = "(nested too deeply)"
    return f"'{one_line(text, _QUOTED)}'" if text.strip() else "nothing"


def is_page(body: Any) -> bool:
    """Return whether a body is a web page: endpoints send JSON, gateways and proxies send pages."""
    return isinstance(body, str) and _PAGE.search(body[:1000]) is not None


def reason_in(body: Any, depth: int = _DEEPEST) -> str:
    """Return the reason that a body gives, in one line; empty if it gives none.

    Args:
        body: the reply's JSON, or its text.
        depth: how many levels are searched.

    Example:
        >>> reason_in({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]})
        'body.seed: Extra inputs are not permitted'
        >>> reason_in({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}})
        'insufficient balance'
        >>> reason_in("<html><title>502 Bad Gateway</title>...")
        '502 Bad Gateway'
    """
    if isinstance(body, str):
        return _reason_in_text(body, depth)
    if depth == 0:
        return ""
    if isinstance(body, list):
        reasons = dict.fromkeys(reason_in(part, depth - 1) for part in body[:_LISTED])
        return "; ".join(reason for reason in reasons if reason)
    if not isinstance(body, dict):
        return ""
    fields = {str(name).lower(): value for name, value in islice(body.items(), _WIDEST)}
    inner = [fields[name] for name in _CONTAINERS if isinstance(fields.get(name), dict | list)]
    named = [fields[name] for name in _MESSAGES if name in fields]
    # A list of texts elsewhere is no reason.
    others = [value for value in fields.values() if isinstance(value, dict) or _has_objects(value)]
    reason = next(filter(None, (reason_in(part, depth - 1) for part in [*inner, *named, *others])), "")
    if isinstance(loc := fields.get("loc"), list) and reason:
        where = ".".join(str(step) for step in loc if isinstance(step, str | int))
        reason = f"{one_line(where, _QUOTED)}: {reason}"
    if isinstance(field := fields.get("param"), str) and field not in reason:
        reason += f" (field {one_line(field, _QUOTED)})"
    # OpenRouter's own message says little; the provider's message is in its metadata.
    metadata = fields.get("metadata")
    raw = reason_in(metadata.get("raw"), depth - 1) if isinstance(metadata, dict) else ""
    return f"{reason}: {raw}" if raw and reason and raw not in reason else reason or raw


def _has_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(part, dict) for part in value[:_LISTED])


def _reason_in_text(text: str, depth: int) -> str:
    """Return the reason in a text, which may be JSON or a web page itself."""
    text = text[:_LONGEST].strip()
    if text.startswith(("{", "[")) and depth and (reason := reason_in(parse_json(text), depth - 1)):
        return reason
    if is_page(text):
        title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
        text = title[1] if title and title[1].strip() else re.sub("<[^>]*>", " ", text)
        return one_line(text, _QUOTED)
    return one_line(text)


def codes_in(body: Any) -> Iterator[str]:
    """Yield the words for the kind of an error, at any depth of a body."""
    for path, value in fields_in(body):
        name = path.rpartition(".")[2]
        if name.lower() in _CODES and value and not re.search(r"\s", value):
            yield f"{name}: {value}" if name.lower().startswith("block") else value


def filtered_by(body: Any, status: int) -> str:
    """Return the code or message that says that a content filter declined the question; empty if there is none.

    Example:
        >>> filtered_by({"error": {"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, 400)
        'ResponsibleAIPolicyViolation'
    """
    metadata = error_in(body).get("metadata")
    if status == _FORBIDDEN and isinstance(metadata, dict) and "reasons" in metadata:
        # OpenRouter's moderation.
        return "moderation"
    code = next((code for code in codes_in(body) if incomplete_outcome(code) == "filtered"), "")
    if code or status in _ABOUT_USER:
        return code
    reason = reason_in(body)
    return reason if _DECLINED.search(reason) and not _ABOUT_ACCOUNT.search(reason) else ""


def error_in(body: Any) -> dict[str, Any]:
    """Return the error in a body: OpenAI sends {"error": {...}}, Gemini a list of one, FastAPI {"detail": ...}."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else body


def is_error(part: Mapping[str, Any]) -> bool:
    """Return whether a body or a choice holds an error; some gateways send an empty one with each answer."""
    error = part.get("error")
    return any(error.values()) if isinstance(error, dict) else bool(error)


def status_in(body: Any) -> int | None:
    """Return the HTTP status that an error names in its body; None if none."""
    codes = [error_in(body).get(name) for name in ("code", "status_code", "statusCode", "status")]
    statuses = [str(code)[:_QUOTED] for code in codes if isinstance(code, str | int)]
    return next((int(status) for status in statuses if re.fullmatch("[45][0-9]{2}", status)), None)
