"""Read many generated answers: forms x languages x scales, as they are and damaged.

    python benchmarks/fuzz_answers.py --answers 100000

Each answer is written from known scores. Read undamaged, it must give exactly these scores or report a problem. Read
damaged, it must not crash the parser, and every score must occur in the text. Needs nothing beyond the package.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lvlm_ad.backend import Answer
from lvlm_ad.text2seg import Scores, parse, read

N_REGIONS = 60
LANGUAGES = {
    "en": ("image anomaly score", "region"),
    "de": ("Bild-Anomalie-Score", "Bereich"),
    "fr": ("Score d'anomalie de l'image", "région"),
    "es": ("Puntuación de anomalía de la imagen", "región"),
    "it": ("Punteggio di anomalia dell'immagine", "regione"),
    "pt": ("Pontuação de anomalia da imagem", "região"),
    "zh": ("图像异常分数", "区域"),
    "ja": ("画像の異常スコア", "領域"),
    "ko": ("이미지 이상 점수", "영역"),
    "fi": ("image anomaly score", "alue"),  # the vocabulary does not know "alue"
}
FORMS: dict[str, Callable[[Wording, Mapping[int, str], str], str]] = {
    "line": lambda word, regions, image: _joined("; ", word, regions, image, "{}: {}"),
    "lines": lambda word, regions, image: _joined("\n", word, regions, image, "- **{}**: {}"),
    "equals": lambda word, regions, image: _joined(", ", word, regions, image, "{} = {}"),
    "arrow": lambda word, regions, image: _joined("\n", word, regions, image, "{} \u2192 {}"),
    "boxed": lambda word, regions, image: _joined("; ", word, regions, image, "{}: $\\boxed{{{}}}$"),
    "table": lambda word, regions, image: (
        "| Region | Score |\n|---|---|\n" + _joined("\n", word, regions, image, "| {} | {} |")
    ),
    "tuples": lambda word, regions, image: (
        f"{word.image}: {image}; regions: [" + ", ".join(f"({n}, {score})" for n, score in regions.items()) + "]"
    ),
    "map": lambda word, regions, image: (
        f"{word.image}: {image}; regions: {{" + ", ".join(f"{n}: {score}" for n, score in regions.items()) + "}"
    ),
    "short": lambda word, regions, image: (
        f"{word.image}: {image}; " + "; ".join(f"R{n}: {score}" for n, score in regions.items())
    ),
    "yaml": lambda _, regions, image: (
        f"image_anomaly_score: {image}\nregions:\n"
        + "\n".join(f"  - id: {n}\n    score: {score}" for n, score in regions.items())
    ),
    "xml": lambda _, regions, image: (
        f"<image_score>{image}</image_score>"
        + "".join(f'<region id="{n}" score="{score}"/>' for n, score in regions.items())
    ),
    "json": lambda _, regions, image: json.dumps(
        {"image_anomaly_score": image, "regions": [{"region": n, "score": score} for n, score in regions.items()]}
    ),
    "columns": lambda _, regions, image: json.dumps(
        {"image_anomaly_score": image, "regions": list(regions), "scores": list(regions.values())}
    ),
    "labels": lambda _, regions, image: json.dumps(
        {
            "image_anomaly_score": image,
            "regions": [{"region": f"Region {n} (left)", "score": s} for n, s in regions.items()],
        }
    ),
}
SCALES: dict[str, tuple[Callable[[int], str], str]] = {
    "unit": (lambda tenths: f"{tenths / 10:g}" if tenths % 10 else f"{tenths / 10:.1f}", ""),
    "percent": (lambda tenths: f"{10 * tenths}%", ""),
    "out of ten": (lambda tenths: f"{tenths}/10", ""),
    "stated 0-10": (str, "All scores are on a scale from 0 to 10.\n"),
    "stated percent": (lambda tenths: str(10 * tenths), "Scores are in percent.\n"),
    "unstated": (str, ""),
}
NOISE = [
    *(
        "region 3: ",
        "0.7",
        "; ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "%",
        "/10",
        "<think>",
        "</think>",
        "|",
        "\\boxed{",
    ),
    *(
        "reference image: 0.1",
        "Image 2: ",
        "score",
        "~",
        "#",
        "区域",
        "は",
        "\u0663",
        "\u200b",
        "\x1b[31m",
        "\ud800",
        "1e999",
    ),
    *("9" * 400, "NaN", "-", "confidence: 0.9", "(0.3, 0.4)", "2 holes", "~~", "/*", "//", '"', "'", "0-100", "max"),
]
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+")


@dataclass(frozen=True)
class Wording:
    """The words for the image's score and for a region."""

    image: str
    region: str


