"""Feed mutated bytes, guided by coverage, to everything that reads data from outside: nothing may crash or hang.

Run one target after the other, in a folder for the inputs that fail (``crash-...``):

    pip install atheris && python benchmarks/fuzz.py answers --minutes 10

The package may refuse an input with an error of its own. Any other exception, more than 20 seconds or more than 2 GB
end the process with a report.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["lvlm_ad", "tomllib", "PIL"]):
    from PIL import Image

    from lvlm_ad.asking import AnswerStore
    from lvlm_ad.backend import Answer, Request
    from lvlm_ad.datasets import load_dataset
    from lvlm_ad.datasets.images import image_size, read_image
    from lvlm_ad.datasets.masks import read_mask
    from lvlm_ad.doctor import salvage
    from lvlm_ad.errors import LvlmAdError
    from lvlm_ad.evaluate import bench
    from lvlm_ad.evaluate.verify import verify_runs
    from lvlm_ad.leaderboard import FORMATS, make_board
    from lvlm_ad.presets import load_download, load_model, load_prompt, load_protocol
    from lvlm_ad.runs import read_run
    from lvlm_ad.store import open_answers
    from lvlm_ad.text2seg import parse, read

LIMITS = {"timeout": 20, "rss_limit_mb": 2000, "max_len": 1 << 16}
"""Seconds and memory that an input may take, and its bytes."""
FRAGMENTS = [
    *("region 3: ", "regions 3-7", "image anomaly score: ", "0.7; ", "Region #", "section ", "overall ", "is ", "of "),
    *("out of ", "percent ", "confidence ", ": ", "; ", ", ", "-", "(", ")", "[", "]", "{", "}", '"', "'", '"score": '),
    *('"region": ', '"regions": ', '"image_anomaly_score": ', "=", "/", "%", "| ", "\n", "- ", "**", "```json\n", "#"),
    *("<think>", "</think>", "<td>", "</td>", "\u2013", "\uff1a", "\u00a0", "1", "3", "12", "40", "0", "0.7", "0,25"),
    *(".5", "1e-2", "1e999", "-1", "9" * 400, "\u0663", "\U0001f534", "\x1b[31m", "NaN", "null", "\\u0000", "\ud800"),
]
"""Parts of answers, one per byte of an input."""


class Target:
    """Something that reads data from outside.

    ``seeds`` yields valid inputs, and ``read`` reads one: ``kind`` is the first byte of the input, ``data`` the rest.

    Args:
        folder: an empty folder for its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder


class Answers(Target):
    """Text2Segmentation reads answers."""

    def seeds(self) -> Iterator[bytes]:
        """Yield parts of answers, prose and JSON."""
        yield from (bytes([0, *range(index, index + 30)]) for index in range(0, len(FRAGMENTS), 7))
        yield b"\xffimage anomaly score: 0.9; region 3: 0.7"
        yield b'\xff{"regions": [{"region": 3, "score": 0.4}]}'

    def read(self, kind: int, data: bytes) -> None:
        """Read an answer."""
        if kind < 128:  # noqa: PLR2004 - half of the inputs
            text = "".join(FRAGMENTS[byte % len(FRAGMENTS)] for byte in data)
        else:
            text = data.decode("utf-8", "surrogateescape")
        scores = parse(text, 40)
        if not all(0 <= score <= 1 for score in [*scores.regions.values(), scores.image or 0.0]):
            raise AssertionError(scores)
        for outcome in ("ok", "truncated", "refused"):
            read(Answer(text, outcome), 40)


