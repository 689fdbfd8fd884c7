"""A bench of the reference rows, run once for all tests of the command line."""

import json

import pytest

QUICK = ("--division", "grid", "--resamples", "50")
QUICK += ("--set", "image_size=96", "--set", "grid_rows=8", "--set", "grid_columns=8")
"""Small images, few regions and few resamples."""


@pytest.fixture(scope="session")
def finished(in_process, kept_data, tmp_path_factory):
    """The output folder, the JSON and the messages of a bench of the reference rows; tests leave it unchanged."""
    folder = tmp_path_factory.mktemp("finished")
    arguments = ["bench", "--data", kept_data, "--out", folder / "runs", "--json", "--no-report", *QUICK]
    done = in_process(arguments, {"COLUMNS": "160"})
    assert done.returncode == 0, done.stderr
    return folder / "runs", json.loads(done.stdout)["runs"], done.stderr


@pytest.fixture
def quick_bench(lvlm_ad_command, kept_data):
    """Run a bench on the small data set with quick settings and without the reference rows."""

    def run(*arguments, env=None):
        return lvlm_ad_command("bench", "--data", kept_data, *QUICK, "--no-reference-rows", *arguments, env=env)

    return run
