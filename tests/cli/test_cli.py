import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_page_about_the_command_line_is_true():
    """docs/cli.md is what the command line says of itself."""
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "docs" / "make_cli.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bench", "--model", "contrst"], "Did you mean 'contrast'"),
        (["bench", "--dataset", "mvtek", "--data", "."], "Did you mean 'mvtec'"),
        (["bench", "--division", "supperpixel"], "Did you mean 'superpixel'"),
        (["bench", "--prompt", "clas"], "Did you mean 'class'"),
        (["bench", "--protocol", "papper"], "Did you mean 'paper'"),
        (["bench", "--set", "n_segment=3"], "Did you mean 'n_segments'"),
        (["bench", "--set", "nonsense"], "KEY=VALUE"),
        (["bench", "--set", "api_key=sk-1"], "environment variable"),
        (["bench", "--dataset", "mvtec"], "mvtec"),
        (["bench", "--data", "nowhere"], "nowhere"),
        (["bench", "--model", "gpt-4v"], "OPENAI_API_KEY"),
        (["bench", "--model", "gpt-4v", "--set", "base_url=http://127.0.0.1:9/v1", "--max-cost", "1"], "price"),
        (["bench", "--concurrency", "0"], "--concurrency"),
        (["bench", "--modle", "x"], "--model"),
        (["leaderboard", "nowhere"], "no folder nowhere"),
        (["leaderboard", "."], "There is no run in .;"),
        (["ask", "nothing.png", "--model", "contrast"], "nothing.png"),
        (["data", "info", "--data", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_bad_usage_is_one_clear_line(lvlm_ad_command, arguments, says):
    """Exit status 2, a message that says what to do, no traceback, nothing on stdout."""
    done = lvlm_ad_command(*arguments)
    assert done.returncode == 2, done.stderr
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_offline_rows_frame_the_table(lvlm_ad_command, small_data):
    """The oracle is at the top; --json prints one object on stdout; the files are there; the leaderboard reads them."""
    done = lvlm_ad_command("bench", "--data", small_data, "--json")
    assert done.returncode == 0, done.stderr
    runs = {run["model"]: run for run in json.loads(done.stdout)["runs"]}
    assert list(runs) == ["contrast", "contrast (dense)", "chance", "oracle"]
    assert runs["oracle"]["metrics"]["mean"]["image_auroc"] == 1.0
    assert runs["oracle"]["metrics"]["mean"]["pixel_auroc"] == max(
        r["metrics"]["mean"]["pixel_auroc"] for r in runs.values()
    )
    for run in runs.values():
        names = {path.name for path in Path(run["dir"]).iterdir()}
        assert names == {"run.json", "predictions.jsonl", "metrics.json", "pixels.npz"}
        manifest = json.loads((Path(run["dir"]) / "run.json").read_text())
        assert manifest["versions"]["lvlm-ad"]
    divisions = {
        json.loads((Path(runs[m]["dir"]) / "run.json").read_text())["division"]["hash"] for m in ("chance", "oracle")
    }
    assert len(divisions) == 1
    for form in ("table", "md", "csv", "json", "tex"):
        written = lvlm_ad_command("leaderboard", "--format", form)
        assert written.returncode == 0
        assert "oracle" in written.stdout
        to_file = lvlm_ad_command("leaderboard", "--format", form, "-o", f"board.{form}")
        assert (to_file.returncode, to_file.stdout) == (0, "")
        assert Path(f"board.{form}").read_text() == written.stdout


def test_a_second_run_divides_nothing(lvlm_ad_command, small_data):
    """Divisions are computed once and reused by another model and a later run; another division is computed anew."""
    first = lvlm_ad_command("bench", "--data", small_data, "--model", "chance", "--no-frame")
    again = lvlm_ad_command("bench", "--data", small_data, "--model", "oracle", "--no-frame")
    other = lvlm_ad_command("bench", "--data", small_data, "--model", "oracle", "--no-frame", "--division", "grid")
    assert "dividing: 12\n" in first.stderr
    assert "dividing: 12 (12 stored)" in again.stderr
    assert "dividing: 12\n" in other.stderr
    board = json.loads(lvlm_ad_command("leaderboard", "--format", "json").stdout)
    assert len(board["groups"]) == 2


def test_the_same_command_gives_the_same_numbers(lvlm_ad_command, small_data):
    """Two runs of the offline rows are equal to the last digit, in the same folders."""
    runs = [json.loads(lvlm_ad_command("bench", "--data", small_data, "--json").stdout)["runs"] for _ in range(2)]
    for run in (*runs[0], *runs[1]):
        run["metrics"].pop("usage")
    assert runs[0] == runs[1]


def test_data_without_masks_has_no_pixel_metrics(lvlm_ad_command, small_data):
    """Without masks the pixel metrics are null with the reason, and the rest works."""
    import shutil

    for category in ("bolt", "nut1"):
        shutil.rmtree(small_data / category / "ground_truth")
    done = lvlm_ad_command("bench", "--data", small_data, "--model", "chance", "--no-frame", "--json")
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    bolt = run["metrics"]["categories"]["bolt"]
    assert bolt["pixel_auroc"] is None
    assert "no ground-truth mask" in bolt["undefined"]["pixel_auroc"]
    assert "no ground-truth mask" in run["metrics"]["mean"]["undefined"]["pixel_auroc"]
    assert bolt["image_auroc"] is not None


def test_ask_writes_one_picture(lvlm_ad_command, small_data):
    """One image, one model: scores on stderr or as JSON, and a PNG with image, marks, answer and map."""
    image = small_data / "bolt" / "test" / "hole" / "001.png"
    done = lvlm_ad_command("ask", image, "--model", "contrast", "--json")
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout)
    assert 0 <= asked["image_score"] <= 1
    with Image.open(asked["picture"]) as picture:
        assert picture.width > 3 * picture.height
        assert np.asarray(picture).std() > 20
    oracle = lvlm_ad_command("ask", image, "--model", "oracle")
    assert oracle.returncode == 2
    assert "ground truth" in oracle.stderr


def test_regions_shows_a_division(lvlm_ad_command, small_data):
    """A marked picture of the protocol's size, and how many regions; the same division as a bench would make."""
    image = small_data / "bolt" / "test" / "good" / "000.png"
    done = lvlm_ad_command(
        "regions", image, "--division", "grid", "--set", "image_size=96", "--set", "min_area=0", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["picture"] == "000-regions.png"
    with Image.open(small_data.parent / found["picture"]) as picture:
        assert picture.size == (96, 96)
    assert found["count"] > 1
    done = lvlm_ad_command("regions", image, "-o", "deep/er/a.png")
    assert done.returncode == 0
    assert (small_data.parent / "deep" / "er" / "a.png").is_file()
    done = lvlm_ad_command("regions", image, "-o", "a.txt")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "a.txt names no kind of picture" in done.stderr
    done = lvlm_ad_command("regions", "nowhere.png")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_ask_asks_a_chat_model_as_a_bench_would(lvlm_ad_command, small_data, endpoint):
    """The question does not name the product unless --category does; the answer is stored and not asked again."""
    image = small_data / "bolt" / "test" / "hole" / "001.png"
    ask = ("ask", image, "--model", "gpt-4v", "--set", f"base_url={endpoint.url}")
    for more in ((), (), ("--category", "metal_nut")):
        assert lvlm_ad_command(*ask, *more).returncode == 0
    texts = [body["messages"][0]["content"][-1]["text"] for body in endpoint.asked]
    assert ["metal nut" in text for text in texts] == [False, True]


def test_models_say_whether_they_can_run(lvlm_ad_command):
    """Each preset and plugin is listed, ready or with the reason why not."""
    listed = {model["name"]: model for model in json.loads(lvlm_ad_command("models", "--json").stdout)["models"]}
    assert listed["contrast"]["ready"]
    assert not listed["gpt-4v"]["ready"]
    assert "OPENAI_API_KEY" in listed["gpt-4v"]["why_not"]
    assert "gpt-4v" in lvlm_ad_command("models").stdout
    ready = json.loads(lvlm_ad_command("models", "--json", env={"OPENAI_API_KEY": "sk-x"}).stdout)["models"]
    assert next(model for model in ready if model["name"] == "gpt-4v")["ready"]


def test_data_commands(lvlm_ad_command, small_data):
    """The command info counts; check reads everything and reports all problems with exit status 2."""
    info = json.loads(lvlm_ad_command("data", "info", "--data", small_data, "--json").stdout)
    assert (info["images"], [category["good"] for category in info["categories"]]) == (12, [3, 3])
    assert lvlm_ad_command("data", "check", "--data", small_data).returncode == 0
    (small_data / "bolt" / "test" / "hole" / "000.png").write_bytes(b"no image")
    (small_data / "nut1" / "ground_truth" / "hole" / "002_mask.png").write_bytes(b"no mask")
    checked = lvlm_ad_command("data", "check", "--data", small_data, "--json")
    assert checked.returncode == 2
    errors = [p for p in json.loads(checked.stdout)["problems"] if p["severity"] == "error"]
    assert len(errors) == 2
    bench = lvlm_ad_command("bench", "--data", small_data)
    assert bench.returncode == 2
    assert "1 more cannot be used" in bench.stderr


def test_ctrl_c_keeps_what_was_answered(small_data, endpoint, tmp_path):
    """Interrupted, it ends with 130, waits for the answers under way, and goes on from there."""
    started = threading.Event()

    def slowly(_body):
        if len(endpoint.asked) > 3:
            started.set()
            time.sleep(0.5)
        return "image anomaly score: 0.5."

    endpoint.reply = slowly
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4v", "--no-frame", "--data", str(small_data)),
        *("--set", f"base_url={endpoint.url}", "--concurrency", "2", "--out", str(tmp_path / "out")),
    ]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": "sk-x"},
        # A test run that was itself started in the background may pass on an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread locks here
    )
    assert started.wait(timeout=120)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    before = len(endpoint.asked)
    assert before < 12
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert len(endpoint.asked) == 12