class Lists(Target):
    """VisA's list of files and a user's CSV."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        images = folder / "candle" / "Data"
        images.mkdir(parents=True)
        (folder / "split_csv").mkdir()
        for name in ("a.JPG", "b.JPG", "m.png"):
            Image.new("RGB", (8, 8)).save(images / name)

    def seeds(self) -> Iterator[bytes]:
        """Yield a list of each kind."""
        table = "object,split,label,image,mask\ncandle,test,normal,candle/Data/a.JPG,\n"
        yield b"\0" + table.encode() + b"candle,test,anomaly,candle/Data/b.JPG,candle/Data/m.png\n"
        yield b"\xffimage,label\ncandle/Data/a.JPG,good\ncandle/Data/b.JPG,scratch\n"

    def read(self, kind: int, data: bytes) -> None:
        """Read a list."""
        visa = kind < 128  # noqa: PLR2004 - half of the inputs
        path = self.folder / ("split_csv/1cls.csv" if visa else "own.csv")
        path.write_bytes(data)
        dataset = load_dataset("visa", self.folder) if visa else load_dataset("folder", path)
        for sample in dataset:
            if not sample.image_path.resolve().is_relative_to(self.folder.resolve()):
                raise AssertionError(sample)


class Presets(Target):
    """TOML files of models, prompts, protocols and downloads."""

    def seeds(self) -> Iterator[bytes]:
        """Yield presets of each kind."""
        configs = Path(__file__).parents[1] / "configs"
        for index, kind in enumerate(("models", "prompts", "protocols", "downloads")):
            for path in sorted((configs / kind).glob("*.toml"))[:6]:
                yield bytes([index]) + path.read_bytes()

    def read(self, kind: int, data: bytes) -> None:
        """Read a preset."""
        path = self.folder / "a.toml"
        path.write_bytes(data)
        (load_model, load_prompt, lambda name: load_protocol(name, {}), load_download)[kind % 4](str(path))


class Images(Target):
    """Images and masks."""

    formats = (("PNG", ".png"), ("JPEG", ".jpg"), ("BMP", ".bmp"), ("TIFF", ".tif"), ("WEBP", ".webp"))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        warnings.simplefilter("error")

    def seeds(self) -> Iterator[bytes]:
        """Yield small images of each format, in each mode that it has."""
        noise = Image.effect_noise((9, 7), 60)
        for index, (name, _) in enumerate(self.formats):
            for mode in ("L", "RGB", "P", "RGBA"):
                file = BytesIO()
                with contextlib.suppress(OSError):
                    noise.convert(mode).save(file, name)
                    yield bytes([index]) + file.getvalue()

    def read(self, kind: int, data: bytes) -> None:
        """Read an image."""
        path = self.folder / f"a{self.formats[kind % len(self.formats)][1]}"
        path.write_bytes(data)
        for reader in (image_size, read_image, read_mask):
            with contextlib.suppress(LvlmAdError):
                reader(path)


class Store(Target):
    """``answers.sqlite`` and its repair."""

    def seeds(self) -> Iterator[bytes]:
        """Yield a store of three answers."""
        path = self.folder / "seed.sqlite"
        with contextlib.closing(open_answers(path)) as database:
            answers = AnswerStore(database)
            for index in range(3):
                answer = Answer("image anomaly score: 0.5")
                answers.put(f"k{index}", answer, request=Request((), "q"), identity={"a": 1})
        yield b"\0" + path.read_bytes()

    def read(self, kind: int, data: bytes) -> None:
        """Read, write and repair a store."""
        del kind
        for file in self.folder.iterdir():
            file.unlink()
        path = self.folder / "answers.sqlite"
        path.write_bytes(data)
        with contextlib.suppress(LvlmAdError), contextlib.closing(open_answers(path)) as database:
            answers = AnswerStore(database)
            answers.get("k0")
            answers.put("k9", Answer("x"), request=Request((), "q"), identity={})
        salvage([path], self.folder / "saved.sqlite")


class Runs(Target):
    """A run's folder, one of whose files is the input: read, verified and ranked."""

    files = ("run.json", "metrics.json", "predictions.jsonl", "pixels.npz")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        runs = bench(dataset="demo", limit=2, categories=["washer"], out=folder / "runs", resamples=50)
        self.run = runs[0].dir

    def seeds(self) -> Iterator[bytes]:
        """Yield each file of a run."""
        for index, name in enumerate(self.files):
            yield bytes([index]) + (self.run / name).read_bytes()

    def read(self, kind: int, data: bytes) -> None:
        """Read a run."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.run, copy)
        (copy / self.files[kind % len(self.files)]).write_bytes(data)
        run = read_run(copy)
        verify_runs([run])
        board = make_board([run])
        for write in FORMATS.values():
            write(board)


TARGETS: dict[str, Any] = {
    "answers": Answers,
    "lists": Lists,
    "presets": Presets,
    "images": Images,
    "store": Store,
    "runs": Runs,
}


def fuzz(name: str, folder: Path, options: dict[str, int]) -> None:
    """Fuzz a target; this ends the process."""
    work, seeds = folder / "work", folder / "seeds"
    work.mkdir()
    seeds.mkdir()
    target = TARGETS[name](work)
    for index, data in enumerate(target.seeds()):
        (seeds / f"{index:03}").write_bytes(data)

    def one(data: bytes) -> None:
        with contextlib.suppress(LvlmAdError):
            target.read(data[0] if data else 0, data[1:])

    settings = [f"-{option}={value}" for option, value in {**LIMITS, **options}.items()]
    atheris.Setup([sys.argv[0], *settings, str(seeds)], one)
    atheris.Fuzz()


def main() -> None:
    """Fuzz one target and exit with its status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    options = {"max_total_time": int(60 * args.minutes), "seed": args.seed, "print_final_stats": 1}
    with tempfile.TemporaryDirectory() as folder:
        # The fuzzer ends its process without cleaning up.
        process = multiprocessing.get_context("fork").Process(target=fuzz, args=(args.target, Path(folder), options))
        process.start()
        process.join()
    sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
