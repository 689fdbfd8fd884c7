"""A bench of the reference rows, run once for all tests of the command line."""

import json
import os

import pytest
from typer.testing import CliRunner

QUICK = ("--set", "image_size=96", "--division", "grid", "--resamples", "50")
"""Small images and few resamples."""


@pytest.fixture(scope="session")
def finished(kept_data, tmp_path_factory):
    """The output folder, the JSON and the messages of a bench of the reference rows; tests leave it unchanged."""
    from lvlm_ad.cli import app

    folder = tmp_path_factory.mktemp("finished")
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "160"
    arguments = ["bench", "--data", str(kept_data), "--out", str(folder / "runs"), "--json", "--no-report", *QUICK]
    done = CliRunner().invoke(app, arguments)
    os.environ.pop("COLUMNS")
    if before is not None:
        os.environ["COLUMNS"] = before
    assert done.exit_code == 0, done.output
    return folder / "runs", json.loads(done.stdout)["runs"], done.stderr


@pytest.fixture
def quick_bench(lvlm_ad_command, kept_data):
    """Run a bench on the small data set with quick settings and without the reference rows."""

    def run(*arguments, env=None):
        return lvlm_ad_command("bench", "--data", kept_data, *QUICK, "--no-reference-rows", *arguments, env=env)

    return run
