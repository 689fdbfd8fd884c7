"""Run ``lvlm-ad bench`` against a real vLLM server without a GPU, and count statuses, JSON answers and tokens.

Compares the prompts ``class`` and ``json`` on a tiny Qwen2.5-VL of random weights:

    python benchmarks/vllm_cpu.py --vllm VENV/bin/vllm

The table shows that pictures, schema, limits and token counts reach the server and come back; it says nothing about any
model. Random weights answer the default prompt with noise, but vLLM holds answers to ``--prompt json`` to the schema.

vLLM needs an environment of its own, VENV, with a build for CPUs where there is no GPU. The figures in docs/asking.md
were measured with the package ``vllm-cpu`` 0.32.0, which a third party publishes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench_command import make_data

STATUSES = ("ok", "partial", "unparsable", "truncated", "refused", "failed")
PATIENCE = 600.0
"""Seconds to wait for the server to start."""
SERVE = [
    *("--served-model-name", "tiny", "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager"),
    # A question is about 1,100 tokens: 729 for the picture, the rest for the text.
    *("--max-model-len", "8192", "--max-num-seqs", "8"),
    # JSON allows blanks between any two tokens, and random weights may write blanks up to the limit.
    *("--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})),
]


@contextlib.contextmanager
def serving(vllm: Path, model: Path, work: Path) -> Iterator[str]:
    """Serve a model folder under the name "tiny" and yield the address.

    Raises:
        SystemExit: the server does not start; the end of its log is shown.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(os.cpu_count() or 1),
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the default would take half the machine
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
    }
    log = work / "vllm.log"
    command = [str(vllm), "serve", str(model), "--port", str(port), *SERVE]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as server:
        try:
            deadline = time.monotonic() + PATIENCE
            while not answers(f"http://127.0.0.1:{port}/health"):
                if server.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"vLLM did not start:\n{log.read_text(errors='replace')[-3000:]}")
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def answers(url: str) -> bool:
    """Check whether the server answers."""
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
        return True
    return False


def bench(address: str, prompt: str, max_tokens: int, work: Path) -> dict[str, Any]:
    """Run the command with a prompt and return a row of the table.

    Raises:
        SystemExit: the command failed as a whole; its own message is shown.
    """
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4v", "--no-reference-rows", "--prompt", prompt),
        *("--set", f"base_url={address}", "--set", "model=tiny", "--set", f"max_tokens={max_tokens}", "--json"),
        *("--dataset", "folder", "--data", str(work / "data"), "--no-report"),
    ]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in {0, 3}:
        sys.exit(f"lvlm-ad bench ended with status {done.returncode}:\n{done.stderr}")
    (run,) = json.loads(done.stdout)["runs"]
    counts, usage = run["metrics"]["answers"], run["metrics"]["usage"]
    lines = (work / run["dir"] / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        "prompt": prompt,
        "images": counts["total"],
        **{status: counts[status] for status in STATUSES},
        "JSON": sum(is_json(json.loads(line).get("text") or "") for line in lines),
        "tokens in": usage["input_tokens"],
        "tokens out": usage["output_tokens"],
        "seconds": f"{seconds:.1f}",
    }


def is_json(text: str) -> bool:
    """Check whether a text is one JSON object and nothing else."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def main() -> None:
    """Serve, ask with both prompts and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--vllm", type=Path, required=True, help="the executable vllm of its environment")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=1536, help="most tokens of an answer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_data(work / "data", args.images)
        builder = Path(__file__).resolve().parents[1] / "tests" / "tiny_lvlms.py"
        subprocess.run([sys.executable, str(builder), folder, "qwen2_5_vl"], check=True, stderr=subprocess.DEVNULL)
        with serving(args.vllm.absolute(), work / "qwen2_5_vl", work) as address:
            rows = [bench(address, prompt, args.max_tokens, work) for prompt in ("class", "json")]
    for row in [{name: name for name in rows[0]}, *rows]:
        print("  ".join(f"{value!s:>{max(len(name), 7)}}" for name, value in row.items()))
    print("The first row's seconds include dividing the images, and the server's first question.")


if __name__ == "__main__":
    main()
