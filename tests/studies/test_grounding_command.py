"""``lvlm-ad study grounding`` as a command: what it prints, its exit status, and what it survives."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from lvlm_ad.studies import GroundingFigures

SMALL = ("--images", "8", "--part", "methods,losses", "--part", "contamination")


@pytest.fixture
def options(grounded):
    """A function that returns the options of the command whose base is that of ``grounded``."""

    def make(**settings):
        config = grounded(**settings)
        chosen = [part for name, value in config.settings.items() for part in ("--set", f"{name}={value}")]
        return ["-m", *config.models, "--data", str(config.data), "--out", str(config.out), "--resamples", "0", *chosen]

    return make


def test_the_verdict_comes_first(lvlm_ad_command, options):
    """The verdict, then other findings, tables of methods, marks, losses and the screen, and what is left out."""
    done = lvlm_ad_command("study", "grounding", *options(blind=0.005), *SMALL)
    assert done.returncode == 0, done.stderr
    first, *others = done.stdout.splitlines()
    assert re.match(r"\d+ % \[\d+, \d+\] of the defects are hit and \d+ % of the normal area is named \(reg", first)
    findings = [one for one in others[: others.index("")] if one.startswith("- ")]
    assert len(findings) > 1
    for text in (
        "- No sure sign",
        "normal area named",
        "score of anomalous",
        "by division",
        "contamination screen",
    ):
        assert text in done.stdout, done.stdout
    assert "Not asked: boxes (Grounded cannot be inspected with --method boxes" in done.stdout
    assert "Not asked: resolution, corruptions (not chosen with --part)." in done.stdout
    assert "grounding-Grounded-regions-folder" in done.stderr


@pytest.mark.slow
def test_json_is_one_object(lvlm_ad_command, options):
    """--json prints study.json with its folder and nothing else on stdout; --dry-run its price."""
    parts = ("--images", "6", "--part", "resolution, corruptions", "--image-size", "80", "--severity", "1")
    priced = lvlm_ad_command("study", "grounding", *options(), *parts, "--dry-run", "--json")
    price = json.loads(priced.stdout)
    assert (price["questions"], price["to_ask"], len(price["conditions"])) == (42, 42, 7)
    done = lvlm_ad_command("study", "grounding", *options(), *parts, "--json")
    study = json.loads(done.stdout)
    assert (study["kind"], study["state"], study["images"]) == ("grounding", "complete", 6)
    assert [one.level for one in GroundingFigures.model_validate(study["figures"]).resolution] == [80, 160]
    shown = lvlm_ad_command("study", "grounding", *options(), *parts, "--dry-run")
    assert "nothing to ask" in shown.stdout


def test_a_mistake_has_status_2(lvlm_ad_command, options):
    """A wrong part is one line with the nearest right one."""
    done = lvlm_ad_command("study", "grounding", *options(), "--part", "loses")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no part 'loses'. Did you mean 'losses'?" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_study_goes_on(options, lvlm_ad_process, tmp_path):
    """Killed among the corruptions, the same command asks only what is missing, of the same copies."""
    parts = ("--images", "12", "--part", "corruptions", "--severity", "1")
    command = [sys.executable, "-m", "lvlm_ad", "study", "grounding", *options(pause=0.05), *parts]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    log = tmp_path / "asked.txt"
    end = time.monotonic() + 120
    while not log.exists() or len(log.read_text().splitlines()) <= 30:
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    copies = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("images/*/*.png")}
    done = lvlm_ad_process(*command[3:])
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    # Two questions at most were under way when it was killed.
    assert len(lines) - len(set(lines)) <= 2
    assert len(copies) == 5 * 12
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("images/*/*.png")} == copies
