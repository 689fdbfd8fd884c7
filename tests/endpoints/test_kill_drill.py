"""The drill of random kills, in short: ``benchmarks/kill_drill.py`` runs the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).resolve().parents[2] / "benchmarks" / "kill_drill.py"

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's"), pytest.mark.slow]


def drilled(folder, *arguments):
    """Run the drill; returns the finished process and what it counted."""
    counts = folder / "counts.json"
    command = [sys.executable, str(DRILL), "--json", str(counts), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert counts.exists(), done.stderr
    return done, json.loads(counts.read_text())


@pytest.mark.parametrize(
    ("arguments", "images", "questions", "ended"),
    [
        (("--kills", 3, "--images", 40, "--seed", 3), 40, 40, [-9, -9, -9, 0]),
        (("--kills", 2, "--images", 60, "--seed", 4, "--two"), 60, 60, [-9, -9, 0, 0]),
        (("--kills", 2, "--images", 8, "--seed", 5, "--method", "zoom", "--per-image", 5), 8, 40, [-9, -9, 0]),
    ],
    ids=["one process", "two processes", "conversations"],
)
def test_killed_at_random_every_question_is_answered_once(tmp_path, arguments, images, questions, ended):
    """After kills at random moments every question has one stored answer; only what was in flight is answered again."""
    done, counts = drilled(tmp_path, *arguments)
    assert (done.returncode, counts["wrong"]) == (0, []), done.stdout + done.stderr
    assert f"stored: {questions}\n" in done.stdout
    assert (counts["stored"], counts["questions"], counts["pictures"]) == (questions,) * 3
    assert set(counts["usable"]) == {images}
    assert counts["statuses"] == ended
    assert counts["answers_given"] - questions == counts["repeated_answers"] <= counts["in_flight_at_kills"]
    assert counts["lost_without_a_kill"] == counts["stored_answers_that_vanished"] == 0
    assert counts["asked_though_stored"] == counts["asked_by_two_at_once"] == 0
    faults = counts["requests"] - counts["kinds"]["answer"]
    assert faults > counts["requests"] / 6
