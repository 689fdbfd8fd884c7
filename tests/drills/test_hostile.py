"""Harmful answers and data sets: the run ends in time, in bounded memory, with a result or one line."""

import json
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="pipes, links and limits are POSIX's"),
    pytest.mark.slow,
]

MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], timeout=300).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, file=sys.stderr)
sys.exit(status)
"""

TEXTS = {
    "digits": lambda size: "image anomaly score: 0." + "9" * size,
    "words": lambda size: "image anomaly score: 0.5; " + "region 3: 0.5, " * (size // 15),
    "brackets": lambda size: '{"image_anomaly_score": ' + "[" * size,
    "markup": lambda size: "<script>alert(1)</script>\x1b[31m" * (size // 30),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_an_answer_of_50_mb_is_cut_off(kind, endpoint, kept_data, tmp_path):
    """It is stored cut off, counted, shown on a page of bounded size; memory stays below a gigabyte and a half."""
    endpoint.reply = lambda _body: TEXTS[kind](50_000_000)
    bench = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4o", "--set", f"base_url={endpoint.url}"),
        *("--data", str(kept_data), "--limit", "1", "--category", "bolt", "--no-reference-rows", "--division", "grid"),
        *("--set", "image_size=128", "--resamples", "0", "--json", "--out", str(tmp_path / "runs")),
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *bench],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENAI_API_KEY": "sk-x"},
    )
    assert done.returncode in {0, 3}, done.stderr[-2000:]
    assert int(done.stderr.splitlines()[-1]) < 1500
    (run,) = json.loads(done.stdout)["runs"]
    assert run["metrics"]["answers"]["total"] == 1
    assert run["metrics"]["answers"]["ok"] == 0, "what was cut off is no whole answer"
    assert sum(path.stat().st_size for path in (tmp_path / "runs").rglob("*") if path.is_file()) < 20_000_000


@pytest.fixture
def bench(small_data, lvlm_ad_process):
    """Run contrast on the data, in at most 2 GB and two minutes."""

    def run():
        def limited():
            resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))

        return lvlm_ad_process(
            *("bench", "--model", "contrast", "--no-reference-rows", "--resamples", "0", "--division", "grid"),
            *("--data", small_data, "--set", "image_size=128"),
            timeout=120,
            preexec_fn=limited,
        )

    return run


def one_line(done):
    """Check that a command failed with one line of its own, and return it."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("lvlm-ad: ")]
    return line


@pytest.mark.parametrize("size", [(100_000, 1), (1, 100_000)])
def test_an_image_of_a_hundred_thousand_by_one_pixel_is_measured(size, bench, small_data):
    """It is an image like any other: stretched to a square."""
    Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(small_data / "bolt/test/good/long.png")
    done = bench()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("turned", [0, 6, 65535])
def test_an_orientation_that_is_none_harms_nothing(turned, bench, small_data):
    """Orientations that exist turn the picture, others do nothing; a mask of the stored shape is then another size."""
    exif = Image.Exif()
    exif[0x0112] = turned
    exif[0x010F] = "x" * 60_000
    Image.fromarray(np.full((96, 120, 3), 90, np.uint8)).save(small_data / "bolt/test/good/turned.jpg", exif=exif)
    assert bench().returncode == 0


@pytest.mark.parametrize("kind", ["truncated", "bomb", "text", "empty"])
def test_what_is_no_sound_image_is_named(kind, bench, small_data):
    """One line with the file's name, before anything is measured."""
    path = small_data / "bolt/test/good/bad.png"
    if kind == "bomb":
        Image.new("1", (40_000, 40_000)).save(path)
    else:
        whole = (small_data / "bolt/test/good/000.png").read_bytes()
        path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"no image at all", "empty": b""}[kind])
    assert "bad.png" in one_line(bench())


@pytest.mark.parametrize("kind", ["link to a device", "link out", "pipe", "folder", "loop"])
def test_what_a_data_tree_may_hide_is_not_opened(kind, bench, small_data, tmp_path):
    """Links to devices and out of the tree are refused by name; what is no file at all is no image."""
    path = small_data / "bolt/test/good/odd.png"
    if kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "link out":
        shutil.copy(small_data / "bolt/test/good/000.png", tmp_path / "elsewhere.png")
        path.symlink_to(tmp_path / "elsewhere.png")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    done = bench()
    if kind in {"pipe", "folder"}:
        assert done.returncode == 0, done.stderr
    else:
        assert "odd.png" in one_line(done)
