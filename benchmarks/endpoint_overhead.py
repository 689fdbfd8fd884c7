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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from process import cpu_seconds, run_json, versions
from stub_endpoint import serving

QUESTION = "Which of the numbered regions look anomalous? Answer with one score for the image and one for each region."

Ask = Callable[[], int]
"""Ask everything and return the number of answers."""


@dataclass(frozen=True)
class Job:
    """What a caller gets.

    Attributes:
        caller: a name in ``CALLERS``.
        url: the endpoint.
        pictures: folder of PNG files, one question each.
        in_flight: questions under way at once, at first.
        folder: an empty folder for what the caller keeps.
    """

    caller: str
    url: str
    pictures: str
    in_flight: int
    folder: str

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


def openai_threads(job: Job) -> Ask:
    """Ask with the plain client, one thread per question under way."""
    from concurrent.futures import ThreadPoolExecutor

    from openai import OpenAI

    client = OpenAI(base_url=job.url, max_retries=0)
    pictures = [path.read_bytes() for path in job.paths()]

    def one(picture: bytes) -> str | None:
        text: str | None = client.chat.completions.create(**_arguments_of(picture)).choices[0].message.content
        return text

    def ask() -> int:
        with ThreadPoolExecutor(job.in_flight) as pool:
            return sum(map(bool, pool.map(one, pictures)))

    one(pictures[0])
    return ask


def openai_asyncio(job: Job) -> Ask:
    """Ask with the plain asynchronous client and a semaphore."""
    import asyncio

    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=job.url, max_retries=0)
    pictures = [path.read_bytes() for path in job.paths()]
    places = asyncio.Semaphore(job.in_flight)
    runner = asyncio.Runner()

    async def one(picture: bytes) -> str | None:
        async with places:
            completion = await client.chat.completions.create(**_arguments_of(picture))
        text: str | None = completion.choices[0].message.content
        return text

    async def everything() -> int:
        return sum(map(bool, await asyncio.gather(*map(one, pictures))))

    runner.run(one(pictures[0]))
    return lambda: runner.run(everything())


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
    caller.__name__: caller for caller in (openai_threads, openai_asyncio, inspect_ai, lvlm_ad)
}
PACKAGES = {"openai_threads": "openai", "openai_asyncio": "openai", "inspect_ai": "inspect_ai", "lvlm_ad": "lvlm-ad"}


def run_caller(job: Job) -> dict[str, Any]:
    """Be one caller: prepare, ask, and return what it took and what the endpoint counted."""
    ask = CALLERS[job.caller](job)
    _stats(job.url)
    cpu, start = cpu_seconds(), perf_counter()
    answers = ask()
    wall = perf_counter() - start
    cpu = cpu_seconds() - cpu
    installed = versions(PACKAGES[job.caller], "openai")
    return {"wall": wall, "cpu": cpu, "answers": answers, "versions": installed, "endpoint": _stats(job.url)}


def _stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:  # noqa: S310 - our own endpoint
        return dict(json.load(reply))


@dataclass
class Row:
    """One line of the table.

    Attributes:
        name: its name.
        caller: a name in ``CALLERS``.
        in_flight: questions under way at once, at first.
        latency: of the endpoint, seconds.
        runs: results of ``run_caller``, one per round.
    """

    name: str
    caller: str
    in_flight: int
    latency: float
    runs: list[dict[str, Any]] = field(default_factory=list)

    def median(self, key: str) -> float:
        """Return the median of "wall" or "cpu" in seconds."""
        return statistics.median(float(run[key]) for run in self.runs)

    def highest(self, key: str) -> int:
        """Return the highest of the endpoint's counts."""
        return max(int(run["endpoint"][key]) for run in self.runs)


PAIRS = (
    ("lvlm_ad", "openai_threads"),
    ("lvlm_ad", "openai_asyncio"),
    ("inspect_ai", "lvlm_ad"),
    ("lvlm_ad, no latency", "openai_threads, no latency"),
    ("lvlm_ad, no latency", "openai_asyncio, no latency"),
)
"""Rows of which the first is divided by the second."""


