"""Measure what asking costs beside the endpoint's own time: wall and CPU seconds against a stub endpoint.

Compares lvlm-ad with the plain openai client and with inspect-ai, each in a process of its own:

    python benchmarks/endpoint_overhead.py --inspect OTHER_ENVIRONMENT/bin/python

inspect-ai has an environment of its own (``pip install inspect-ai openai``); without ``--inspect`` it is left out. The
clock runs while the questions are asked, one picture each: not during imports and one question to warm up. lvlm-ad
stores each answer durably meanwhile, inspect-ai writes its log without pictures, the plain client keeps nothing.
Absolute times depend on the machine; the ratios at the end are the result.
"""
# ruff: noqa: PLC0415 - a caller's packages exist in its own environment only

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from process import cpu_seconds, run_json, versions
from stub_endpoint import serving

SIDE = 483
"""Side of a picture, pixels: 0.7 MB as PNG."""
LATENCY, LIMIT = 0.2, 32
"""Seconds that the endpoint takes for an answer, and questions that it answers at once."""
QUESTION = "Which of the numbered regions look anomalous? Answer with one score for the image and one for each region."

Ask = Callable[[], int]
"""Ask everything and return the number of answers."""


@dataclass(frozen=True)
class Job:
    """What a caller gets."""

    caller: str  # a package in ``CALLERS``
    url: str  # the endpoint
    pictures: str  # folder of PNG files, one question each
    in_flight: int  # questions under way at once, at first
    folder: str  # an empty folder for what the caller keeps

    def paths(self) -> list[Path]:
        """Return the pictures."""
        return sorted(Path(self.pictures).iterdir())


def _arguments_of(picture: bytes) -> dict[str, Any]:
    """Return the arguments of chat.completions.create as the client's tutorials write them."""
    import base64

    uri = f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
    content = [
        {"type": "image_url", "image_url": {"url": uri, "detail": "high"}},
        {"type": "text", "text": QUESTION},
    ]
    messages = [{"role": "user", "content": content}]
    return {"model": "stub", "messages": messages, "max_completion_tokens": 1024, "temperature": 0.0}


def openai_client(job: Job) -> Ask:
    """Ask with the plain client, one thread per question under way; keep nothing."""
    from concurrent.futures import ThreadPoolExecutor

    from openai import OpenAI

    client = OpenAI(base_url=job.url, max_retries=0)
    pictures = [path.read_bytes() for path in job.paths()]

    def one(picture: bytes) -> Any:
        return client.chat.completions.create(**_arguments_of(picture)).choices[0].message.content

    def ask() -> int:
        with ThreadPoolExecutor(job.in_flight) as pool:
            return sum(map(bool, pool.map(one, pictures)))

    one(pictures[0])
    return ask


def inspect_ai(job: Job) -> Ask:
    """Run ``eval`` on a task of one sample per picture and one ``generate()``."""
    from inspect_ai import Task, eval  # type: ignore[import-not-found] # noqa: A004 - its name
    from inspect_ai.dataset import MemoryDataset, Sample  # type: ignore[import-not-found]
    from inspect_ai.model import (  # type: ignore[import-not-found]
        ChatMessageUser,
        ContentImage,
        ContentText,
        GenerateConfig,
    )
    from inspect_ai.solver import generate  # type: ignore[import-not-found]

    def sample(path: Path) -> Any:
        content = [ContentImage(image=str(path), detail="high"), ContentText(text=QUESTION)]
        return Sample(id=path.stem, input=[ChatMessageUser(content=content)])

    def run(paths: list[Path]) -> int:
        config = GenerateConfig(max_tokens=1024, temperature=0.0)
        (log,) = eval(
            Task(MemoryDataset([sample(path) for path in paths]), solver=generate(), config=config),
            model="openai/stub",
            model_base_url=job.url,
            model_args={"responses_api": False},
            max_connections=job.in_flight,
            log_dir=job.folder,
            log_images=False,
            display="none",
        )
        return sum(bool(sample.output.completion) for sample in log.samples or [])

    run(job.paths()[:1])
    return lambda: run(job.paths())


def lvlm_ad(job: Job) -> Ask:
    """Ask as a bench does; every answer is stored durably before it is used."""
    from concurrent.futures import ThreadPoolExecutor
    from hashlib import sha256

    from lvlm_ad.asking import AnswerStore, Asker, Budget, Locks
    from lvlm_ad.backend import Picture, Request
    from lvlm_ad.plugins import build, find_model
    from lvlm_ad.store import open_answers

    model, _ = find_model("openai", {"model": "stub", "base_url": job.url})
    backend = build(model)
    pictures = [path.read_bytes() for path in job.paths()]
    requests = [Request((Picture(data, "image/png", sha256(data).hexdigest()),), QUESTION) for data in pictures]
    database = open_answers(Path(job.folder) / "answers.sqlite")
    store, locks = AnswerStore(database), Locks(database)
    asker = Asker(backend, store, model.preset.price, Budget(None), concurrency=job.in_flight, locks=locks)

    def ask() -> int:
        with ThreadPoolExecutor(asker.workers) as pool:
            return sum(bool(asked.answer.text) for asked in pool.map(asker.ask, requests))

    backend.answer(requests[0])
    return ask


CALLERS: dict[str, Callable[[Job], Ask]] = {
    "openai": openai_client,
    "inspect-ai": inspect_ai,
    "lvlm-ad": lvlm_ad,
}
"""Package -> caller."""


