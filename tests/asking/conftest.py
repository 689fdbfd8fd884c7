"""Stores in a folder of the test's own."""

from contextlib import ExitStack, closing

import pytest

from lvlm_ad.asking import AnswerStore, Locks
from lvlm_ad.store import open_answers


@pytest.fixture
def answers(tmp_path):
    """An open ``answers.sqlite``."""
    with closing(open_answers(tmp_path / "answers.sqlite")) as database:
        yield database


@pytest.fixture
def store(answers):
    """An empty ``AnswerStore``."""
    return AnswerStore(answers)


@pytest.fixture
def another(tmp_path):
    """A function that opens the same file as another command does: returns its database and its locks."""
    with ExitStack() as stack:

        def command():
            database = stack.enter_context(closing(open_answers(tmp_path / "answers.sqlite")))
            return database, stack.enter_context(closing(Locks(database)))

        yield command