def plan(args: argparse.Namespace) -> list[Row]:
    """Return the rows to measure."""
    callers = [caller for caller in CALLERS if args.inspect or caller != "inspect_ai"]
    half = max(1, args.limit // 2)
    return [
        *(Row(caller, caller, args.limit, args.latency) for caller in callers),
        Row(f"lvlm_ad, starts at {half}", "lvlm_ad", half, args.latency),
        *(Row(f"{caller}, no latency", caller, args.limit, 0.0) for caller in callers if caller != "inspect_ai"),
    ]


def make_pictures(folder: Path, count: int, kilobytes: float) -> None:
    """Write PNG files of random pixels, about ``kilobytes`` each."""
    from PIL import Image

    side = max(1, math.isqrt(int(kilobytes * 1000 / 3)))
    draw = random.Random(0)  # noqa: S311 - noise, no secret
    for index in range(count):
        picture = Image.frombytes("RGB", (side, side), draw.randbytes(3 * side * side))
        picture.save(folder / f"{index:05}.png", compress_level=1)


def measure(row: Row, args: argparse.Namespace, pictures: str) -> None:
    """Run a row's caller once.

    Raises:
        SystemExit: the caller failed, or not every question was answered.
    """
    python = args.inspect if row.caller == "inspect_ai" else sys.executable
    with tempfile.TemporaryDirectory() as folder, serving(row.latency, args.limit) as url:
        job = json.dumps(asdict(Job(row.caller, url, pictures, row.in_flight, folder)))
        run = run_json(python, __file__, "--job", job, OPENAI_API_KEY="none", NO_PROXY="127.0.0.1")
    if run["answers"] != args.pictures:
        sys.exit(f"{row.name}: {run['answers']} of {args.pictures} questions were answered.")
    row.runs.append(run)


def print_results(rows: list[Row], args: argparse.Namespace) -> None:
    """Print the table and the ratios."""
    installed = {name: number for row in rows for run in row.runs for name, number in run["versions"].items()}
    print(f"{args.pictures} questions, {args.kilobytes:g} kB a picture, {args.limit} at once, median of {args.repeat}")
    print(", ".join(f"{name} {number}" for name, number in sorted(installed.items())))
    print(f"\n{'caller':30} {'wall s':>7} {'CPU s':>7} {'CPU ms/question':>15} {'peak':>5} {'429':>5}")
    for row in rows:
        wall, cpu = row.median("wall"), row.median("cpu")
        counts = f"{row.highest('peak'):5} {row.highest('turned_away'):5}"
        print(f"{row.name:30} {wall:7.2f} {cpu:7.2f} {1000 * cpu / args.pictures:15.1f} {counts}")
    server = max(run["endpoint"]["cpu"] / run["wall"] for row in rows for run in row.runs)
    print(f"The endpoint used at most {server:.0%} of one core.\n")
    print(f"{'ratio':60} {'median':>6} {'least':>6} {'most':>6}")
    named = {row.name: row for row in rows}
    for over, under in PAIRS:
        if over in named and under in named:
            for key in ("wall", "cpu"):
                pairs = zip(named[over].runs, named[under].runs, strict=True)
                print_ratio(f"{key}: {over} / {under}", [one[key] / other[key] for one, other in pairs])
    # What the endpoint alone needs when it is always full.
    ideal = math.ceil(args.pictures / args.limit) * args.latency
    for row in rows:
        if row.latency:
            print_ratio(f"wall: {row.name} / ideal", [run["wall"] / ideal for run in row.runs])


def print_ratio(name: str, rounds: list[float]) -> None:
    """Print median, least and most of a ratio."""
    print(f"{name:60} {statistics.median(rounds):6.2f} {min(rounds):6.2f} {max(rounds):6.2f}")


def main() -> None:
    """Measure all callers and print the results, or be one caller."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inspect", metavar="PYTHON", help="Python of an environment with inspect-ai")
    parser.add_argument("--pictures", type=int, default=300, help="questions, a picture each")
    parser.add_argument("--kilobytes", type=float, default=700.0, help="size of a picture")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds that the endpoint takes for an answer")
    parser.add_argument("--limit", type=int, default=32, help="questions that the endpoint answers at once")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians are printed")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        print(json.dumps(run_caller(Job(**json.loads(args.job)))))
        return
    rows = plan(args)
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), args.pictures, args.kilobytes)
        # Round by round, so that other work on the machine affects all callers alike.
        for number in range(args.repeat):
            for row in rows:
                print(f"round {number + 1} of {args.repeat}: {row.name}", file=sys.stderr)
                measure(row, args, folder)
    print_results(rows, args)


if __name__ == "__main__":
    main()
