"""Tells a refusal from an answer that merely has no scores."""

from __future__ import annotations

import re

__all__ = ["is_refusal"]

_SHOWN = 4000
"""Refusals stand at the beginning."""

_WHO = r"(?:^ ?|[.!?] |\b(?:i|we|model|assistant|ai)\b ?|\b(?:sorry|unfortunately|apologies)[,:]? )"
_CANNOT = (
    r"(?:can't|cannot|can not|could not|couldn't|won't|will not|am unable to|'m unable to|unable to|am not able to|"
    r"'m not able to|not able to|must decline to|have to decline to|decline to|am not (?:allowed|permitted) to|"
    r"'m not (?:allowed|permitted|comfortable)(?: to)?|don't feel comfortable|do not feel comfortable)"
)
_DO = (
    r"(?:assist|help|analy[sz]e|analy[sz]ing|provide|providing|process|view|examine|evaluate|comply|fulfil|fulfill|"
    r"answer|do (?:that|this|so)|continue|support|determine|assess|inspect|access|interpret|perform|complete|give|rate|"
    r"score|comment|offer|engage|discuss|open|directly|see (?:the |this |that |your )?(?:image|picture|photo|attach)|"
    r"(?:see|identify|detect|find|look at|tell|make)(?! *(?:any|an?|no|obvious|visible|clear|signs?|other|further)\b))"
)
_REFUSAL = re.compile(
    rf"{_WHO}{_CANNOT} (?:be able to )?(?:[a-z]+ ){{0,2}}?{_DO}\b"
    r"|\b(?:i|we) (?:must |have to |respectfully )*(?:decline|refuse)\b"
    r"|\b(?:i|we) (?:do not|don't) have (?:the )?(?:ability|capability|capacity|access|permission|any way)\b"
    r"|\b(?:sorry|apologi[sz]e|apologies)\b[^.!?\n]{0,80}"
    r"\b(?:can't|cannot|can not|unable|not able|won't|will not|policy)\b"
    r"|\bas an? (?:ai|text|language)[^.!?\n]{0,60}\b(?:can't|cannot|can not|unable|not able|do not|don't)\b"
    r"|\bagainst (?:my|our|the) (?:guidelines|polic(?:y|ies)|programming)\b"
    r"|\b(?:violates?|goes against) (?:my|our|the)\b"
    r"|(?:\u62b1\u6b49|\u5bf9\u4e0d\u8d77|\u5f88\u9057\u61be)[^\n]{0,20}(?:\u65e0\u6cd5|\u4e0d\u80fd)"
)
_FINDS_NONE = re.compile(
    rf"\b{_CANNOT} (?:[a-z]+ ){{0,2}}?(?:see|identify|detect|find|spot|observe|notice|discern)"
    r" (?:any|an?|no|obvious|visible|clear|signs?|other|further)\b"
)
_SPACES = re.compile(r"\s+")


def is_refusal(text: str) -> bool:
    """Whether an answer without scores declines the question; "I cannot find any defects" does not.

    Args:
        text: plain text, see ``tokens.plain``.
    """
    shown = _SPACES.sub(" ", text[:_SHOWN].lower().replace("*", ""))
    return _REFUSAL.search(_FINDS_NONE.sub(" ", shown)) is not None
