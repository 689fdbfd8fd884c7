"""What surrounds a backend: stored answers, locks, limits, retries, the budget and batches."""

from lvlm_ad.asking.answers import AnswerStore
from lvlm_ad.asking.asker import Asked, Asker
from lvlm_ad.asking.batch import Batcher, Question
from lvlm_ad.asking.cost import Budget, BudgetSpentError, image_tokens, text_tokens
from lvlm_ad.asking.ledger import BatchLedger
from lvlm_ad.asking.locks import Locks

__all__ = [
    "AnswerStore",
    "Asked",
    "Asker",
    "BatchLedger",
    "Batcher",
    "Budget",
    "BudgetSpentError",
    "Locks",
    "Question",
    "image_tokens",
    "text_tokens",
]