def test_file_names_and_markup_are_shown_as_text(lvlm_ad_command, tmp_path):
    """Names with brackets, newlines and escapes are neither markup nor terminal commands."""
    root = tmp_path / "[red]odd\x1b[31m\nname"
    root.mkdir()
    done = lvlm_ad_command("data", "info", "--data", root)
    assert done.returncode == 2
    assert "[red]odd" in done.stderr
    assert "\x1b" not in done.stderr


def test_the_real_tiles(lvlm_ad_command, shared):
    """On real photographs of magnetic tiles the rows come in the right order."""
    done = lvlm_ad_command(
        *(
            "bench",
            "--dataset",
            "folder",
            "--data",
            shared / "data",
            "--category",
            "magnetic_tile",
            "--limit",
            24,
            "--json",
        )
    )
    assert done.returncode == 0, done.stderr
    auroc = {run["model"]: run["metrics"]["mean"]["pixel_auroc"] for run in json.loads(done.stdout)["runs"]}
    assert 0.35 < auroc["chance"] < 0.65 < auroc["contrast"] < auroc["oracle"]


def test_no_markdown_in_help(lvlm_ad_command):
    """Every command explains itself, with status 0."""
    for command in ([], ["bench"], ["ask"], ["leaderboard"], ["models"], ["data"], ["data", "check"]):
        done = lvlm_ad_command(*command, "--help")
        assert done.returncode == 0
        assert re.search(r"usage", done.stdout, re.IGNORECASE)
