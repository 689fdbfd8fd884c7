"""Contract of every backend: one method that turns a question into an answer.

A backend only translates. The framework stores, retries, limits and counts from outside (``lvlm_ad.asking``). A backend
sees pictures, a text and the format that the question demands; it never sees the sample, its label or its mask.
"""

from lvlm_ad.backend.contract import (
    Backend,
    BackendOptions,
    Batch,
    BatchBackend,
    Capabilities,
    Transport,
    as_answer,
)
from lvlm_ad.backend.many import ManyBackend
from lvlm_ad.backend.messages import Answer, Limits, Outcome, Picture, Request, Usage
from lvlm_ad.backend.scripted import ScriptedBackend
from lvlm_ad.backend.tokens import FirstToken, Token, first_token, number_tokens

__all__ = [
    "Answer",
    "Backend",
    "BackendOptions",
    "Batch",
    "BatchBackend",
    "Capabilities",
    "FirstToken",
    "Limits",
    "ManyBackend",
    "Outcome",
    "Picture",
    "Request",
    "ScriptedBackend",
    "Token",
    "Transport",
    "Usage",
    "as_answer",
    "first_token",
    "number_tokens",
]
