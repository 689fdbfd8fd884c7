"""What asking costs beside the endpoint's own time: lvlm-ad, the plain openai client and inspect-ai on one stub server.

    python benchmarks/endpoint_overhead.py --inspect OTHER_ENVIRONMENT/bin/python

inspect-ai lives in an environment of its own (``pip install inspect-ai openai``). Each caller asks the same questions,
one picture each, in a fresh process, against a fresh ``stub_endpoint.py`` whose processor time does not count. The
clock runs over the asking alone: after the imports, after one question to warm up, with the pictures in memory
(inspect-ai is given their paths, as its users give them). Ours stores each answer durably in SQLite while the clock
runs; inspect's eval writes its log, by default with the pictures in it ("lean": without); the plain client keeps
nothing. Absolute times say something of the machine; the ratios at the end are the result.
"""
# ruff: noqa: PLC0415 - a caller's packages exist in its own environment only

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

QUESTION = "Which of the numbered regions look anomalous? Answer with one score for the image and one for each region."

Ask = Callable[[], int]
"""Asks everything and returns how many answers came."""


@dataclass(frozen=True)
class Job:
    """What a caller is given.

    Attributes:
        url: the endpoint, version included.
        pictures: PNG files, a question each.
        in_flight: questions under way at once; 0: the caller finds out.
        folder: an empty folder for what it keeps.
    """

    url: str
    pictures: list[Path]
    in_flight: int
    folder: Path


def _body(picture: bytes) -> dict[str, Any]:
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
    """The plain client, one thread a question under way."""
    from concurrent.futures import ThreadPoolExecutor

    from openai import OpenAI

    client = OpenAI(base_url=job.url, max_retries=0)
    pictures = [path.read_bytes() for path in job.pictures]

    def one(picture: bytes) -> str | None:
        text: str | None = client.chat.completions.create(**_body(picture)).choices[0].message.content
        return text

    def ask() -> int:
        with ThreadPoolExecutor(job.in_flight) as pool:
            return sum(map(bool, pool.map(one, pictures)))

    one(pictures[0])
    return ask


def openai_async(job: Job) -> Ask:
    """The plain asynchronous client, a semaphore around it."""
    import asyncio

    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=job.url, max_retries=0)
    pictures = [path.read_bytes() for path in job.pictures]
    places = asyncio.Semaphore(job.in_flight)
    runner = asyncio.Runner()

    async def one(picture: bytes) -> str | None:
        async with places:
            completion = await client.chat.completions.create(**_body(picture))
        text: str | None = completion.choices[0].message.content
        return text

    async def everything() -> int:
        return sum(map(bool, await asyncio.gather(*map(one, pictures))))

    runner.run(one(pictures[0]))
    return lambda: runner.run(everything())


def inspect_eval(job: Job) -> Ask:
    """A task of one sample a picture and one ``generate()``, run by ``eval``; its log holds the pictures."""
    return _eval(job)


def inspect_lean(job: Job) -> Ask:
    """The same without the pictures in the log, which then holds about what our store does."""
    return _eval(job, log_images=False)


def _eval(job: Job, **options: Any) -> Ask:
    from inspect_ai import Task, eval  # type: ignore[import-not-found] # noqa: A004 - its name
    from inspect_ai.dataset import MemoryDataset, Sample  # type: ignore[import-not-found]
    from inspect_ai.model import GenerateConfig  # type: ignore[import-not-found]
    from inspect_ai.solver import generate  # type: ignore[import-not-found]

    # Without max_connections it looks for the endpoint's limit by itself.
    options |= {"max_connections": job.in_flight} if job.in_flight else {}

    def run(pictures: list[Path]) -> int:
        samples = [Sample(id=path.stem, input=[_inspect_message(str(path))]) for path in pictures]
        (log,) = eval(
            Task(MemoryDataset(samples), solver=generate(), config=GenerateConfig(max_tokens=1024, temperature=0.0)),
            model="openai/stub",
            model_base_url=job.url,
            model_args={"responses_api": False},
            log_dir=str(job.folder),
            display="none",
            **options,
        )
        return sum(bool(sample.output.completion) for sample in log.samples or [])

    run(job.pictures[:1])
    return lambda: run(job.pictures)


