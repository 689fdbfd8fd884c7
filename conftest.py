"""Tests leave nothing in the user's cache or on the path; the examples in docstrings run in an empty folder each."""

import gc
import os
import sys
import tempfile

import pytest


def pytest_configure(config):
    """Give the whole session a cache of its own: each bench notes there where its data set is."""
    if not hasattr(config, "workerinput"):
        cache = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        os.environ["XDG_CACHE_HOME"] = cache.name
        config.add_cleanup(cache.cleanup)


def pytest_collection_finish():
    """Let the garbage collector pass over the collected tests and modules: millions of objects that stay."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _a_place_of_its_own(request, tmp_path_factory, monkeypatch):
    # Loading a user's file puts its folder on the path, where a later test would find modules of an earlier one.
    monkeypatch.setattr(sys, "path", list(sys.path))
    if type(request.node).__name__ == "DoctestItem":
        monkeypatch.chdir(tmp_path_factory.mktemp("example"))
