"""Write answers with places: known ones, in many forms and in each convention, whole and damaged."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvlm_ad.conventions import Convention

OWN = {"loc", "loc_", "patch", "molmo", "molmo2"}
Numbers = Sequence[float]

BOXES: dict[str, Callable[[list[Numbers]], str]] = {
    "json": lambda boxes: json.dumps([{"bbox_2d": [*box], "label": "dent"} for box in boxes], indent=1),
    "fence": lambda boxes: "Here:\n```json\n" + json.dumps([{"box_2d": [*box]} for box in boxes]) + "\n```",
    "lines": lambda boxes: "\n".join(json.dumps({"bbox": [*box], "label": "dent"}) for box in boxes),
    "wrapper": lambda boxes: json.dumps({"defects": [{"label": "dent", "box": [*box]} for box in boxes]}),
    "bare": lambda boxes: json.dumps({"boxes": [[*box] for box in boxes]}),
    "corners": lambda boxes: json.dumps([{"bbox": [[*box[:2]], [*box[2:]]]} for box in boxes]),
    "python": lambda boxes: "[" + "".join(f"{{'bbox_2d': {[*box]}, 'label': 'dent',}}, " for box in boxes) + "]",
    "prose": lambda boxes: "\n".join(f"- dent: {[*box]}" for box in boxes),
    "cogvlm": lambda boxes: "".join(f"A nut [[{','.join(map(str, box))}]]. " for box in boxes),
    "qwen": lambda boxes: "".join("<|box_start|>({},{}),({},{})<|box_end|>".format(*box) for box in boxes),
    "qwen, plain": lambda boxes: " ".join("dent({},{}),({},{})".format(*box) for box in boxes),
    "internvl": lambda boxes: f"<ref>dent</ref><box>{[[*box] for box in boxes]}</box>",
    "minicpm": lambda boxes: "".join("<box>{} {} {} {}</box>".format(*box) for box in boxes),
    "deepseek": lambda boxes: f"<|ref|>dent<|/ref|><|det|>{[[*box] for box in boxes]}<|/det|>",
    "glm": lambda boxes: f"It is at <|begin_of_box|>{[[*box] for box in boxes]}<|end_of_box|>.",
}
POINTS: dict[str, Callable[[list[Numbers]], str]] = {
    "json": lambda points: json.dumps([{"point_2d": [*point], "label": "dent"} for point in points]),
    "lines": lambda points: "\n".join(json.dumps({"point": [*point]}) for point in points),
    "bare": lambda points: json.dumps([[*point] for point in points]),
    "tags": lambda points: "".join("<point>{} {}</point>".format(*point) for point in points),
    "prose": lambda points: "; ".join("a dent at ({}, {})".format(*point) for point in points),
}
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGNgOMHwPwoABX4CIo11HRoAAAAASUVORK5CYII="
"""A PNG of 2 x 2 pixels in base64."""
MASKS: dict[str, Callable[[list[Numbers]], str]] = {
    "polygon": lambda boxes: json.dumps(
        [{"box_2d": [*box], "mask": [[box[1], box[0]], [box[3], box[0]], [box[3], box[2]]]} for box in boxes]
    ),
    "picture": lambda boxes: json.dumps([{"box_2d": [*box], "mask": PICTURE} for box in boxes]),
}
TOKENS: dict[str, Callable[[Numbers], str]] = {
    "loc": lambda place: "".join(f"<loc{value:04}>" for value in place) + " dent ; ",
    "loc_": lambda place: "dent" + "".join(f"<loc_{value}>" for value in place),
    "patch": lambda place: "<object>" + "".join(f"<patch_index_{value:04}>" for value in place) + "</object>",
    "molmo": lambda place: '<point x="{}" y="{}" alt="dent">dent</point>'.format(*place),
    "molmo2": lambda place: '<points coords="1 1 {} {}">dent</points>'.format(*place),
}
NOISE = [
    *("{", "}", "[", "]", "(", ")", "<", ">", '"', "'", ",", ":", "\n", "```", "<box>", "</box>", "<|det|>", "<ref>"),
    *('"bbox_2d": ', '"score": ', "null", "NaN", "1e999", "-", "0.5", "1000", "9" * 50, "<loc0100>", "<loc_5>", "[]"),
    *("<think>", "</think>", "no defects", "normal", "image anomaly score: 0.5", '"mask": ', "B3", "yes", "&lt;", "\\"),
    *("<point x='1' y='2'>", "<patch_index_0007>", "\u200b", "\uff3b", "\x00", "\U0001f534", "// ", "/*", "#", "%"),
]


def written(rng: random.Random, reader: str, convention: Convention) -> tuple[set[tuple[float, ...]], str, str]:
    """Return places as left, upper, right and lower side (a point as x and y), an answer that gives them, its form."""
    own = next((form for form in convention.forms if form in OWN), "")
    whole = 100 if convention.range == 1 else convention.range if isinstance(convention.range, int) else 300
    places: list[Numbers] = []
    texts: list[Numbers] = []
    for _ in range(rng.randint(1, 4)):
        x1, y1 = rng.randint(2, whole // 2), rng.randint(2, whole // 2)
        x2, y2 = rng.randint(x1 + 1, whole - 1), rng.randint(y1 + 1, whole - 1)
        ordered: dict[str, Numbers] = {
            "yxyx": (y1, x1, y2, x2),
            "xywh": (x1, y1, x2 - x1, y2 - y1),
            "cxcywh": ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1),
            "patches": (y1 * 32 + x1, y2 * 32 + x2),
        }
        box = ordered.get(convention.order, (x1, y1, x2, y2))
        point = (y1, x1) if convention.points == "yx" else (x1, y1)
        shift = 0.5 if convention.order == "patches" else 0  # the centre of a patch
        true = [value + shift for value in (x1, y1, x2, y2)]
        unit = 100 if convention.range == 1 else 1
        places.append([value / unit for value in (true[:2] if reader == "points" else true)])
        texts.append([value / unit if unit > 1 else value for value in (point if reader == "points" else box)])
    known = {tuple(place) for place in places}
    if own:
        return known, "".join(map(TOKENS[own], texts)), own
    forms = {"points": POINTS, "boxes": BOXES, "masks": MASKS}[reader]
    form = rng.choice(list(forms))
    return known, forms[form](texts), form


def damaged(text: str, rng: random.Random) -> str:
    """Return an answer with pieces cut out, repeated or put in."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        match rng.randrange(4):
            case 0:
                text = text[:at] + text[at + rng.randint(1, 4) :]
            case 1:
                text = text[:at] + rng.choice(NOISE) + text[at:]
            case 2:
                text = text[:to]
            case _:
                text = text[:at] + text[at:to] + text[at:]
    return text[:5000]
