"""Checks whether a backend or baseline keeps its contract, in the manner of scikit-learn's ``check_estimator``.

In a package's own tests, one test a check, by the pytest plugin that comes with lvlm-ad::

    def test_contract(backend_check):
        backend_check(MyBackend)

It takes an object as well, built as the test needs it. Or all of them at once::

    from lvlm_ad.testing import check_backend

    def test_contract():
        check_backend(MyBackend)
"""

from lvlm_ad.testing.backends import BACKEND_CHECKS, check_backend
from lvlm_ad.testing.baselines import BASELINE_CHECKS, check_baseline
from lvlm_ad.testing.contract import one_check
from lvlm_ad.testing.running import PATIENCE, ContractError, problems, sentence

__all__ = [
    "BACKEND_CHECKS",
    "BASELINE_CHECKS",
    "PATIENCE",
    "ContractError",
    "check_backend",
    "check_baseline",
    "one_check",
    "problems",
    "sentence",
]
