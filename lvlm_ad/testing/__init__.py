"""Check whether a plugin keeps its contract, in the manner of scikit-learn's ``check_estimator``.

A plugin is a backend, a baseline, or a method of inspection.

All checks at once::

    from lvlm_ad.testing import check_backend

    def test_contract():
        check_backend(MyBackend)

Or one test for each check, by a fixture that this module brings to pytest::

    pytest_plugins = ["lvlm_ad.testing"]

    def test_contract(backend_check):
        backend_check(MyBackend)

Both take a class, which is built with its default options, or an object. ``check_paraphrase`` checks a prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from lvlm_ad.testing.any_plugin import ContractError, built, expect_no_error
from lvlm_ad.testing.checks import BACKEND_CHECKS, BASELINE_CHECKS
from lvlm_ad.testing.methods import METHOD_CHECKS
from lvlm_ad.testing.paraphrases import PARAPHRASE_CHECKS, check_paraphrase, paraphrase_problems

if TYPE_CHECKING:
    import pytest

    from lvlm_ad.plugins import AnyKind

__all__ = [
    "BACKEND_CHECKS",
    "BASELINE_CHECKS",
    "CHECKS",
    "METHOD_CHECKS",
    "PARAPHRASE_CHECKS",
    "SKIPPED",
    "ContractError",
    "check_backend",
    "check_baseline",
    "check_method",
    "check_paraphrase",
    "paraphrase_problems",
    "problems",
    "pytest_generate_tests",
    "sentence",
]

Checks = Mapping[str, Callable[[Any], None]]

CHECKS: dict[AnyKind, Checks] = {"backend": BACKEND_CHECKS, "baseline": BASELINE_CHECKS, "method": METHOD_CHECKS}
"""Kind of plugin -> its checks by name."""
_FIRST = ("answers_are_valid", "scores_are_valid", "conversations_are_valid")
"""If one of these fails, the checks behind it would fail for the same reason; they are not made."""
SKIPPED = "not checked, because "
"""How ``problems`` begins the text of a check that was not made."""


def check_backend(backend: Any) -> list[str]:
    """Check a backend: ask it about fifty questions, up to 130 if it has ``answer_many``, and close it at the end.

    Args:
        backend: an object that can answer (its endpoint is up, its weights are here), or a class.

    Returns:
        The names of the checks.

    Raises:
        ContractError: some checks failed; one line for each.

    Example:
        >>> class Half:
        ...     def answer(self, request):
        ...         return "image anomaly score: 0.5"
        >>> len(check_backend(Half)) == len(BACKEND_CHECKS)
        True
    """
    return _check("backend", backend)


def check_baseline(baseline: Any) -> list[str]:
    """Check a baseline: have it score about forty images of 96 pixels, and close it at the end.

    Args:
        baseline: an object that can score (its weights are here), or a class.

    Returns:
        The names of the checks.

    Raises:
        ContractError: some checks failed; one line for each.

    Example:
        >>> from lvlm_ad.plugins import load_plugin
        >>> "scores_are_valid" in check_baseline(load_plugin("baseline", "chance").cls)
        True
    """
    return _check("baseline", baseline)


def check_method(method: Any) -> list[str]:
    """Check a method of inspection: run conversations about generated pictures, with answers of every kind.

    No model is asked.

    Args:
        method: a ``Method``, or a class derived from it.

    Returns:
        The names of the checks.

    Raises:
        ContractError: some checks failed; one line for each.

    Example:
        >>> from lvlm_ad.backend import Picture, Request
        >>> from lvlm_ad.methods import Finding, Method
        >>> from lvlm_ad.text2seg import read
        >>> class Plain(Method):
        ...     needs_regions, places = False, ""
        ...     def inspect(self, view):
        ...         question = f"How anomalous is this {view.class_name}? image anomaly score:"
        ...         answer = yield Request((Picture.from_pixels(view.image),), question)
        ...         return Finding.of(read(answer, 0))
        >>> "any_answer" in check_method(Plain)
        True
    """
    return _check("method", method)


def _check(kind: AnyKind, candidate: Any) -> list[str]:
    checks = CHECKS[kind]
    failed = problems(built(candidate, kind), checks)
    if failed:
        raise ContractError("\n".join(f"{name}: {text}" for name, text in failed.items()))
    return list(checks)


def problems(plugin: Any, checks: Checks, report: Callable[[str, str], None] = lambda *_: None) -> dict[str, str]:
    """Run checks one after the other.

    Args:
        plugin: a backend, baseline or method.
        checks: name -> check.
        report: called after each check with its name and what is wrong; "" if nothing is.

    Returns:
        Name -> what is wrong, for each check that failed; and for each that was not made, ``SKIPPED`` and why.

    Example:
        >>> from lvlm_ad.backend import ScriptedBackend
        >>> def names_its_source(backend):
        ...     if not backend.source:
        ...         raise ContractError("its source is empty")
        >>> problems(ScriptedBackend(script=lambda request: ""), {"names_its_source": names_its_source})
        {'names_its_source': 'its source is empty'}
    """
    failed: dict[str, str] = {}
    for name, check in checks.items():
        failed_first = next((first for first in _FIRST if first in failed), "")
        if failed_first:
            failed[name] = f"{SKIPPED}{failed_first} failed"
        else:
            try:
                with expect_no_error("the plugin"):
                    check(plugin)
            except ContractError as error:
                failed[name] = str(error)
        report(name, failed.get(name, ""))
    return failed


def sentence(check: Callable[..., None]) -> str:
    """Return what a check demands: the first sentence of its documentation.

    Example:
        >>> sentence(BACKEND_CHECKS["request_is_unchanged"])
        'Nothing of the request is changed.'
    """
    return " ".join((inspect.getdoc(check) or "").split("\n\n")[0].split())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test per check of each test that asks for ``backend_check``, ``baseline_check`` or ``method_check``."""
    for kind, checks in CHECKS.items():
        if f"{kind}_check" in metafunc.fixturenames:
            tests = [_taking_classes(kind, check) for check in checks.values()]
            metafunc.parametrize(f"{kind}_check", tests, ids=list(checks))


def _taking_classes(kind: AnyKind, check: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make a check that takes a class too, as ``check_backend`` does."""

    @wraps(check)
    def run(candidate: Any) -> None:
        with expect_no_error("the plugin"):
            check(built(candidate, kind))

    return run
