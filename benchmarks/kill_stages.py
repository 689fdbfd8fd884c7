"""Kills ``lvlm-ad bench`` with SIGKILL at any moment of its life: starting, dividing, asking, scoring, writing pages.

    python benchmarks/kill_stages.py --kills 100 --seed 1

The same command is started again after each kill. A command that was left to its end, or killed five times, is followed
by one in a fresh folder. After each kill every file must be whole (each is read to its end), and no stored answer may
be gone; no answer may be given twice but those in flight when a command was killed. ``kill_drill.py`` kills during the
asking alone, with an endpoint that fails all the time and two commands at once. Exit status 1: a check failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from kill_drill import make_data

LATENCY = 0.1
"""Seconds that an answer takes."""
ON_ITS_WAY = 0.25
"""Seconds after which an answer that was handed to the socket must be on the disk; until then it is in flight."""
KILLS_A_FOLDER = 5
STAGES = ("starting", "dividing", "asking", "scoring and writing", "pages")


class Endpoint:
    """Answers every question, and notes when.

    Attributes:
        given: (key of the asker, question) -> times at which it was answered.
    """

    def __init__(self) -> None:
        self.given: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.lock = threading.Lock()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on the loopback interface and yield the address."""
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(LATENCY)
                digest = hashlib.sha256(body).hexdigest()
                text = f"image anomaly score: 0.{digest[0:2].translate(DIGITS)}; region 1: 0.5."
                message = {"role": "assistant", "content": text, "refusal": None}
                reply = json.dumps(
                    {
                        "id": "1",
                        "object": "chat.completion",
                        "created": 0,
                        "model": "stub",
                        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
                    }
                ).encode()
                with endpoint.lock:
                    endpoint.given[self.headers["Authorization"], digest].append(time.monotonic())
                try:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(reply)))
                    self.end_headers()
                    self.wfile.write(reply)
                except OSError:
                    return

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            server.server_close()


DIGITS = str.maketrans("abcdef", "012345")


def unsound(out: Path) -> list[str]:
    """Read every file that a bench writes, and return what is not whole."""
    found = []
    for path in sorted(out.rglob("*")):
        if path.suffix in CHECKS and path.is_file() and not path.name.startswith("."):
            try:
                whole = CHECKS[path.suffix](path)
            except Exception as error:  # noqa: BLE001 - whatever it is, the file is not whole
                found.append(f"{path.relative_to(out)}: {type(error).__name__}: {error}")
            else:
                found += [] if whole else [f"{path.relative_to(out)} does not end"]
    for run in out.glob("*/run.json"):
        beside = ("metrics.json", "predictions.jsonl", "pixels.npz")
        found += [f"{run.parent.name} has no {name}" for name in beside if not (run.parent / name).is_file()]
    return found


def _lines(path: Path) -> bool:
    text = path.read_text()
    for line in text.splitlines():
        json.loads(line)
    return text.endswith("\n")


def _arrays(path: Path) -> bool:
    with np.load(path, allow_pickle=False) as arrays:
        return all(arrays[name].size >= 0 for name in arrays.files)


