"""``lvlm-ad study stability`` as a command: what it prints, its exit status, and what it survives."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

SMALL = ("--images", "12", "--repeats", "2", "--levels", "1")
CONDITIONS = 6
"""Base, repeat, paraphrase, numbering, marks, resolution."""


def test_the_verdict_comes_first(lvlm_ad_command, options):
    """The first line is the verdict; a table, what is left out and the folder follow."""
    done = lvlm_ad_command("study", "stability", *options(noise=0.05), *SMALL)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith("Too unstable to tell two versions 2 points apart with 12 images: ")
    for text in ("asking again", "paraphrase, 1 level ", "resolution, 1 level ", "ICC", "2 times the price"):
        assert text in done.stdout
    assert "Not asked: references (no normal images are shown" in done.stdout
    assert "stability-Scripted-regions-folder" in done.stderr


def test_json_is_one_object(lvlm_ad_command, options):
    """--json prints study.json with its folder, and nothing else on stdout; --dry-run its price."""
    priced = lvlm_ad_command("study", "stability", *options(), *SMALL, "--dry-run", "--json")
    price = json.loads(priced.stdout)
    assert (price["questions"], price["to_ask"], len(price["conditions"])) == (72, 72, CONDITIONS)
    assert price["precision"]["flip_rate_half_width"] == pytest.approx(1.96 * (0.09 / 12) ** 0.5, rel=1e-3)
    done = lvlm_ad_command("study", "stability", *options(), *SMALL, "--json")
    study = json.loads(done.stdout)
    assert (study["kind"], study["state"], study["images"]) == ("stability", "complete", 12)
    assert study["dir"].endswith("studies/stability-Scripted-regions-folder")
    shown = lvlm_ad_command("study", "stability", *options(), *SMALL, "--dry-run")
    assert "72 questions, 72 already answered, nothing to ask." in shown.stdout
    assert "Expected precision: ±17.0 points (95 % interval) for a flip rate of 10 %" in shown.stdout


def test_what_one_reason_leaves_out_is_one_line(lvlm_ad_command, options):
    """Factors that the user did not choose are named together, and a single change is no range."""
    options = (
        "study",
        "stability",
        *options(),
        "--images",
        "4",
        "--repeats",
        "2",
        "--levels",
        "1",
        "--factor",
        "marks",
    )
    shown = [lvlm_ad_command(*options, *more).stdout for more in (["--dry-run"], [])]
    left = "Not asked: paraphrase, numbering, resolution, references (not chosen with --factor)."
    assert all(text.count("Not asked: ") == text.count(left) == 1 for text in shown)
    row = next(line for line in shown[1].splitlines() if line.startswith("marks, 1 level "))
    assert " to " not in row


def test_a_capped_study_has_status_3(lvlm_ad_command, options):
    """What is missing is said, and what to do about it."""
    done = lvlm_ad_command("study", "stability", *options(), *SMALL, "--max-cost", "0.02", "--concurrency", "1")
    assert done.returncode == 3
    first = done.stdout.splitlines()[0]
    assert first.startswith(
        "Incomplete, answers are missing for asking again, paraphrase, numbering, marks and resolution: "
    )
    assert "paraphrase-1: 12 of 12 images were not asked (the limit of --max-cost was reached)." in done.stdout
    assert "paraphrase, 0 of 1 level " in done.stdout
    assert "Undefined: positions (no image was answered under two numberings)." in done.stdout
    assert "--max-cost ended the study early" in done.stdout


def test_a_model_that_refuses_has_no_numbers(lvlm_ad_command, options):
    """Nothing is said of 0 images, and no limit is blamed."""
    done = lvlm_ad_command("study", "stability", *options(refuses=True), *SMALL)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("Nothing can be said: the base has no two usable answers")
    assert "No image has two usable answers to the same question." in done.stdout
    assert "paraphrase-1: 12 of 12 images have no usable answer." in done.stdout
    assert "Of 0 images" not in done.stdout
    assert "--max-cost" not in done.stdout


def test_a_mistake_has_status_2(lvlm_ad_command, options):
    """A wrong name is one line with the nearest right one."""
    done = lvlm_ad_command("study", "stability", *options(), "--factor", "paraphrases")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no factor 'paraphrases'. Did you mean 'paraphrase'?" in done.stderr


def until(holds, seconds=120.0):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL and SIGINT are POSIX's")
@pytest.mark.parametrize("end", ["SIGKILL", "SIGINT"])
def test_an_interrupted_study_goes_on(options, asked, lvlm_ad_process, tmp_path, end):
    """Killed in the third condition, the same command asks only what is missing; after Ctrl-C it says what it can."""
    command = [sys.executable, "-m", "lvlm_ad", "study", "stability", *options(pause=0.2, noise=0.05), *SMALL]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    until(lambda: len(asked()) > 2 * 12)
    os.kill(process.pid, getattr(signal, end))
    text, _ = process.communicate(timeout=180)
    before = len(asked())
    assert before < CONDITIONS * 12
    if end == "SIGINT":
        assert process.returncode == 130
        said = " ".join(text.split())
        assert said.startswith("Incomplete, answers are missing for paraphrase, numbering, marks and resolution: too ")
        assert re.search(r"paraphrase-1: \d+ of 12 images were not asked \(interrupted\)\.", said)
    done = lvlm_ad_process(*command[3:])
    assert done.returncode == 0, done.stderr
    # Two questions at most were under way when it was killed, and none after Ctrl-C.
    assert len(asked()) - len(set(asked())) <= (2 if end == "SIGKILL" else 0)
    assert len(set(asked())) == CONDITIONS * 12


def test_a_study_is_shown_again(lvlm_ad_command, options, tmp_path):
    """Show prints what the study printed, and writes the page anew; a folder without a study is one clear line."""
    done = lvlm_ad_command("study", "stability", *options(noise=0.05), *SMALL, "--factor", "repeat")
    folder = tmp_path / "out" / "studies" / "stability-Scripted-regions-folder"
    page = folder / "index.html"
    assert f"page: {page}" in done.stderr
    before = page.read_text()
    page.unlink()
    again = lvlm_ad_command("study", "show", str(folder))
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert page.read_text() == before
    shown = lvlm_ad_command("study", "show", str(folder / "study.json"), "--json")
    assert json.loads(shown.stdout)["verdict"] == done.stdout.splitlines()[0]
    missing = lvlm_ad_command("study", "show", str(tmp_path))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "There is no study in" in missing.stderr
