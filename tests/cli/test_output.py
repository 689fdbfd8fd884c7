"""What becomes of a command's output: no reader, a full disk, few letters, a terminal of any width."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FROZEN = Path(__file__).resolve().parents[1] / "data" / "v0_1" / "out"
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@pytest.mark.slow
@pytest.mark.parametrize("command", [["models"], ["models", "--json"]])
def test_a_reader_that_ends_early_is_no_error(command):
    """`lvlm-ad models | head -1` ends with status 0 and says nothing."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lvlm_ad", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)
    process.stderr.close()


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("leaderboard {runs} >&-", 0, ""),
        ("--version >&- 2>&- <&-", 0, ""),
        ("leaderboard absent >&-", 2, "lvlm-ad: "),
        pytest.param("leaderboard {runs} -f csv >/dev/full", 2, "lvlm-ad: the result cannot be written", marks=FULL),
        pytest.param("--help >/dev/full", 2, "lvlm-ad: the result cannot be written to stdout: No space", marks=FULL),
    ],
)
def test_a_closed_or_full_stdout_is_one_line_at_most(command, status, says, tmp_path):
    """A closed one is as if nobody reads it; the command's own failure is told and decides the status."""
    line = f"{shlex.quote(sys.executable)} -m lvlm_ad {command.format(runs=FROZEN)}"
    done = subprocess.run(line, shell=True, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (status, 1 if says else 0), done.stderr
    assert done.stderr.startswith(says)


def test_a_command_that_loses_its_reader_keeps_its_status(tmp_path):
    """What is wrong with a run decides, not that the table was not read to its end."""
    runs = tmp_path / "runs"
    for name in ("chance-folder-9a2c38f4", "contrast-folder-afc5fe2f"):
        shutil.copytree(FROZEN / name, runs / name)
    (runs / name / "metrics.json").write_text("{")
    command = [sys.executable, "-m", "lvlm_ad", "leaderboard", runs, "--verify"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert b"left out: " in process.stderr.read()
    assert process.returncode == 2


@pytest.mark.slow
def test_an_output_that_lacks_letters_shows_their_codes():
    """Tables and JSON come out whole, and JSON reads as it is."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    texts = []
    for form in ("table", "json"):
        command = [sys.executable, "-m", "lvlm_ad", "leaderboard", FROZEN, "-f", form]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert (done.stderr, done.stdout.isascii()) == ("", True)
        texts.append(done.stdout)
    assert "\\u2013" in texts[0]
    assert " \N{MIDDLE DOT} " in json.loads(texts[1])["groups"][0]["title"]


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["0", "\N{SUPERSCRIPT TWO}", "-5"])
def test_a_width_that_cannot_be_counts_as_none(columns):
    """Some terminals say COLUMNS=0: the table is printed whole."""
    command = [sys.executable, "-m", "lvlm_ad", "leaderboard", FROZEN]
    unset = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    tables = [
        subprocess.run(command, capture_output=True, check=True, env=environment).stdout
        for environment in (unset, {**unset, "COLUMNS": columns})
    ]
    assert tables[0] == tables[1]
    assert b"contrast" in tables[0]