def inspect_generate(job: Job) -> Ask:
    """inspect-ai's model called directly, without task or log."""
    import asyncio

    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.util import materialize_media  # type: ignore[import-not-found]

    config = GenerateConfig(max_connections=job.in_flight, max_tokens=1024, temperature=0.0)
    model = get_model("openai/stub", base_url=job.url, config=config, responses_api=False)
    runner = asyncio.Runner()

    async def one(path: Path) -> str:
        output = await model.generate([_inspect_message(await materialize_media(str(path)))])
        return str(output.completion)

    async def everything() -> int:
        return sum(map(bool, await asyncio.gather(*map(one, job.pictures))))

    runner.run(one(job.pictures[0]))
    return lambda: runner.run(everything())


def _inspect_message(picture: str) -> Any:
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText

    return ChatMessageUser(content=[ContentImage(image=picture, detail="high"), ContentText(text=QUESTION)])


def lvlm_ad(job: Job) -> Ask:
    """Our caller around our backend; every answer is stored durably before it is used."""
    from concurrent.futures import ThreadPoolExecutor
    from hashlib import sha256

    from lvlm_ad.asking import AnswerStore, Asker, Budget, Locks
    from lvlm_ad.backend import Picture, Request
    from lvlm_ad.plugins import build, find_model
    from lvlm_ad.store import open_answers

    model, _ = find_model("openai", {"model": "stub", "base_url": job.url})
    backend = build(model)
    pictures = [path.read_bytes() for path in job.pictures]
    requests = [Request((Picture(data, "image/png", sha256(data).hexdigest()),), QUESTION) for data in pictures]
    database = open_answers(job.folder / "answers.sqlite")
    store, locks = AnswerStore(database), Locks(database)
    caller = Asker(backend, store, model.preset.price, Budget(None), concurrency=job.in_flight, locks=locks)

    def ask() -> int:
        with ThreadPoolExecutor(caller.workers) as pool:
            return sum(bool(asked.answer.text) for asked in pool.map(caller.ask, requests))

    backend.answer(requests[0])
    return ask


CALLERS: dict[str, Callable[[Job], Ask]] = {
    found.__name__: found
    for found in (openai_threads, openai_async, inspect_eval, inspect_lean, inspect_generate, lvlm_ad)
}
PACKAGES = {"openai": "openai", "inspect": "inspect_ai", "lvlm": "lvlm-ad"}
"""First word of a caller's name -> the package whose version is reported."""
KEPT = {
    "lvlm_ad": "each answer, durably",
    "inspect_eval": "a log with the pictures",
    "inspect_lean": "a log",
}
"""A caller's name -> what it writes while the clock runs."""
PAIRS = (
    ("ours", "openai"),
    ("ours", "openai_async"),
    ("inspect", "ours"),
    ("inspect_lean", "ours"),
    ("inspect_generate", "ours"),
    ("ours_finding", "ours"),
    ("inspect_finding", "ours_finding"),
    ("ours_at_once", "openai_at_once"),
    ("ours_at_once", "openai_async_at_once"),
)
"""Rows of which the first is divided by the second."""


