"""The examples in docstrings run in an empty folder each."""

import pytest


@pytest.fixture(autouse=True)
def _an_empty_folder_for_examples(request, tmp_path_factory, monkeypatch):
    if type(request.node).__name__ == "DoctestItem":
        monkeypatch.chdir(tmp_path_factory.mktemp("example"))
