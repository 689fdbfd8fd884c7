"""Measure how long a data set of Real-IAD's size takes to load and a bench on it to start, and the memory of both.

    python benchmarks/listing.py --images 150000

The images are empty files: what is measured ends before the first picture is decoded. A bench has started when it has
listed and hashed all files, and would divide the first image.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

CATEGORIES = 30
VIEWS = 5
_KINDS = ("OK",) * 5 + ("NG/AK", "NG/HS", "NG/QS", "NG/ZW")
"""Kinds of test parts in turn: about as many defects as Real-IAD has."""

_LOAD = "import sys, lvlm_ad; print(len(lvlm_ad.load_dataset('real-iad', sys.argv[1])))"


def make_tree(root: Path, count: int) -> int:
    """Write about so many listed images in Real-IAD's layout, a quarter of them for training; return their number."""
    parts, total = count // CATEGORIES // VIEWS, 0
    for index in range(CATEGORIES):
        category = f"part{index:02}"
        lists: dict[str, list[dict[str, str | None]]] = {"train": [], "test": []}
        for number in range(parts):
            is_train = number % 4 == 0
            kind = "OK" if is_train else _KINDS[number % len(_KINDS)]
            folder = root / "realiad_256" / category / kind / f"S{number:04}"
            folder.mkdir(parents=True)
            for view in range(1, VIEWS + 1):
                stem = f"{category}_{number:04}_{kind.replace('/', '_')}_C{view}_20231021{number:06}"
                is_defect = kind != "OK"
                (folder / f"{stem}.jpg").touch()
                if is_defect:
                    (folder / f"{stem}.png").touch()
                path = f"{kind}/S{number:04}/{stem}"
                entry = {
                    "category": category,
                    "anomaly_class": kind.rpartition("/")[2],
                    "image_path": f"{path}.jpg",
                    "mask_path": f"{path}.png" if is_defect else None,
                }
                lists["train" if is_train else "test"].append(entry)
                total += 1
        file = root / "realiad_jsons" / f"{category}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"meta": {"prefix": category, "normal_class": "OK"}, **lists}))
    return total


def run(*arguments: str, expected: int = 0) -> tuple[float, float]:
    """Run Python; return seconds and most MB.

    Raises:
        SystemExit: it ends with another status than expected.
    """
    clock = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expected:
            errors.seek(0)
            sys.exit(errors.read())
    return time.perf_counter() - clock, usage.ru_maxrss / 1000


def bench_start(root: Path, work: Path) -> tuple[float, float]:
    """Start a bench; return seconds until its files are listed and hashed, and most MB."""
    log = work / "events.jsonl"
    log.unlink(missing_ok=True)
    began = time.time()
    options = ("--model", "chance", "--no-reference-rows", "--division", "grid", "--out", str(work / "runs"))
    data = ("--dataset", "real-iad", "--data", str(root), "--log", str(log))
    # Status 2: an empty file is no picture.
    _, memory = run("-m", "lvlm_ad", "bench", *options, *data, expected=2)
    event = next(event for event in map(json.loads, log.read_text().splitlines()) if event["event"] == "bench")
    return datetime.fromisoformat(event["time"]).timestamp() - began, memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=150_000, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "realiad")
        count = make_tree(root, args.images)
        print(f"{count} listed images")
        for what, (seconds, memory) in (
            ("load_dataset", run("-c", _LOAD, str(root))),
            ("a bench starts", bench_start(root, Path(folder))),
            ("a bench starts again, hashes kept", bench_start(root, Path(folder))),
        ):
            print(f"{what}: {seconds:.1f} s, {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
