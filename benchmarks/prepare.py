"""What it costs to prepare a picture and to divide an image, before and now: CPU milliseconds of each stage.

    python benchmarks/prepare.py --data shared/data/magnetic_tile [--images 12] [--rounds 3]

Takes test images of a category in MVTec's layout, and as many pictures in colour: photographs of scikit-image, cut and
mirrored, written as PNG files of 1024 x 1024 pixels. Each is stretched to 768 x 768 pixels, divided and marked as by
default. Both versions run in turns, in processes of their own; of each stage the least of the rounds counts. The
digests of all pictures, the hashes of all divisions and the pixels in the PNG files must be the same.

What a whole bench at an endpoint costs: ``prepare_endpoint.py``. Absolute times depend on the machine.
"""
# ruff: noqa: PLC0415 - a child imports the lvlm-ad of its own version

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from older_version import version
from process import run_json

BEFORE = "708b061"
"""The last commit before drawing was made faster."""
GOAL = 40
"""CPU milliseconds of a picture that is prepared, at most."""
SIDE, LARGE = 768, 1024
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""As in the worker processes of a bench."""


def write_photographs(folder: Path, count: int) -> list[Path]:
    """Write parts of photographs in colour, each of them once more mirrored."""
    from PIL import Image, ImageOps
    from skimage import data

    paths = []
    for number in range(count):
        photo = Image.fromarray((data.astronaut, data.coffee, data.immunohistochemistry)[number % 3]())
        edge = 15 * (number // 3)
        part = photo.crop((edge, edge, edge + 380, edge + 380)).resize((LARGE, LARGE), Image.Resampling.BICUBIC)
        paths.append(folder / f"{number:03}.png")
        (ImageOps.mirror(part) if number % 2 else part).save(paths[-1])
    return paths


def child(paths: list[str]) -> dict[str, Any]:
    """Prepare pictures and divide images with the lvlm-ad that this process imports."""
    import hashlib

    import numpy as np
    from PIL import Image
    from skimage import segmentation

    from lvlm_ad.backend import Picture
    from lvlm_ad.datasets.images import read_image, resize_image
    from lvlm_ad.evaluate.divide import Cut
    from lvlm_ad.prompts import MarkStyle, draw_marks
    from lvlm_ad.regions import divide

    spent: dict[str, float] = {}
    same = hashlib.sha256()
    size = 0

    def stage(name: str, action: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = action()
        spent[name] = spent.get(name, 0.0) + 1000 * (time.process_time() - start) / len(paths)
        return result

    slic = segmentation.slic

    def timed(*args: Any, **options: Any) -> Any:
        return stage("division: SLIC", lambda: slic(*args, **options))

    def run(path: Path) -> None:
        nonlocal size
        image = stage("read", lambda: read_image(path))
        resized = stage("resize", lambda: resize_image(image, (SIDE, SIDE)))
        # lvlm-ad imports it where it calls it.
        segmentation.slic = timed
        cut = stage("division", lambda: Cut("superpixel", {}, SIDE).run((image, np.zeros(image.shape[:2], bool))))
        segmentation.slic = slic
        regions = divide(resized)
        marked = stage("marks", lambda: draw_marks(resized, regions, MarkStyle()))
        picture = stage("PNG and digest", lambda: Picture.from_pixels(marked))
        with Image.open(io.BytesIO(picture.data)) as written:
            same.update(np.asarray(written.convert("RGB")).tobytes())
        same.update(f"{picture.digest} {cut.hash}".encode())
        size += len(picture.data)

    # The first picture loads the font and what is imported late.
    run(Path(paths[0]))
    spent.clear()
    size = 0
    for path in paths:
        run(Path(path))
    prepared = sum(spent[name] for name in ("read", "resize", "marks", "PNG and digest"))
    spent["division: all but SLIC"] = spent["division"] - spent["division: SLIC"]
    stages = {"prepared": prepared, **dict(sorted(spent.items(), key=lambda item: item[0].startswith("division")))}
    return {"stages": stages, "kilobytes": size / 1000 / len(paths), "same": same.hexdigest()}


def measured(paths: list[Path], rounds: int) -> dict[str, dict[str, Any]]:
    """Run both versions in turns; of each stage the least."""
    best: dict[str, dict[str, Any]] = {}
    with version(BEFORE) as before, version(None) as now:
        for _ in range(rounds):
            for name, environment in (("before", before), ("now", now)):
                took = run_json(
                    sys.executable, __file__, "--child", json.dumps(list(map(str, paths))), **environment, **ONE_THREAD
                )
                old = best.setdefault(name, took)["stages"]
                took["stages"] = {stage: min(spent, old[stage]) for stage, spent in took["stages"].items()}
                best[name] = took
    return best


def show(title: str, best: dict[str, dict[str, Any]]) -> None:
    """Print the stages as a Markdown table."""
    before, now = best["before"], best["now"]
    print(f"\n| {title}: CPU ms | before | now | before / now |\n|---|--:|--:|--:|")
    for stage, spent in now["stages"].items():
        old = before["stages"][stage]
        print(f"| {stage} | {old:.1f} | {spent:.1f} | {old / spent:.1f} |")
    print(f"| kilobytes of a file | {before['kilobytes']:.0f} | {now['kilobytes']:.0f} | |\n")
    print(f"Pixels, digests and divisions are {'the same' if before['same'] == now['same'] else 'DIFFERENT'}.")
    prepared = now["stages"]["prepared"]
    print(f"Goal of at most {GOAL} ms: {'reached' if prepared <= GOAL else 'not reached'} ({prepared:.1f} ms).")


def main() -> None:
    """Measure, or be one version."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required="--child" not in sys.argv, help="one category in MVTec's layout")
    parser.add_argument("--images", type=int, default=12, help="pictures of each kind")
    parser.add_argument("--rounds", type=int, default=3, help="the least of so many counts")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(json.loads(options.child))))
        return
    tests = sorted(path for path in (options.data / "test").glob("*/*") if path.is_file())
    if not tests:
        sys.exit(f"{options.data} has no test images; give a folder with test/KIND/IMAGE.")
    with tempfile.TemporaryDirectory() as folder:
        photographs = write_photographs(Path(folder), options.images)
        print(f"{options.images} pictures of each kind, {os.cpu_count()} processors")
        show(options.data.name, measured(tests[:: -(-len(tests) // options.images)], options.rounds))
        show(f"photographs in colour, {LARGE} x {LARGE}", measured(photographs, options.rounds))


if __name__ == "__main__":
    main()