def _joined(joint: str, word: Wording, regions: Mapping[int, str], image: str, pair: str) -> str:
    named = [(word.image, image), *((f"{word.region} {n}", score) for n, score in regions.items())]
    return joint.join(pair.format(name, score) for name, score in named)


def generated(rng: random.Random) -> tuple[str, int, dict[int, int], str]:
    """Return an answer, its image score and region scores in tenths, and what it is made of."""
    form, scale, language = rng.choice(list(FORMS)), rng.choice(list(SCALES)), rng.choice(list(LANGUAGES))
    regions = {n: rng.randint(0, 10) for n in sorted(rng.sample(range(1, N_REGIONS + 1), rng.randint(1, 5)))}
    image = max(regions.values())
    if image <= 1 and scale == "unstated":
        scale = "unit"
    written, stated = SCALES[scale]
    scores = {n: written(tenths) for n, tenths in regions.items()}
    text = stated + FORMS[form](Wording(*LANGUAGES[language]), scores, written(image))
    return text, image, regions, f"{form}, {scale}, {language}"


def damaged(text: str, rng: random.Random) -> str:
    """Return an answer with pieces cut out, moved or put in."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[at + rng.randint(1, 4) :]
            case 1:
                text = text[:at] + rng.choice(NOISE) + text[at:]
            case 2:
                text = text[:to]
            case 3:
                text = text[:at] + text[at:to] + text[at:]
            case _:
                text = f"{generated(rng)[0]}\n{text}"
    return text[:5000]


def is_right_or_reported(scores: Scores, image: int, regions: Mapping[int, int]) -> bool:
    """Return whether exactly the written scores are read, or the result reports a problem."""
    if scores.status != "ok":
        return scores.image is None or scores.status == "partial"
    # A region without a score has 0.
    read_as = {n: round(score, 9) for n, score in scores.regions.items() if score}
    written = {n: tenths / 10 for n, tenths in regions.items() if tenths}
    return round(scores.image or 0.0, 9) == image / 10 and read_as == written


def occurs_in(score: float, text: str) -> bool:
    """Return whether a number in a text is the score, as it is or on a scale whose end is in the text."""
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    digits = "".join(str(unicodedata.digit(c)) if c.isdecimal() else c for c in unicodedata.normalize("NFKC", text))
    numbers = {float(number.replace(",", ".")) for number in _NUMBER.findall(digits.replace("\u066b", "."))}
    # A decimal point may belong to the sentence, and a comma to a list.
    numbers |= {float(whole) for whole in re.findall("[0-9]+", digits)}
    ends = {100.0, *(number for number in numbers if number > 1)}
    possible = (low + score * (end - low) for end in ends for low in (0, 1))
    return any(_near(score, n) for n in numbers) or any(_near(value, n) for value in possible for n in numbers)


def _near(left: float, right: float) -> bool:
    return abs(left - right) <= 1e-9 * max(1.0, abs(left))


def check(rng: random.Random, counts: Counter[str]) -> str:
    """Generate, damage and read one answer; returns what is wrong, if anything."""
    text, image, regions, made_of = generated(rng)
    scores = parse(text, N_REGIONS)
    counts[scores.status] += 1
    if not is_right_or_reported(scores, image, regions):
        return f"{made_of}: {text!r} is read as {scores}"
    text = damaged(text, rng)
    for scores in (parse(text, N_REGIONS), read(Answer(text, outcome="truncated"), N_REGIONS)):
        counts[f"damaged: {scores.status}"] += 1
        values = [*scores.regions.values(), *([] if scores.image is None else [scores.image])]
        if not all(0 <= value <= 1 and occurs_in(value, text) for value in values):
            return f"damaged {made_of}: {text!r} is read as {scores}"
    return ""


def main() -> int:
    """Check as many answers as asked for; the status is 1 if any is read wrongly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--answers", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20, help="how many faults to print")
    args = parser.parse_args()
    start, counts = time.monotonic(), Counter[str]()
    faults: list[str] = []
    for index in range(args.answers):
        try:
            fault = check(random.Random(f"{args.seed}/{index}"), counts)  # noqa: S311 - reproducible, not secret
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault to report
            fault = f"{type(error).__name__}: {error}"
        if fault:
            faults.append(f"--seed {args.seed}, answer {index}: {fault}")
    print(f"{args.answers} answers in {time.monotonic() - start:.0f} s; {len(faults)} faults")
    print(", ".join(f"{status} {count}" for status, count in sorted(counts.items())))
    print("\n".join(faults[: args.show]))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