def act(name: str, job: Job) -> dict[str, Any]:
    """Be one caller: prepare, ask under the clock, and return what it took and what the endpoint counted."""
    from importlib.metadata import version

    ask = CALLERS[name](job)
    _stats(job.url, "DELETE")
    cpu, start = _cpu(), perf_counter()
    answers = ask()
    wall = perf_counter() - start
    spent = _cpu() - cpu
    package = PACKAGES[name.partition("_")[0]]
    return {
        "wall": wall,
        "cpu": spent,
        "answers": answers,
        "versions": {package: version(package), "openai": version("openai")},
        "endpoint": _stats(job.url, "GET"),
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _stats(url: str, method: str) -> dict[str, Any]:
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request(method, "/stats")
    found: dict[str, Any] = json.load(connection.getresponse())
    connection.close()
    return found


@dataclass
class Row:
    """One line of the table.

    Attributes:
        key: its name in the claims and in the JSON file.
        label: its name in the table.
        caller: a name in ``CALLERS``.
        in_flight: questions under way at once; 0: the caller finds out.
        latency: of the endpoint, seconds.
        runs: what ``act`` returned, one a repeat.
    """

    key: str
    label: str
    caller: str
    in_flight: int
    latency: float
    runs: list[dict[str, Any]] = field(default_factory=list)

    def median(self, name: str) -> float:
        """Return the median of "wall" or "cpu" in seconds."""
        return statistics.median(float(run[name]) for run in self.runs)

    def most(self, name: str) -> int:
        """Return the largest of the endpoint's counts of this name."""
        return max(int(run["endpoint"][name]) for run in self.runs)


def plan(args: argparse.Namespace) -> list[Row]:
    """Return the rows to measure."""
    full, half, latency = args.limit, max(1, args.limit // 2), args.latency
    rows = [
        Row("openai", "openai, threads", "openai_threads", full, latency),
        Row("openai_async", "openai, asyncio", "openai_async", full, latency),
        Row("inspect", "inspect-ai, eval", "inspect_eval", full, latency),
        Row("inspect_lean", "inspect-ai, eval, lean log", "inspect_lean", full, latency),
        Row("inspect_generate", "inspect-ai, generate", "inspect_generate", full, latency),
        Row("ours", "lvlm-ad", "lvlm_ad", full, latency),
        Row("inspect_finding", "inspect-ai, lean log, no limit given", "inspect_lean", 0, latency),
        Row("ours_finding", f"lvlm-ad, begins at {half}", "lvlm_ad", half, latency),
        Row("openai_at_once", "openai, threads", "openai_threads", full, 0.0),
        Row("openai_async_at_once", "openai, asyncio", "openai_async", full, 0.0),
        Row("ours_at_once", "lvlm-ad", "lvlm_ad", full, 0.0),
    ]
    return [row for row in rows if args.inspect or not row.caller.startswith("inspect")]


def make_pictures(folder: Path, count: int, kilobytes: float) -> None:
    """Write PNG files of random pixels, each another, about ``kilobytes`` large."""
    side = max(1, math.isqrt(int(kilobytes * 1000 / 3)))
    source = random.Random(0)  # noqa: S311 - noise, no secret
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    for index in range(count):
        # Each line of pixels begins with a byte that names its filter: none.
        lines = b"".join(b"\0" + source.randbytes(3 * side) for _ in range(side))
        parts = [(b"IHDR", header), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b"")]
        chunks = [
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in parts
        ]
        (folder / f"{index:05}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@contextmanager
def endpoint(latency: float, limit: int, retry_after: float | None) -> Iterator[str]:
    """Run a stub server and give its address."""
    command = [sys.executable, str(Path(__file__).with_name("stub_endpoint.py"))]
    command += ["--latency", str(latency), "--limit", str(limit)]
    command += [] if retry_after is None else ["--retry-after", str(retry_after)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None  # noqa: S101 - narrows the type
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.kill()


def measure(row: Row, args: argparse.Namespace, pictures: Path) -> None:
    """Run a row's caller once and keep what it says; a failure is reported and the run does not count."""
    python = args.inspect if row.caller.startswith("inspect") else sys.executable
    environment = {**os.environ, "OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1"}
    with (
        tempfile.TemporaryDirectory() as folder,
        endpoint(row.latency, args.limit, args.retry_after) as url,
    ):
        command = [python, str(Path(__file__).resolve()), "--act", row.caller]
        command += [url, str(pictures), str(row.in_flight), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    # Whatever else a caller prints stands before the line with its result.
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"{row.label}: failed with status {done.returncode}: {reason}", file=sys.stderr)
        return
    run = json.loads(lines[-1])
    if run["answers"] != args.pictures:
        print(f"{row.label}: {run['answers']} of {args.pictures} answered; the run does not count", file=sys.stderr)
        return
    row.runs.append(run)


def print_table(rows: list[Row], args: argparse.Namespace) -> None:
    """Print what was measured."""
    versions = {name: number for row in rows for run in row.runs for name, number in run["versions"].items()}
    print(
        f"{args.pictures} questions with a picture of about {args.kilobytes:g} kB each; "
        f"the endpoint takes {args.limit} at once; median of {args.repeat}"
    )
    print(", ".join(f"{name} {number}" for name, number in sorted(versions.items())))
    head = ("caller", "latency", "in flight", "wall s", "CPU s", "CPU ms/q", "wall/ideal", "peak", "429", "keeps")
    form = "{:36} {:>7} {:>9} {:>7} {:>7} {:>8} {:>10} {:>5} {:>4}  {}"
    print("\n" + form.format(*head))
    for row in rows:
        if not row.runs:
            continue
        wall, cpu = row.median("wall"), row.median("cpu")
        cells = (f"{wall:.2f}", f"{cpu:.2f}", f"{1000 * cpu / args.pictures:.1f}", _over_ideal(row, args))
        keeps = KEPT.get(row.caller, "nothing")
        seen = (row.most("peak"), row.most("turned_away"))
        print(form.format(row.label, f"{row.latency:g}", row.in_flight or "-", *cells, *seen, keeps))
    server = max((run["endpoint"]["cpu"] / run["wall"] for row in rows for run in row.runs), default=0.0)
    print(f"The endpoint itself used at most {server:.0%} of one core.\n")


def _over_ideal(row: Row, args: argparse.Namespace) -> str:
    return f"{row.median('wall') / ideal(args):.2f}" if row.latency else "-"


def ideal(args: argparse.Namespace) -> float:
    """Return the seconds that the endpoint alone needs when it is always full."""
    rounds: int = math.ceil(args.pictures / args.limit)
    return rounds * float(args.latency)


def claims(rows: list[Row], args: argparse.Namespace) -> dict[str, list[float]]:
    """Return what the rows show: claim -> the ratio of the medians, then the least and the largest of any round."""
    found = {row.key: row for row in rows if row.runs}
    ratios = {}
    for over, under in PAIRS:
        if over in found and under in found:
            for name in ("wall", "cpu"):
                ours, theirs = found[over], found[under]
                rounds = [mine[name] / other[name] for mine, other in zip(ours.runs, theirs.runs, strict=False)]
                ratios[f"{name} {over}/{under}"] = [ours.median(name) / theirs.median(name), min(rounds), max(rounds)]
    for key, row in found.items():
        if row.latency:
            rounds = [run["wall"] / ideal(args) for run in row.runs]
            ratios[f"wall {key}/ideal"] = [statistics.median(rounds), min(rounds), max(rounds)]
    return ratios


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What asking costs beside the endpoint's own time, against peers.")
    parser.add_argument("--inspect", metavar="PYTHON", help="interpreter of an environment that holds inspect-ai")
    parser.add_argument("--pictures", type=int, default=300, help="questions, a picture each")
    parser.add_argument("--kilobytes", type=float, default=700.0, help="size of a picture")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds that the endpoint takes for an answer")
    parser.add_argument("--limit", type=int, default=32, help="questions that the endpoint takes at once")
    parser.add_argument("--retry-after", type=float, help="seconds that it names when it turns a question away")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each caller, of which the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--act", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if min(args.pictures, args.limit, args.repeat) < 1:
        parser.error("--pictures, --limit and --repeat take 1 or more")
    if args.inspect:
        found = shutil.which(args.inspect)
        if found is None:
            parser.error(f"--inspect: there is no program {args.inspect!r}")
        # Callers run in a folder of their own. Links stay: an environment's interpreter is one.
        args.inspect = str(Path(found).absolute())
    return args


def main() -> None:
    """Measure all callers and print the table, or be one of them."""
    args = _arguments()
    if args.act:
        name, url, pictures, in_flight, folder = args.act
        job = Job(url, sorted(Path(pictures).glob("*.png")), int(in_flight), Path(folder))
        print(json.dumps(act(name, job)))
        return
    rows = plan(args)
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(folder), args.pictures, args.kilobytes)
        # Round by round, so that whatever else the machine does meets all callers alike.
        for number in range(args.repeat):
            for row in rows:
                print(f"round {number + 1} of {args.repeat}: {row.key}", file=sys.stderr)
                measure(row, args, Path(folder))
    print_table(rows, args)
    if not args.inspect:
        print("inspect-ai was skipped: give --inspect PYTHON, where that has inspect-ai and openai.\n")
    ratios = claims(rows, args)
    print(f"{'ratio':40} {'median':>6} {'least':>6} {'most':>6}")
    for claim, values in ratios.items():
        print(f"{claim:40} " + " ".join(f"{value:6.2f}" for value in values))
    if args.json:
        settings = {name: value for name, value in vars(args).items() if name not in {"json", "act", "inspect"}}
        record = {"settings": settings, "rows": [asdict(row) for row in rows], "ratios": ratios}
        args.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
