"""What surrounds a backend: stored answers, locks, limits, retries, the budget and batches."""

from lvlm_ad.asking.answers import AnswerStore, Locks
from lvlm_ad.asking.asker import Asked, Asker
from lvlm_ad.asking.batch import Batcher
from lvlm_ad.asking.cost import Budget, BudgetSpentError, image_tokens, text_tokens
from lvlm_ad.asking.ledger import BatchLedger

__all__ = [
    "AnswerStore",
    "Asked",
    "Asker",
    "BatchLedger",
    "Batcher",
    "Budget",
    "BudgetSpentError",
    "Locks",
    "image_tokens",
    "text_tokens",
]
