"""A plugin for pytest: ``backend_check`` and ``baseline_check`` give a test for each check of ``lvlm_ad.testing``.

::

    def test_contract(backend_check):
        backend_check(MyBackend)

Installed with lvlm-ad, it does nothing for tests that ask for neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_generate_tests"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each check."""
    wanted = {"backend_check", "baseline_check"} & set(metafunc.fixturenames)
    if not wanted:
        return
    from lvlm_ad.testing import BACKEND_CHECKS, BASELINE_CHECKS, one_check  # noqa: PLC0415 - most ask for neither

    for name in sorted(wanted):
        kind: Any = name.removesuffix("_check")
        checks = BACKEND_CHECKS if kind == "backend" else BASELINE_CHECKS
        metafunc.parametrize(name, [one_check(kind, check) for check in checks.values()], ids=list(checks))
