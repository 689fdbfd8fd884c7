"""What surrounds a backend: stored answers, claims, traffic, retries, the budget, batches, and when to give up."""

from lvlm_ad.calls.batch import Batcher, Question
from lvlm_ad.calls.budget import Budget, BudgetSpentError
from lvlm_ad.calls.caller import Asked, Caller
from lvlm_ad.calls.claims import Claims
from lvlm_ad.calls.ledger import BatchLedger
from lvlm_ad.calls.store import AnswerStore
from lvlm_ad.calls.tokens import image_tokens, text_tokens

__all__ = [
    "AnswerStore",
    "Asked",
    "BatchLedger",
    "Batcher",
    "Budget",
    "BudgetSpentError",
    "Caller",
    "Claims",
    "Question",
    "image_tokens",
    "text_tokens",
]
