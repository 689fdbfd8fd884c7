"""Drawn pictures, and ``lvlm-ad bench`` on them as a process: what the scripts of this folder share."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

__all__ = ["Command", "make_data", "start_bench", "stored_answers"]


def make_data(root: Path, count: int, *, categories: int = 1, side: int = 64, seed: int = 0) -> None:
    """Draw cloudy pictures in the layout of MVTec AD; every second one of a category has a red square and its mask."""
    draw = random.Random(seed)  # noqa: S311 - pictures, no secret
    square = side // 4
    for index in range(count):
        folder, kind = root / f"part{index % categories}", ("good", "hole")[index // categories % 2]
        # Superpixels need structure, so noise is scaled up to clouds.
        picture = Image.frombytes("RGB", (6, 6), draw.randbytes(3 * 6 * 6)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        if kind == "hole":
            left, top = draw.randrange(side - square), draw.randrange(side - square)
            defect = (left, top, left + square, top + square)
            picture.paste((220, 30, 30), defect)
            mask = Image.new("L", picture.size)
            mask.paste(255, defect)
            _save(mask, folder / "ground_truth" / kind / f"{index:06}_mask.png")
        _save(picture, folder / "test" / kind / f"{index:06}.png")


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@dataclass
class Command:
    """A running ``lvlm-ad bench``."""

    key: str  # its API key, by which ``flaky_endpoint`` knows it
    process: subprocess.Popen[bytes]  # the process
    output: Path  # file of its standard output
    errors: Path  # file of its standard error

    def failure(self) -> str:
        """Return its exit status and the end of its messages."""
        messages = self.errors.read_text(encoding="utf-8", errors="replace")
        return f"{self.key} ended with status {self.process.poll()}: {messages[-1500:]}"


def start_bench(key: str, work: Path, url: str, *options: str) -> Command:
    """Start a bench of the data set ``work/data``; files of its output are ``work/KEY.out`` and ``work/KEY.err``.

    Pictures are small: drills are about answers, not about dividing images.
    """
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4o", "--set", f"base_url={url}"),
        *("--set", "image_size=192", "--dataset", "folder", "--data", str(work / "data"), *options),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    environment |= {"OPENAI_API_KEY": key, "NO_PROXY": "127.0.0.1"}
    output, errors = work / f"{key}.out", work / f"{key}.err"
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment, cwd=work)
    return Command(key, process, output, errors)


def stored_answers(out: Path) -> list[tuple[str, str, str]]:
    """Return key, name of the answer and hashes of the pictures of each stored answer."""
    path = out / "answers.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            return database.execute("SELECT key, model, images FROM answers").fetchall()
        except sqlite3.OperationalError as error:
            # The command was killed before it made the table.
            if "no such table" not in str(error):
                raise
            return []
