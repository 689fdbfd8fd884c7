"""Read many generated answers with places: forms x conventions, as they are and damaged.

    python benchmarks/fuzz_places.py --answers 100000

Each answer is written from known places. Read undamaged, it must give exactly these places. Read damaged, it must not
crash the reader, and every number of a place must occur in the text. With ``--hostile``, long hostile texts of two
lengths are read: the time must grow no faster than the length. Needs nothing beyond the package.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from written_places import Numbers, damaged, written

from lvlm_ad.backend import Answer, FirstToken
from lvlm_ad.conventions import Convention, convention_names, load_convention
from lvlm_ad.regions.shapes import Box, Cell, Mask, Point, Polygon
from lvlm_ad.text2seg.lexer import Text, plain
from lvlm_ad.text2seg.places import read_boxes, read_cells, read_masks, read_points
from lvlm_ad.text2seg.yes_no import read_yes_no

if TYPE_CHECKING:
    from lvlm_ad.text2seg.finding import Finding

SIZES = [(768, 768), (896, 896), (1000, 500), (640, 1024), (333, 777)]
GRID = (8, 6)
_LARGE = 1e6
_NOTICED = 0.3
"""Seconds that a hostile text may take whatever its length."""

HOSTILE = [
    *(
        "[",
        "{",
        "(",
        "<",
        "<box>",
        "<box>[",
        "[[",
        '{"',
        "{'",
        '{"a":',
        "1",
        "1,",
        "[1,",
        "(1,",
        "[1,2,3,4]",
        "1.",
        "-",
    ),
    *('{"bbox_2d":[1,2,3,4]},', "<loc0001>", "<loc_1>", "<patch_index_0001>", "<points x1=", '<points coords="', "[]"),
    *(
        "<ref>",
        "B3",
        "B3-",
        "B3: 0.5, ",
        "(1,2)",
        "row 1, ",
        "no ",
        "is normal ",
        "can't see ",
        "// ",
        "/* ",
        " ",
        "\n",
    ),
    *('{"boxes":[', '{"mask":"', "<point>1 ", "no defects if ", "yes", "answer: ", "**", "&lt;box&gt;", "~~", "[a"),
]


def in_pixels(place: Numbers, convention: Convention, sent: tuple[int, int]) -> tuple[float, ...]:
    """Return a place in pixels, cut at the edges of the picture."""
    found = [convention.to_pixels(x, y, sent) for x, y in zip(place[::2], place[1::2], strict=True)]
    return tuple(round(min(max(value, 0), side), 3) for point in found for value, side in zip(point, sent, strict=True))


def pixels_of(box: tuple[float, ...]) -> tuple[float, ...]:
    """Return the sides of the pixels whose centres a box holds; the box itself if it holds none."""
    left, top, right, bottom = (math.ceil(value - 0.5) for value in box)
    return (left, top, right, bottom) if left < right and top < bottom else box


def as_numbers(shape: object) -> tuple[float, ...]:
    """Return the sides of a box, of a triangle, of a mask's pixels, or the place of a point."""
    match shape:
        case Box(x1, y1, x2, y2):
            numbers: Numbers = (x1, y1, x2, y2)
        case Point(x, y):
            numbers = (x, y)
        case Mask(left, top, pixels):
            numbers = (left, top, left + pixels.shape[1], top + pixels.shape[0])
        case Polygon(((x1, y1), _, (x2, y2))):
            numbers = (x1, y1, x2, y2)
        case _:
            numbers = ()
    return tuple(round(value, 3) for value in numbers)


