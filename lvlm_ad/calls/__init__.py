"""What surrounds a backend: stored answers, the budget, and when to give up."""

from lvlm_ad.calls.budget import Budget, BudgetSpentError
from lvlm_ad.calls.caller import Asked, Caller
from lvlm_ad.calls.store import AnswerStore

__all__ = ["AnswerStore", "Asked", "Budget", "BudgetSpentError", "Caller"]
