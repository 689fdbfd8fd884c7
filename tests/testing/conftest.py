"""Runs of pytest within a test."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def run_pytest():
    """A function that runs pytest on a folder in a process of its own and returns what it printed."""

    def run(folder, **variables):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, str(folder)],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**environment, **variables},
            check=False,
        )
        return done.stdout

    return run
