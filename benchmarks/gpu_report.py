"""Run everything that a GPU is needed for, and print the figures as a table and as JSON; ``gpu.sh`` starts it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GOALS = {"plain": 4.0, "waiting": 0.05, "offline": 0.95}
"""Times the plain loop; share of the time in which the GPU waits; times vLLM's own offline throughput."""


@dataclass
class Step:
    """A command that takes at most ``seconds``; ``read`` makes figures of its stdout."""

    name: str
    command: Sequence[object]
    seconds: float
    read: Callable[[str], dict[str, Any]]
    missing: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def run(self, left: float) -> None:
        """Run it, unless something is missing; ``left`` is the time for everything that remains."""
        if self.missing or left < 1:
            self.figures = {"not run": self.missing or "no time was left"}
            return
        print(f"{self.name} ...", file=sys.stderr, flush=True)
        began = time.perf_counter()
        status, out, err = run([str(part) for part in self.command], min(self.seconds, left))
        try:
            self.figures = self.read(out)
        except (ValueError, IndexError, KeyError):
            self.figures = {}
        if status != 0:
            self.figures["problem"] = f"status {status}: " + " ".join((err.strip() or out.strip())[-600:].split())
        self.figures["seconds"] = round(time.perf_counter() - began, 1)


def run(command: list[str], seconds: float) -> tuple[int | str, str, str]:
    """Run a command in a session of its own; return its status, stdout and stderr. All of it ends with the time."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE.parent, start_new_session=True
    )
    try:
        out, err = child.communicate(timeout=seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        os.killpg(child.pid, signal.SIGTERM)
        time.sleep(1)
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"(stopped after {seconds:.0f} s)", out, err
    return child.returncode, out, err


def last_json(out: str) -> dict[str, Any]:
    """Read the JSON object on the last line."""
    return dict(json.loads(out.splitlines()[-1]))


def counts(out: str) -> dict[str, Any]:
    """Read pytest's last line, such as "2 passed, 1 skipped, 40 deselected in 9.00s"."""
    return {outcome: int(number) for number, outcome in re.findall(r"(\d+) (passed|failed|skipped|error)", out[-200:])}


def table(steps: Sequence[Step], device: str, *, small: bool) -> str:
    """Write what was measured as Markdown, each goal with whether it is met."""
    tests, local, winclip, vllm = (step.figures for step in steps)
    outcomes = [f"{tests[name]} {name}" for name in ("passed", "failed", "error", "skipped") if name in tests]
    rows = [("tests marked gpu", ", ".join(outcomes), "")] if outcomes else []
    if "backend" in local:
        plain, ours = local["plain loop"], local["backend"]
        rows += [
            ("transformers, plain loop", speed(plain), ""),
            ("backend transformers", f"{speed(ours)}, batches of {ours['batch']:.0f}", ""),
            ("against the plain loop", f"{local['ratio']:.2f} x", met(local["ratio"] >= GOALS["plain"], ">= 4 x")),
            ("the GPU waits", f"{ours['waiting']:.1%} of the time", met(ours["waiting"] < GOALS["waiting"], "< 5 %")),
            ("slower than batches prepared beforehand", f"{ours['slowed']:.1%}", ""),
        ]
    if "bfloat16" in winclip:
        rows += [
            *((f"WinCLIP, {dtype}", speed(winclip[dtype]), "") for dtype in ("float32", "bfloat16")),
            ("WinCLIP, bfloat16 against float32", f"{winclip['ratio']:.2f} x", ""),
            ("rank correlation of the two maps", f"{winclip['rank correlation of the maps']:.4f}", ""),
        ]
    if "offline" in vllm:
        rows += [
            ("vLLM, LLM.chat in one call", speed(vllm["offline"]), ""),
            ("backend vllm", speed(vllm["backend"]), ""),
            ("against LLM.chat", f"{vllm['ratio']:.2f} x", met(vllm["ratio"] >= GOALS["offline"], ">= 0.95 x")),
        ]
        if "plain loop" in local:
            times = vllm["backend"]["images_per_second"] / local["plain loop"]["images_per_second"]
            rows.append(("backend vllm against the plain loop", f"{times:.2f} x", ""))
    problems = [(step, what) for step in steps for what in ("not run", "problem") if what in step.figures]
    rows += [(step.name, f"{what}: {step.figures[what]}", "") for step, what in problems]
    lines = [f"| {what} | {found} | {goal and 'not judged' if small else goal} |" for what, found, goal in rows]
    small_run = "\nThis was the small run on the CPU: it shows that everything works, and says nothing about a GPU.\n"
    return "\n".join(
        [f"## {device}", *([small_run] if small else [""]), "| | measured | goal |", "|---|---|---|", *lines, ""]
    )


def speed(figures: dict[str, Any]) -> str:
    """Write images a second, and tokens a second and memory where they are known."""
    parts = [f"{figures['images_per_second']:.2f} images/s"]
    if "tokens_per_second" in figures:
        parts.append(f"{figures['tokens_per_second']:.0f} tokens/s")
    if figures.get("memory_gb"):
        parts.append(f"{figures['memory_gb']:.1f} GB")
    return ", ".join(parts)


def met(reached: bool, goal: str) -> str:  # noqa: FBT001 - reads as a sentence
    """Write whether a goal was reached."""
    return f"{goal}: {'met' if reached else 'MISSED'}"


def missing(*names: str) -> str:
    """Say which packages are missing; empty if none."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed" if absent else ""


def main() -> None:
    """Run the steps within the time and print table and JSON; the status is 1 if a step failed."""
    import torch  # noqa: PLC0415 - after nothing else can fail

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="tiny models on the CPU: shows that everything works")
    parser.add_argument("--vllm", default="", help="the program vllm; without one that part is left out")
    parser.add_argument("--minutes", type=float, default=10.0, help="time for everything")
    args = parser.parse_args()
    if not args.small and not torch.cuda.is_available():
        sys.exit("There is no NVIDIA GPU here that torch can use: nothing was measured. --small tries everything.")
    deadline = time.monotonic() + 60 * args.minutes
    small = ["--small"] if args.small else []
    python = sys.executable
    tests = [file for file in sorted(HERE.parent.glob("tests/*/test_*.py")) if "mark.gpu" in file.read_text("utf-8")]
    with tempfile.TemporaryDirectory() as work:
        model = ["--model", work]
        steps = [
            Step(
                "tests marked gpu",
                [python, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *tests],
                150,
                counts,
                "there is no GPU" if args.small else missing("pytest", "hypothesis", "accelerate", "open_clip"),
            ),
            Step(
                "transformers",
                [python, HERE / "local_throughput.py", *model, *small],
                330,
                last_json,
                missing("accelerate", "torchvision"),
            ),
            Step("WinCLIP", [python, HERE / "winclip_gpu.py", *small], 90, last_json, missing("open_clip")),
            Step(
                "vLLM",
                [python, HERE / "vllm_throughput.py", "--vllm", args.vllm, *model, *small],
                420,
                last_json,
                "" if args.vllm else "no vLLM was found; name its program with --vllm",
            ),
        ]
        for step in steps:
            step.run(deadline - time.monotonic())
    device = "CPU" if args.small else torch.cuda.get_device_name()
    print(table(steps, device, small=args.small))
    print(json.dumps({"device": device, "small": args.small, **{step.name: step.figures for step in steps}}))
    sys.exit(any("problem" in step.figures for step in steps))


if __name__ == "__main__":
    main()