def run_caller(job: Job) -> dict[str, Any]:
    """Be one caller: prepare, ask, and return what it took and what the endpoint counted."""
    ask = CALLERS[job.caller](job)
    _stats(job.url)
    cpu, start = cpu_seconds(), perf_counter()
    answers = ask()
    wall = perf_counter() - start
    cpu = cpu_seconds() - cpu
    installed = versions(job.caller, "openai")
    return {"wall": wall, "cpu": cpu, "answers": answers, "versions": installed, "endpoint": _stats(job.url)}


def _stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:  # noqa: S310 - our own endpoint
        return dict(json.load(reply))


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    caller: str  # a package in ``CALLERS``
    in_flight: int = LIMIT  # questions under way at once, at first
    latency: float = LATENCY  # of the endpoint, seconds

    def __str__(self) -> str:
        """Return its name in the table."""
        start = "" if self.in_flight == LIMIT else f", starts at {self.in_flight}"
        return f"{self.caller}{start}{'' if self.latency else ', no latency'}"


OPENAI, INSPECT, OURS = Row("openai"), Row("inspect-ai"), Row("lvlm-ad")
OPENAI_AT_ONCE, OURS_AT_ONCE = Row("openai", latency=0.0), Row("lvlm-ad", latency=0.0)
ROWS = (OPENAI, INSPECT, OURS, Row("lvlm-ad", in_flight=LIMIT // 2), OPENAI_AT_ONCE, OURS_AT_ONCE)
RATIOS = ((OURS, OPENAI), (INSPECT, OURS), (OURS_AT_ONCE, OPENAI_AT_ONCE))

Results = dict[Row, list[dict[str, Any]]]
"""Results of ``run_caller``, one per round."""


def make_pictures(folder: Path, count: int) -> None:
    """Write PNG files of random pixels, which do not compress."""
    from PIL import Image

    draw = random.Random(0)  # noqa: S311 - noise, no secret
    for index in range(count):
        picture = Image.frombytes("RGB", (SIDE, SIDE), draw.randbytes(3 * SIDE * SIDE))
        picture.save(folder / f"{index:05}.png", compress_level=1)


def measure(row: Row, args: argparse.Namespace, pictures: str) -> dict[str, Any]:
    """Run a row's caller once.

    Raises:
        SystemExit: the caller failed, or not every question was answered.
    """
    python = args.inspect if row.caller == "inspect-ai" else sys.executable
    with tempfile.TemporaryDirectory() as folder, serving(row.latency, LIMIT) as url:
        job = json.dumps(asdict(Job(row.caller, url, pictures, row.in_flight, folder)))
        run = run_json(python, __file__, "--job", job, OPENAI_API_KEY="none", NO_PROXY="127.0.0.1")
    if run["answers"] != args.pictures:
        sys.exit(f"{row}: {run['answers']} of {args.pictures} questions were answered.")
    return run


def print_results(results: Results, pictures: int) -> None:
    """Print the table and the ratios."""
    print({name: number for runs in results.values() for name, number in runs[0]["versions"].items()})
    print(f"\n{'median':30} {'wall s':>7} {'CPU s':>7} {'peak':>5} {'429':>5}")
    for row, runs in results.items():
        wall, cpu = (statistics.median(run[key] for run in runs) for key in ("wall", "cpu"))
        peak, turned_away = (max(run["endpoint"][key] for run in runs) for key in ("peak", "turned_away"))
        print(f"{row!s:30} {wall:7.2f} {cpu:7.2f} {peak:5} {turned_away:5}")
    server = max(run["endpoint"]["cpu"] / run["wall"] for runs in results.values() for run in runs)
    print(f"The endpoint used at most {server:.0%} of one core.\n")
    print(f"{'ratio':50} {'median':>6} {'least':>6} {'most':>6}")
    for over, under in RATIOS:
        if over in results:
            for key in ("wall", "cpu"):
                rounds = zip(results[over], results[under], strict=True)
                print_ratio(f"{key}: {over} / {under}", [one[key] / other[key] for one, other in rounds])
    # What the endpoint alone needs when it is always full.
    ideal = math.ceil(pictures / LIMIT) * LATENCY
    for row, runs in results.items():
        if row.latency:
            print_ratio(f"wall: {row} / ideal", [run["wall"] / ideal for run in runs])


def print_ratio(name: str, rounds: list[float]) -> None:
    """Print median, least and most of a ratio."""
    print(f"{name:50} {statistics.median(rounds):6.2f} {min(rounds):6.2f} {max(rounds):6.2f}")


def main() -> None:
    """Measure all callers and print the results, or be one caller."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inspect", metavar="PYTHON", help="Python of an environment with inspect-ai")
    parser.add_argument("--pictures", type=int, default=300, help="questions, a picture each")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians are printed")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(run_caller(Job(**json.loads(args.job)))))
        return
    results: Results = {row: [] for row in ROWS if args.inspect or row != INSPECT}
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), args.pictures)
        # Round by round, so that other work on the machine affects all callers alike.
        for number in range(args.repeat):
            for row, runs in results.items():
                print(f"round {number + 1} of {args.repeat}: {row}", file=sys.stderr)
                runs.append(measure(row, args, folder))
    print_results(results, args.pictures)


if __name__ == "__main__":
    main()
