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
from pathlib import Path

CATEGORIES = 30
VIEWS = 5
_KINDS = ("OK",) * 5 + ("NG/AK", "NG/HS", "NG/QS", "NG/ZW")
"""Kinds of test parts in turn: about as many defects as Real-IAD has."""

_LOAD = "import sys, lvlm_ad; lvlm_ad.load_dataset('real-iad', sys.argv[1])"

_START = """
import sys, lvlm_ad
from lvlm_ad.log import Progress

class Started(Progress):
    def start(self, stage, total):
        sys.exit(0)

options = {"models": ["chance"], "reference_rows": False, "settings": {"division": "grid"}}
lvlm_ad.bench(progress=Started(), dataset="real-iad", data=sys.argv[1], out=sys.argv[2], **options)
sys.exit("the bench ended before it started to divide")
"""


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


def run(*arguments: str) -> tuple[float, float, float]:
    """Run Python; return seconds, CPU seconds and most MB.

    Raises:
        SystemExit: it fails.
    """
    clock = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"failed: {arguments[1]}")
    return time.perf_counter() - clock, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=150_000, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "realiad")
        count = make_tree(root, args.images)
        print(f"{count} listed images", flush=True)
        bench = ("-c", _START, str(root), str(Path(folder, "runs")))
        for what, command in (
            ("load_dataset", ("-c", _LOAD, str(root))),
            ("a bench starts", bench),
            ("a bench starts again, hashes kept", bench),
        ):
            seconds, cpu, memory = run(*command)
            print(f"{what}: {seconds:.1f} s, of which {cpu:.1f} s CPU, {memory:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