def _database(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


CHECKS: dict[str, Callable[[Path], bool]] = {
    ".json": lambda path: json.loads(path.read_text()) is not None,
    ".jsonl": _lines,
    ".npz": _arrays,
    ".html": lambda path: path.read_text().rstrip().endswith("</html>"),
    ".sqlite": _database,
}


def stored(out: Path) -> set[str]:
    """Return the keys of all stored answers."""
    path = out / "answers.sqlite"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as database:
        try:
            return {row[0] for row in database.execute("SELECT key FROM answers")}
        except sqlite3.OperationalError:  # killed before the table was made
            return set()


def stage(log: Path, rows: int) -> str:
    """Say what a killed command was at, by the last thing that it told."""
    lines = log.read_text().splitlines() if log.exists() else []
    events = [json.loads(line)["event"] for line in lines if line.endswith("}")]
    if "bench" not in events:
        return STAGES[0]
    if "divided" not in events:
        return STAGES[1]
    if events.count("run") >= rows:
        return STAGES[4]
    return STAGES[2] if "run" not in events and events[-1] in {"divided", "answered", "stored", "again"} else STAGES[3]


class Drill:
    """Starts commands, kills them and looks at what they left.

    Args:
        endpoint: whom they ask.
        url: its address.
        work: a folder for everything.
        images: questions of a command.
        seed: decides on moments.

    Attributes:
        wrong: what is wrong so far.
        stages: kills by what the command was at.
        finished: commands that came to their end before their moment.
        again: answers given a second time because their command was killed.
    """

    def __init__(self, endpoint: Endpoint, url: str, work: Path, images: int, seed: int) -> None:
        self.wrong: list[str] = []
        self.stages: Counter[str] = Counter()
        self.finished = self.again = self.folder = 0
        self._endpoint, self._url, self._work, self._images = endpoint, url, work, images
        self._draw = random.Random(seed)  # noqa: S311 - moments, no secret
        make_data(work / "data", images, seed)
        began = time.monotonic()
        if self._start().wait() != 0:
            raise SystemExit(self._said())
        self.whole = time.monotonic() - began
        self.rows = len(list(self._out.glob("*/run.json")))

    def next_folder(self, most: int) -> None:
        """Kill the same command up to ``most`` times, let it come to its end, and look at the whole."""
        self.folder += 1
        kept, died = set[str](), list[float]()
        while len(died) < most:
            process = self._start()
            try:
                process.wait(self._draw.uniform(0, self.whole))
                self.finished += 1
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                died.append(time.monotonic())
                self.stages[stage(self._log, self.rows)] += 1
            kept = self._looked_at(kept)
        process = self._start()
        if process.wait() != 0:
            self._fault(f"status {process.returncode}: {self._said()}")
        if len(self._looked_at(kept)) != self._images:
            self._fault("not every image has one stored answer")
        self._look_for_repeats(died)

    def _looked_at(self, kept: set[str]) -> set[str]:
        for text in unsound(self._out):
            self._fault(text)
        now = stored(self._out)
        for key in kept - now:
            self._fault(f"the answer {key} is gone")
        print(f"{sum(self.stages.values())} kills, {len(self.wrong)} faults", file=sys.stderr)
        return now

    def _look_for_repeats(self, died: list[float]) -> None:
        with self._endpoint.lock:
            given = [when for (key, _), when in self._endpoint.given.items() if key == f"Bearer key-{self.folder}"]
        for earlier in (one for when in given for one in when[:-1]):
            # In flight: handed over shortly before a kill, or after it to nobody.
            if any(death - ON_ITS_WAY < earlier < death + 10 * LATENCY for death in died):
                self.again += 1
            else:
                self._fault("an answer was asked for again without need")

    def _fault(self, text: str) -> None:
        self.wrong.append(f"folder {self.folder}: {text}")

    @property
    def _out(self) -> Path:
        return self._work / str(self.folder)

    @property
    def _log(self) -> Path:
        return self._work / f"{self.folder}.log"

    def _said(self) -> str:
        return (self._work / f"{self.folder}.err").read_text(errors="replace")[-500:]

    def _start(self) -> subprocess.Popen[bytes]:
        self._log.unlink(missing_ok=True)
        command = [
            *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4o", "--set", f"base_url={self._url}"),
            *("--set", "image_size=192", "--data", str(self._work / "data"), "--dataset", "folder"),
            *("--out", str(self._out), "--log", str(self._log), "--concurrency", "2", "--resamples", "100"),
        ]
        ours = {**os.environ, "OPENAI_API_KEY": f"key-{self.folder}", "NO_PROXY": "127.0.0.1"}
        with (self._work / f"{self.folder}.err").open("wb") as errors:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=ours)


def main() -> int:
    """Drill and print what was counted; returns the exit status."""
    parser = argparse.ArgumentParser(description="Kill lvlm-ad bench at any moment of its life.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    endpoint = Endpoint()
    with tempfile.TemporaryDirectory() as scratch, endpoint.serving() as url:
        drill = Drill(endpoint, url, Path(scratch), args.images, args.seed)
        while (done := sum(drill.stages.values())) < args.kills:
            drill.next_folder(min(KILLS_A_FOLDER, args.kills - done))
    print(f"a whole command: {drill.whole:.1f} s; {drill.rows} runs, {args.images} questions")
    print(f"kills: {args.kills} ({', '.join(f'{name} {drill.stages[name]}' for name in STAGES)})")
    print(f"folders: {drill.folder}; commands that ended before their moment: {drill.finished}")
    print(f"answers given again: {drill.again}, all in flight when a command was killed")
    for text in drill.wrong:
        print(f"FAILED: {text}")
    return int(bool(drill.wrong))


if __name__ == "__main__":
    sys.exit(main())
