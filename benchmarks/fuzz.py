"""Feeds what comes from outside with mutated bytes, guided by coverage: nothing may crash, hang or take much memory.

    pip install atheris
    python benchmarks/fuzz.py answers --minutes 10

Targets: ``answers`` (Text2Segmentation), ``visa`` (VisA's list and a user's CSV), ``presets`` (TOML of models,
prompts, protocols, downloads), ``images`` (images and masks), ``store`` (answers.sqlite and its repair), ``runs`` (a
stranger's run folder: read, verified and ranked). An input may be refused with the package's own errors; any other
exception, more than 20 s, or more than 2 GB ends the process with a report and the input in a file ``crash-...``.
"""
# ruff: noqa: PLC0415 - atheris instruments what is imported after it

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

SECONDS, MEGABYTES = 20, 2000
LARGEST = 1 << 16
"""Bytes of an input."""
FRAGMENTS = [
    *("region 3: ", "regions 3-7", "image anomaly score: ", "0.7; ", "Region #", "section ", "overall ", "is ", "of "),
    *("out of ", "percent ", "confidence ", ": ", "; ", ", ", "-", "(", ")", "[", "]", "{", "}", '"', "'", '"score": '),
    *('"region": ', '"regions": ', '"image_anomaly_score": ', "=", "/", "%", "| ", "\n", "- ", "**", "```json\n", "#"),
    *("<think>", "</think>", "<td>", "</td>", "\u2013", "\uff1a", "\u00a0", "1", "3", "12", "40", "0", "0.7", "0,25"),
    *(".5", "1e-2", "1e999", "-1", "9" * 400, "\u0663", "\U0001f534", "\x1b[31m", "NaN", "null", "\\u0000", "\ud800"),
]
Target = Callable[[bytes], None]


def answers(folder: Path) -> Target:
    """Read scores from any text."""
    del folder
    from lvlm_ad.backend import Answer
    from lvlm_ad.text2seg import parse, read

    def one(data: bytes) -> None:
        body = data[1:]
        if data[:1] < b"\x80":
            text = "".join(FRAGMENTS[byte % len(FRAGMENTS)] for byte in body)
        else:
            text = body.decode("utf-8", "surrogateescape")
        scores = parse(text, 40)
        if not all(0 <= score <= 1 for score in [*scores.regions.values(), scores.image or 0.0]):
            raise AssertionError(scores)
        for outcome in ("ok", "truncated", "refused"):
            read(Answer(text, outcome), 40)

    return one


def visa(folder: Path) -> Target:
    """Read a list of files."""
    from PIL import Image

    from lvlm_ad.datasets import load_dataset
    from lvlm_ad.errors import LvlmAdError

    for name in ("a.JPG", "b.JPG", "m.png"):
        place = folder / "candle" / "Data" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(place)
    lists = [folder / "split_csv" / "1cls.csv", folder / "own.csv"]
    lists[0].parent.mkdir()

    def one(data: bytes) -> None:
        name, path = ("visa", lists[0]) if data[:1] < b"\x80" else ("folder", lists[1])
        path.write_bytes(data[1:])
        try:
            dataset = load_dataset(name, folder if name == "visa" else path)
        except LvlmAdError:
            return
        inside = folder.resolve()
        for sample in dataset:
            if not sample.image_path.resolve().is_relative_to(inside):
                raise AssertionError(sample)

    return one


def presets(folder: Path) -> Target:
    """Read a preset of each kind."""
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.presets import load_download, load_model, load_prompt, load_protocol

    path = folder / "a.toml"
    load: list[Callable[[], object]] = [
        lambda: load_model(str(path)),
        lambda: load_prompt(str(path)),
        lambda: load_protocol(str(path), {}),
        lambda: load_download(str(path)),
    ]

    def one(data: bytes) -> None:
        path.write_bytes(data[1:])
        try:
            load[data[0] % len(load) if data else 0]()
        except LvlmAdError:
            return

    return one


def images(folder: Path) -> Target:
    """Read an image and a mask."""
    import warnings

    from lvlm_ad.datasets.images import image_size, read_image
    from lvlm_ad.datasets.masks import read_mask
    from lvlm_ad.errors import LvlmAdError

    warnings.simplefilter("error")
    suffixes = [".png", ".jpg", ".bmp", ".tif", ".webp"]

    def one(data: bytes) -> None:
        path = folder / f"a{suffixes[data[0] % len(suffixes) if data else 0]}"
        path.write_bytes(data[1:])
        for read in (image_size, read_image, read_mask):
            try:
                read(path)
            except LvlmAdError:
                continue
        path.unlink()

    return one


