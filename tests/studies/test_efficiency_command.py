"""``lvlm-ad study efficiency`` as a command: what it prints, and its exit status."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from lvlm_ad.studies import EfficiencyFigures

WAYS = ("--images", "12", "--method", "regions", "--method", "zoom", "--votes", "1", "--votes", "3")


def options_of(config):
    """Return the options of the command for a configuration."""
    settings = [part for name, value in config.settings.items() for part in ("--set", f"{name}={value}")]
    models = [part for name in config.models for part in ("-m", name)]
    return [*models, "--data", str(config.data), "--out", str(config.out), "--resamples", "0", *settings]


def test_the_verdict_comes_first(lvlm_ad_command, models):
    """The first line is the verdict; a row for each combination, closer looks, votes and unknown prices follow."""
    config = models(good={"sharpness": 0.3, "price_input": 1, "price_output": 1}, other={"plugin": "Local"})
    done = lvlm_ad_command("study", "efficiency", *options_of(config), *WAYS)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Highest image AUROC ")
    assert " USD an image" in lines[0]
    for text in (
        "other with method zoom",
        "set price_per_hour",
        "closer looks against regions",
        "good with method regions: the mean of 3 answers changes image AUROC by +0.0 points",
        "at 3 times the price (100.0 % with one",
        "Along the front, good with method regions: ",
        "Not asked: zoom, mean of 3 answers (only answers of --method regions can be averaged).",
    ):
        assert text in done.stdout, done.stdout
    row = r"^good with method zoom.*  all images  +[+-]?\d+\.\d( \[-?\d+\.\d, \d+\.\d\])?  +\d\S*$"
    assert re.search(row, done.stdout, re.MULTILINE), done.stdout
    assert "efficiency-good-other-folder" in done.stderr


@pytest.mark.slow
def test_json_is_one_object(lvlm_ad_command, models):
    """--json prints study.json with its folder; --dry-run what would be asked, each question once."""
    config = models(one={"price_input": 1, "price_output": 1})
    priced = lvlm_ad_command("study", "efficiency", *options_of(config), *WAYS, "--dry-run", "--json")
    assert json.loads(priced.stdout)["to_ask"] == 12 + 24 + 48
    first = lvlm_ad_command("study", "efficiency", *options_of(config), *WAYS, "--dry-run")
    assert "0 already answered, 24 shared with another condition, 84 to ask" in first.stdout
    assert "The cost of one is unknown: no answer is stored yet, and the preset has no rule" in first.stdout
    done = lvlm_ad_command("study", "efficiency", *options_of(config), *WAYS, "--json")
    study = json.loads(done.stdout)
    assert (study["kind"], study["state"], study["model"], study["method"]) == (
        "efficiency",
        "complete",
        "one",
        "regions, zoom",
    )
    assert len(EfficiencyFigures.model_validate(study["figures"]).rows) == 3
    shown = lvlm_ad_command("study", "efficiency", *options_of(config), *WAYS, "--dry-run")
    assert "nothing to ask" in shown.stdout


def test_a_capped_study_has_status_3(lvlm_ad_command, models):
    """What is missing is said, and what to do about it; a mistake is one line and status 2."""
    config = models(
        one={"price_input": 1, "price_output": 1}, two={"price_input": 1, "price_output": 1, "sharpness": 1}
    )
    options = [*options_of(config), "--images", "12"]
    done = lvlm_ad_command("study", "efficiency", *options, "--max-cost", "0.015", "--concurrency", "1")
    assert done.returncode == 3
    assert "Not compared: two-regions (answered 2 of 12 images, fewer than half; 10 were not asked)." in done.stdout
    assert "--max-cost ended the study early" in done.stdout
    done = lvlm_ad_command("study", "efficiency", *options, "--votes", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--votes takes 1 or more; got 0." in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_study_goes_on(models, asked, lvlm_ad_process, tmp_path):
    """Killed while votes are asked, the same command asks only what is missing."""
    config = models(one={"price_input": 1, "price_output": 1, "pause": 0.05})
    options = [*options_of(config), "--images", "12", "--votes", "1", "--votes", "3"]
    process = subprocess.Popen([sys.executable, "-m", "lvlm_ad", "study", "efficiency", *options], cwd=tmp_path)
    until = time.monotonic() + 120
    while len(asked()) < 16 and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert 16 <= len(asked()) < 36
    done = lvlm_ad_process("study", "efficiency", *options)
    assert done.returncode == 0, done.stderr
    assert len(set(asked())) == 36
    assert len(asked()) <= 38, "two questions at most were under way when it was killed"
