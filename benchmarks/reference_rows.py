"""What the reference rows of a data set as large as MVTec AD cost, before and now: CPU seconds and wall time.

Draws pictures of 1024 x 1024 pixels in MVTec AD's layout, 15 categories with the real numbers of good and defective
test images, and measures the rows contrast, chance and oracle and the report as ``lvlm-ad bench`` does::

    python benchmarks/reference_rows.py                   # 60 images of 1 category, at an older commit and now
    python benchmarks/reference_rows.py --all --no-before # all 1,725 images, now
    python benchmarks/reference_rows.py --first           # the README's first command: the built-in demo

Both versions run in the same environment, one after the other. The older one comes from git, in a temporary worktree.
It also divides the images, and the newer one uses its divisions: dividing is not part of the comparison. A phase lasts
until the next one starts, so a row includes its metrics, intervals and files. Needs Linux and a clone with its history.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from older_version import version
from PIL import Image, ImageDraw

BEFORE = "708b061"
"""The last commit before rows and reports were made faster."""

SIDE = 1024
MVTEC = {
    "bottle": (20, 63),
    "cable": (58, 92),
    "capsule": (23, 109),
    "carpet": (28, 89),
    "grid": (21, 57),
    "hazelnut": (40, 70),
    "leather": (32, 92),
    "metal_nut": (22, 93),
    "pill": (26, 141),
    "screw": (41, 119),
    "tile": (33, 84),
    "toothbrush": (12, 30),
    "transistor": (60, 40),
    "wood": (19, 60),
    "zipper": (32, 119),
}
"""Category -> good and defective test images (Bergmann et al., CVPR 2019, table 1)."""

COUNTED = "rows and report, without dividing"

GOALS = {"contrast_map": 0.1, "report": 0.05}
"""CPU seconds of an image, at most."""

SECONDS_OF_ALL = 240
SECONDS_OF_FIRST = 15
"""Wall time on two idle cores, at most: of all rows and the report of 1,725 images without dividing; of the demo."""


def draw(root: Path, categories: int, per_category: int) -> int:
    """Draw test images, at most so many of each category, and one for training; returns the number for the test."""
    jobs = []
    for number, (category, (good, defective)) in enumerate(islice(MVTEC.items(), categories)):
        names = [("train/good", 0)]
        for index in range(max(good, defective)):
            names += [("test/good", index)] * (index < good) + [("test/cut", index)] * (index < defective)
        jobs += [(root / category, folder, index, 1000 * number) for folder, index in names[: per_category + 1]]
    with ProcessPoolExecutor() as pool:
        list(pool.map(_draw, jobs, chunksize=8))
    return sum(folder != "train/good" for _, folder, _, _ in jobs)


def _draw(job: tuple[Path, str, int, int]) -> None:
    """Draw clouds with a sensor's grain, and on a defective product a dark scratch."""
    root, folder, index, seed = job
    random = np.random.default_rng([seed, index, len(folder)])
    clouds = random.integers(60, 200, (24, 24, 3)).astype(np.uint8)
    picture = Image.fromarray(clouds).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if folder == "test/cut":
        mask = Image.new("L", picture.size)
        start, end = random.integers(SIDE // 8, SIDE - SIDE // 8, (2, 2)).tolist()
        ImageDraw.Draw(mask).line([*start, *end], fill=255, width=int(random.integers(8, 40)))
        picture.paste((40, 30, 30), mask=mask)
        (root / "ground_truth" / "cut").mkdir(parents=True, exist_ok=True)
        mask.save(root / "ground_truth" / "cut" / f"{index:03}_mask.png", compress_level=1)
    grain = random.standard_normal((SIDE, SIDE), dtype=np.float32)[:, :, None] * 3
    pixels = np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)
    (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(root / folder / f"{index:03}.png", compress_level=1)


def child(data: Path, out: Path, division: str) -> None:
    """Measure the rows with the package that this process imports, and print the phases as JSON."""
    phases: dict[str, list[float]] = {}
    last = ["start", *_used()]

    def enter(name: str) -> None:
        now = _used()
        spent = phases.setdefault(last[0], [0.0, 0.0])
        spent[:] = [total + new - old for total, new, old in zip(spent, now, last[1:], strict=True)]
        last[:] = [name, *now]

    from lvlm_ad import bench  # noqa: PLC0415 - importing is the first phase
    from lvlm_ad.log import Progress  # noqa: PLC0415 - see above
    from lvlm_ad.report.run_pages import write_report  # noqa: PLC0415 - see above

    class Phases(Progress):
        def start(self, name: str, total: int) -> None:  # noqa: ARG002 - as Progress calls it
            enter(name)

        def finish(self) -> None:
            if last[0] == "pictures":
                enter("report")

    progress = Phases()
    runs = bench(dataset="mvtec", data=data, out=out, settings={"division": division}, progress=progress)
    enter("report")
    write_report(runs[0], runs[0].dir / "report", progress=progress)
    enter("end")
    images = len(runs[0].predictions)

    def total(*names: str) -> list[float]:
        return [sum(parts) for parts in zip(*(phases[name] for name in names), strict=True)]

    phases["report: pictures"] = phases.pop("pictures")
    # Its plots and tables take as long for few images as for many.
    phases["report: page"] = phases.pop("report")
    phases[COUNTED] = total("contrast", "chance", "oracle", "report: pictures", "report: page")
    metrics = {run.manifest.row_name: run.metrics["mean"] for run in runs}
    alone = _map_alone(data)
    print(json.dumps({"phases": phases, "images": images, "metrics": metrics, "contrast_map": alone}))


def _map_alone(data: Path) -> float:
    """Return the CPU seconds that contrast takes for the map of one picture: the fastest of some."""
    from lvlm_ad_baselines.contrast import contrast_map  # noqa: PLC0415 - of the version that is measured

    from lvlm_ad.datasets.images import read_image, resize_image  # noqa: PLC0415 - likewise

    times = []
    for path in islice(sorted(data.glob("*/test/*/*.png")), 8):
        image = resize_image(read_image(path), (768, 768))
        start = _used()[0]
        contrast_map(image)
        times.append(_used()[0] - start)
    return min(times)


def _used() -> tuple[float, float]:
    """Return the CPU seconds of this process and of those that it started and that have ended, and the wall time."""
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime, perf_counter()


def measured_rows(commit: str | None, data: Path, out: Path, division: str) -> dict[str, Any]:
    """Run ``child`` with a version of the package."""
    with version(commit) as environment:
        command = [sys.executable, __file__, "--child", str(data), str(out), division]
        done = subprocess.run(command, env={**os.environ, **environment}, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"The rows failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured_first(commit: str | None, work: Path) -> dict[str, list[float]]:
    """Run the README's first command in an empty folder, with an empty cache."""
    work.mkdir()
    with version(commit) as environment:
        command = [sys.executable, "-m", "lvlm_ad", "bench"]
        start = _used()
        done = subprocess.run(
            command,
            cwd=work,
            env={**os.environ, **environment, "XDG_CACHE_HOME": str(work)},
            check=False,
            capture_output=True,
        )
        end = _used()
    if done.returncode:
        sys.exit(f"The command failed:\n{done.stderr.decode()[-2000:]}")
    return {"first command": [end[0] - start[0], end[1] - start[1]]}


def print_table(before: dict[str, list[float]], now: dict[str, list[float]], images: int) -> None:
    """Print the phases as a Markdown table: CPU seconds of an image, wall time of all."""
    print("| phase | CPU s an image: before | now | before / now | wall s: before | now |\n|---|--:|--:|--:|--:|--:|")
    for name, (cpu, wall) in now.items():
        old = before.get(name)
        was = ("", "", "") if old is None else (f"{old[0] / images:.3f}", f"{old[0] / cpu:.1f}", f"{old[1]:.0f}")
        print(f"| {name} | {was[0]} | {cpu / images:.3f} | {was[1]} | {was[2]} | {wall:.0f} |")


def rows(options: argparse.Namespace, work: Path) -> None:
    """Draw the data and print what the rows cost."""
    categories, per_category = (len(MVTEC), 1000) if options.all else (options.categories, options.images)
    images = draw(work / "data", categories, per_category)
    print(f"{images} images of {SIDE} x {SIDE} pixels, {categories} categories, {options.division} division.\n")
    first = measured_rows(None if options.no_before else BEFORE, work / "data", work / "first", options.division)
    (work / "now").mkdir()
    # Who ran first has divided the images.
    shutil.copy(work / "first" / "cache.sqlite", work / "now")
    now = measured_rows(None, work / "data", work / "now", options.division)
    before: dict[str, Any] = {"phases": {}} if options.no_before else first
    print_table(before["phases"], now["phases"], images)
    print()
    for side, name in ((before, "before"), (now, "now")) if "images" in before else ((now, "now"),):
        report = sum(side["phases"][f"report: {part}"][0] for part in ("pictures", "page")) / images
        for what, value in {"contrast_map": side["contrast_map"], "report": report}.items():
            print(f"{what}, {name}: {value:.3f} CPU s an image; goal {GOALS[what]}: {_met(value <= GOALS[what])}")
    if options.all:
        wall = now["phases"][COUNTED][1]
        print(f"All rows and the report: {wall:.0f} s; goal {SECONDS_OF_ALL}: {_met(wall <= SECONDS_OF_ALL)}")
    for row, metrics in before.get("metrics", {}).items():
        changed = {name for name, value in metrics.items() if value != now["metrics"][row].get(name)}
        print(f"{row}: {'the same metrics' if not changed else f'other metrics: {sorted(changed)}'}")


def _met(reached: bool) -> str:  # noqa: FBT001 - a truth value as text
    return "reached" if reached else "not reached"


def main() -> None:
    """Measure what the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60, help="test images of each category (default: 60)")
    parser.add_argument("--categories", type=int, default=1, help="categories (default: 1)")
    parser.add_argument("--all", action="store_true", help="all 1,725 images in 15 categories")
    parser.add_argument("--division", default="superpixel")
    parser.add_argument("--no-before", action="store_true", help="measure this version alone")
    parser.add_argument("--first", action="store_true", help="measure the README's first command instead")
    parser.add_argument("--work", type=Path, help="where pictures and runs are written (default: a temporary folder)")
    parser.add_argument("--child", nargs=3, metavar=("DATA", "OUT", "DIVISION"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), Path(options.child[1]), options.child[2])
        return
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        work = Path(folder)
        if not options.first:
            rows(options, work)
            return
        before = {} if options.no_before else measured_first(BEFORE, work / "before")
        now = measured_first(None, work / "now")
        print_table(before, now, 36)
        print(f"\nGoal on two idle cores: {SECONDS_OF_FIRST} s: {_met(now['first command'][1] <= SECONDS_OF_FIRST)}")


if __name__ == "__main__":
    main()