def store(folder: Path) -> Target:
    """Open, read, write and repair a store of answers."""
    from lvlm_ad.asking import AnswerStore
    from lvlm_ad.asking.salvage import salvage
    from lvlm_ad.backend import Answer, Request
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.store import open_answers

    path, saved = folder / "answers.sqlite", folder / "saved.sqlite"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        try:
            database = open_answers(path)
        except LvlmAdError:
            pass
        else:
            answers = AnswerStore(database)
            try:
                answers.known(["k0", "k1", "k2"])
                answers.get("k0")
                answers.put("k9", Answer("x"), request=Request((), "q"), identity={})
            except LvlmAdError:
                pass
            finally:
                database.close()
        with contextlib.suppress(LvlmAdError):
            salvage([path], saved)
        for left in folder.iterdir():
            left.unlink()

    return one


def runs(folder: Path) -> Target:
    """Read, verify and rank a stranger's run; one of its files is the input."""
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.evaluate import bench
    from lvlm_ad.evaluate.verify import verify_runs
    from lvlm_ad.leaderboard import FORMATS, make_board
    from lvlm_ad.runs import read_run

    made = bench(dataset="demo", limit=2, categories=["washer"], out=folder / "made", resamples=50)
    names = ["run.json", "metrics.json", "predictions.jsonl", "pixels.npz"]
    source, copy = made[0].dir, folder / "copy"
    seeds = folder / "seeds"
    seeds.mkdir()
    for index, name in enumerate(names):
        (seeds / name).write_bytes(bytes([index]) + (source / name).read_bytes())

    def one(data: bytes) -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)
        (copy / names[data[0] % len(names) if data else 0]).write_bytes(data[1:])
        try:
            run = read_run(copy)
        except LvlmAdError:
            return
        verify_runs([run])
        board = make_board([run])
        for write in FORMATS.values():
            write(board)

    return one


def seeds(name: str, folder: Path) -> Path:
    """Write inputs to begin with."""
    from io import BytesIO

    from PIL import Image

    where = folder / "seeds"
    where.mkdir(exist_ok=True)
    found: list[bytes] = []
    if name == "answers":
        found = [bytes([0, *range(index, index + 30)]) for index in range(0, len(FRAGMENTS), 7)]
        found += [b"\xffimage anomaly score: 0.9; region 3: 0.7", b'\xff{"regions": [{"region": 3, "score": 0.4}]}']
    elif name == "visa":
        table = "object,split,label,image,mask\ncandle,test,normal,candle/Data/a.JPG,\n"
        table += "candle,test,anomaly,candle/Data/b.JPG,candle/Data/m.png\n"
        found = [b"\0" + table.encode(), b"\xffimage,label\ncandle/Data/a.JPG,good\ncandle/Data/b.JPG,scratch\n"]
    elif name == "presets":
        configs = Path(__file__).parents[1] / "configs"
        kinds = ("models", "prompts", "protocols", "downloads")
        found = [
            bytes([index]) + path.read_bytes()
            for index, kind in enumerate(kinds)
            for path in sorted((configs / kind).glob("*.toml"))[:6]
        ]
    elif name == "images":
        for index, kind in enumerate(("PNG", "JPEG", "BMP", "TIFF", "WEBP")):
            for mode in (
                ("L", "RGB") if kind == "JPEG" else ("L", "RGB", "P", "RGBA") if kind != "BMP" else ("L", "RGB")
            ):
                file = BytesIO()
                Image.effect_noise((9, 7), 60).convert(mode).save(file, kind)
                found.append(bytes([index]) + file.getvalue())
    elif name == "store":
        from lvlm_ad.asking import AnswerStore
        from lvlm_ad.backend import Answer, Request
        from lvlm_ad.store import open_answers

        path = folder / "seed.sqlite"
        database = open_answers(path)
        answers = AnswerStore(database)
        for index in range(3):
            answers.put(f"k{index}", Answer("image anomaly score: 0.5"), request=Request((), "q"), identity={"a": 1})
        database.close()
        found = [path.read_bytes()]
        path.unlink()
    for index, data in enumerate(found):
        (where / f"{index:03}").write_bytes(data)
    return where


def main() -> None:
    """Fuzz one target."""
    targets = {"answers": answers, "visa": visa, "presets": presets, "images": images, "store": store, "runs": runs}
    parser = argparse.ArgumentParser(description="Feed what comes from outside with mutated bytes.")
    parser.add_argument("target", choices=targets)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, atheris.instrument_imports(include=["lvlm_ad", "tomllib", "PIL"]):
        work = Path(scratch) / "work"
        work.mkdir()
        begin = seeds(args.target, Path(scratch))
        one = targets[args.target](work)
        if args.target == "runs":
            begin = work / "seeds"
        options = [
            *(f"-max_total_time={int(args.minutes * 60)}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"),
            *(f"-max_len={LARGEST}", f"-seed={args.seed}", "-print_final_stats=1", "-verbosity=1"),
        ]
        atheris.Setup([sys.argv[0], *options, str(begin)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
