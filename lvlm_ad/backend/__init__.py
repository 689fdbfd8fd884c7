"""The contract of every backend: one method from a question to an answer, and the fake that tests use.

A backend translates. Storing, retrying, limiting and counting wrap it from outside (``lvlm_ad.asking``) and never appear
in it. It sees pictures, a text and the demands of the question; it never sees the sample, its label or its mask.
"""

from lvlm_ad.backend.batch import Batch, BatchBackend
from lvlm_ad.backend.contract import Backend, BackendOptions, Capabilities, Transport, as_answer
from lvlm_ad.backend.many import ManyBackend
from lvlm_ad.backend.messages import Answer, Limits, Outcome, Picture, Request, Usage
from lvlm_ad.backend.probabilities import Token, number_tokens
from lvlm_ad.backend.scripted import ScriptedBackend

__all__ = [
    "Answer",
    "Backend",
    "BackendOptions",
    "Batch",
    "BatchBackend",
    "Capabilities",
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
    "number_tokens",
]