def numbers_in(text: str, convention: Convention) -> set[float]:
    """Return every number that stands in a text; of patches, what they stand for."""
    shown = plain(Text.of(text)).text
    found = {float(one) for one in re.findall(r"(?=((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?))", shown)}
    found = {round(signed, 3) for value in found if value < _LARGE for signed in (value, -value, 0.0)}
    if convention.order == "patches":
        return {part + more for value in found for part in (value % 32, value // 32) for more in (0, 0.5, 1)}
    return found


def stands_among(value: float, numbers: set[float], *, sums: bool) -> bool:
    """Tell whether a number is one of several, or, with ``sums``, one plus another or plus half another."""
    if round(value, 3) in numbers or round(value, 3) + 0.0 in numbers:
        return True
    parts = (share * (value - one) for one in numbers for share in (1, 2)) if sums else ()
    return any(round(part + slack, 3) in numbers for part in parts for slack in (-0.001, 0, 0.001))


def is_in_text(finding: Finding, text: str, convention: Convention, sent: tuple[int, int]) -> bool:
    """Tell whether every number of every shape stands in the text, or is an edge of the picture."""
    if not finding.shapes:
        return True
    numbers = numbers_in(text, convention)
    sums = convention.order in {"xywh", "cxcywh"} or "width" in text or "w'" in text or 'w"' in text
    origin, unit = convention.to_pixels(0, 0, sent), convention.to_pixels(1, 1, sent)
    for shape in finding.shapes:
        match shape:
            case Box(x1, y1, x2, y2):
                points = [(x1, y1), (x2, y2)]
            case Point(x, y):
                points = [(x, y)]
            case Polygon(corners):
                points = [*corners]
            case _:
                continue  # the pixels of a mask come from a picture
        for axis in (0, 1):
            for value in {point[axis] for point in points} - {0.0, float(sent[axis])}:
                in_numbers = (value - origin[axis]) / (unit[axis] - origin[axis])
                if not stands_among(in_numbers, numbers, sums=sums):
                    return False
    return True


def check_places(reader: str, rng: random.Random, counts: Counter[str]) -> str:
    """Generate, damage and read one answer with boxes, points or masks; returns what is wrong, if anything."""
    read: Callable[..., Finding] = {"boxes": read_boxes, "points": read_points, "masks": read_masks}[reader]
    names = [name for name in convention_names() if can_be_read(load_convention(name), reader)]
    convention, sent = load_convention(rng.choice(names)), rng.choice(SIZES)
    places, text, form = written(rng, reader, convention)
    finding = read(Answer(text), convention, sent)
    counts[finding.status] += 1
    expected = {in_pixels(place, convention, sent) for place in places}
    # Of a picture padded to a square, a place may lie in the padding.
    inside = {place for place in expected if reader == "points" or (place[0] < place[2] and place[1] < place[3])}
    if form == "picture":
        inside = {pixels_of(place) for place in inside}
    if {as_numbers(shape) for shape in finding.shapes} != inside:
        return f"{form}, {convention.name}: {text!r} is read as {finding}"
    text = damaged(text, rng)
    for outcome in ("ok", "truncated"):
        finding = read(Answer(text, outcome), convention, sent, scored=rng.choice([True, False]))  # type: ignore[arg-type]
        counts[f"damaged: {finding.status}"] += 1
        if not is_in_text(finding, text, convention, sent):
            return f"damaged {form}, {convention.name}: {text!r} is read as {finding}"
    return ""


def can_be_read(convention: Convention, reader: str) -> bool:
    """Tell whether models of a convention write such places."""
    if reader == "masks":
        return convention.polygons is not None
    return (convention.points is not None) if reader == "points" else not {"molmo", "molmo2"} & {*convention.forms}


def check_cells(rng: random.Random, counts: Counter[str]) -> str:
    """The same for cells: each row and each column stands in the text, or between two that do."""
    naming: Any = rng.choice(["chess", "rc"])
    cells = {(rng.randint(1, GRID[0]), rng.randint(1, GRID[1])) for _ in range(rng.randint(1, 4))}
    names = {cell: f"{'ABCDEF'[cell[1] - 1]}{cell[0]}" if naming == "chess" else f"{cell}" for cell in cells}
    scores = {cell: rng.randint(1, 9) / 10 for cell in cells}
    if rng.choice([True, False]):
        text = f"image anomaly score: 0.9; {'; '.join(f'{names[cell]}: {scores[cell]}' for cell in cells)}"
    else:
        listed = [{"cell": names[cell] if naming == "chess" else [*cell], "score": scores[cell]} for cell in cells]
        text = json.dumps({"image_anomaly_score": 0.9, "cells": listed})
    finding = read_cells(Answer(text), *GRID, naming, scored=True)
    counts[finding.status] += 1
    read = {(cell.row, cell.column): cell.score for cell in finding.shapes if isinstance(cell, Cell)}
    if read != scores or finding.status != "ok":
        return f"{text!r} is read as {finding}"
    text = damaged(text, rng)
    finding = read_cells(Answer(text), *GRID, naming, scored=True)
    counts[f"damaged: {finding.status}"] += 1
    digits = {int(one) for one in re.findall("(?=([0-9]{1,3}))", plain(Text.of(text)).text)}
    rows = [cell.row for cell in finding.shapes if isinstance(cell, Cell)]
    return "" if all(min(digits) <= row <= max(digits) for row in rows) else f"{text!r} is read as {finding}"


def check_yes_no(rng: random.Random, counts: Counter[str]) -> str:
    """The same for yes or no: the word stands in the text."""
    word = rng.choice(["yes", "no", "Yes", "No", "YES"])
    text = rng.choice(["{}", "**{}**", "{}, it is.", "Answer: {}", '{{"answer": "{}"}}', "Hm.\nAnswer: {}."]).format(
        word
    )
    first = FirstToken(word, ((word, -0.1), ("Yes", -3.0), ("No", -3.0))) if rng.choice([True, False]) else None
    finding = read_yes_no(Answer(text, first=first))
    counts[finding.status] += 1
    if finding.image is None or round(finding.image) != (word.lower() == "yes"):
        return f"{text!r} is read as {finding}"
    text = damaged(text, rng)
    finding = read_yes_no(Answer(text))
    counts[f"damaged: {finding.status}"] += 1
    shown = plain(Text.of(text)).text.lower()
    return "" if finding.image is None or ("no", "yes")[int(finding.image)] in shown else f"{text!r}: {finding}"


CHECKS: dict[str, Callable[[random.Random, Counter[str]], str]] = {
    **{name: partial(check_places, name) for name in ("boxes", "points", "masks")},
    "cells": check_cells,
    "yes-no": check_yes_no,
}


def slow_texts() -> list[str]:
    """Read each hostile piece, repeated to two lengths, with every reader; returns which take too long."""
    read_in = {
        "gemini_1000": (read_boxes, read_points, read_masks),
        "molmo_100": (read_points,),
        "kosmos_32": (read_boxes,),
    }
    read_in |= {"paligemma_1024": (read_boxes,), "florence_1000": (read_boxes,), "molmo2_1000": (read_points,)}
    readers: list[Callable[[Answer], Finding]] = [
        *(
            partial(read, convention=load_convention(name), sent=(896, 896))
            for name in read_in
            for read in read_in[name]
        ),
        partial(read_cells, rows=8, columns=8, naming="chess"),
        partial(read_cells, rows=8, columns=8, naming="rc"),
        read_yes_no,
    ]
    found, longest = [], 0.0
    for piece in HOSTILE:
        for reader in readers:
            seconds = []
            for length in (5_000, 40_000):
                start = time.process_time()  # other processes do not count
                reader(Answer(piece * (length // len(piece))))
                seconds.append(time.process_time() - start)
            longest = max(longest, seconds[1])
            if seconds[1] > max(_NOTICED, 16 * seconds[0]):
                found.append(f"{piece!r} with {reader}: {seconds[0]:.3f} s, eight times as long {seconds[1]:.3f} s")
    print(f"{len(HOSTILE)} hostile pieces, 40,000 characters each: at most {longest:.2f} s")
    return found


def main() -> int:
    """Check as many answers as asked for with each reader; the status is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--answers", type=int, default=10_000, help="for each reader")
    parser.add_argument("--reader", choices=[*CHECKS], nargs="*", default=[*CHECKS])
    parser.add_argument("--hostile", action="store_true", help="also read long hostile texts, for about a minute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20, help="how many faults to print")
    args = parser.parse_args()
    faults: list[str] = []
    for name in args.reader:
        start, counts, before = time.monotonic(), Counter[str](), len(faults)
        for index in range(args.answers):
            rng = random.Random(f"{args.seed}/{name}/{index}")  # noqa: S311 - reproducible, not secret
            try:
                fault = CHECKS[name](rng, counts)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault to report
                fault = f"{type(error).__name__}: {error}"
            if fault:
                faults.append(f"--seed {args.seed}, {name} {index}: {fault}")
        print(f"{name}: {args.answers} answers in {time.monotonic() - start:.0f} s; {len(faults) - before} faults")
        print("   ", ", ".join(f"{status} {count}" for status, count in sorted(counts.items())))
    slow = slow_texts() if args.hostile else []
    print("\n".join([*faults[: args.show], *slow]))
    return bool(faults or slow)


if __name__ == "__main__":
    sys.exit(main())
