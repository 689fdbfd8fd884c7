"""Scripts that no test runs."""

import ast
import importlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
LOCAL = ("torch", "torchvision", "transformers", "accelerate", "open_clip")
needs_models = pytest.mark.skipif(
    any(find_spec(name) is None for name in LOCAL), reason="the extras 'local' and 'clip' are not installed"
)
SCRIPTS = sorted([*REPOSITORY.glob("benchmarks/*.py"), *REPOSITORY.glob("docs/*.py")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_import_only_what_exists(script):
    """Every name that a script imports from the package exists, where the extra that it needs is installed."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lvlm_ad"):
            try:
                module = importlib.import_module(node.module)
            except ModuleNotFoundError as error:
                if error.name not in LOCAL:
                    raise
                continue
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def gpu(*arguments):
    """Run gpu.sh with this Python, as a machine without a GPU would; threads that wait for each other take long."""
    return subprocess.run(
        [REPOSITORY / "benchmarks" / "gpu.sh", *arguments],
        env={**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.heavy
@needs_models
def test_the_gpu_script_says_that_there_is_no_gpu():
    """Without a GPU, gpu.sh measures nothing, says why, and fails."""
    done = gpu()
    assert done.returncode == 1, done.stderr
    assert "There is no NVIDIA GPU here that torch can use: nothing was measured." in done.stderr
    assert done.stdout == ""


@pytest.mark.heavy
@needs_models
def test_the_gpu_script_runs_in_small():
    """With tiny models on the CPU, gpu.sh measures both sides of each comparison, and judges no goal."""
    done = gpu("--small")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    local, winclip = figures["transformers"], figures["WinCLIP"]
    speeds = [local["plain loop"], local["backend"], winclip["float32"], winclip["bfloat16"]]
    assert all(side["images_per_second"] > 0 for side in speeds)
    assert local["ratio"] == pytest.approx(speeds[1]["images_per_second"] / speeds[0]["images_per_second"])
    assert 0 <= local["backend"]["waiting"] < 1
    assert winclip["rank correlation of the maps"] > 0.99
    assert "not judged" in done.stdout
    assert "met" not in done.stdout.partition("{")[0]
