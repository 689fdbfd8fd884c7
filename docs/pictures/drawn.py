"""Pictures that are drawn: the three steps, and what the methods show a model."""

from __future__ import annotations

import io
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lvlm_ad.backend import Answer
from lvlm_ad.conventions import load_convention
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.engines import LocalEngine
from lvlm_ad.evaluate import RunConfig, resolve
from lvlm_ad.evaluate.bench_session import BenchSession
from lvlm_ad.evaluate.conversation import look_up
from lvlm_ad.evaluate.painting import paint_places
from lvlm_ad.evaluate.views import Views
from lvlm_ad.methods import AskedModel
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.regions import divide
from lvlm_ad.report import heat, overview
from lvlm_ad.text2seg import write
from pictures.saving import save

SIZE = (768, 768)
SHOWN = "pills/wrong_colour/000"


def pipeline(images: Path) -> None:
    """Draw the three steps on one demo image; the answer is the oracle's, written in the published format."""
    with TemporaryDirectory() as folder:
        settings = {"image_size": SIZE[0]}
        plan = resolve(RunConfig(["oracle"], "demo", settings=settings, out=Path(folder), reference_rows=False))
        sample = next(sample for sample in plan.dataset if sample.id == SHOWN)
        image, mask = resize_image(sample.image, SIZE), sample.mask
        regions = divide(image)
        (oracle,) = plan.models
        with closing(LocalEngine()) as engine:
            prediction = BenchSession(plan, engine).detector(oracle).detect(sample, regions)
    marked = draw_marks(image, regions, MarkStyle())
    truth = None if mask is None else resize_mask(mask, SIZE)
    picture = overview(image, marked, prediction.record.text, prediction.score_map.dense(), truth)
    save(Image.fromarray(np.ascontiguousarray(picture)), images / "pipeline.png")


def methods(images: Path) -> None:
    """Draw for one demo image what some methods show a model, and the map of the best answer that it could give."""
    names = ("regions", "zoom", "boxes", "points", "cells", "masks")
    panels = [_panels(name) for name in names]
    side, gap, head = 300, 12, 26
    sheet = Image.new("RGB", (len(names) * (side + gap) + gap, 2 * (side + gap) + head), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (name, (shown, values)) in enumerate(zip(names, panels, strict=True)):
        left = gap + column * (side + gap)
        draw.text((left, 4), name, fill=(32, 32, 32), font=ImageFont.load_default(size=18))
        for row, panel in enumerate((shown, heat(values))):
            small = Image.fromarray(panel).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(small, (left, head + row * (side + gap)))
    save(sheet, images / "methods.png")


def _panels(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the last kind of picture that a method shows, and the map of its best finding."""
    settings = {"scored": "true"} if name in {"boxes", "points"} else {"marks": "true"} if name == "cells" else {}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        plan = resolve(RunConfig(dataset="demo", out=Path(folder), method=name, settings=settings))
        session = BenchSession(plan, stack.enter_context(closing(LocalEngine())))
        session.open_stores(stack)
        sample = next(sample for sample in plan.dataset if sample.id == SHOWN)
        side = plan.protocol.image_size
        asked = AskedModel(convention=load_convention("gemini_1000"))
        regions = divide(resize_image(sample.image, (side, side)))
        view = Views(session, plan.models[0], asked).view(sample, regions)
        mask = resize_mask(sample.mask, (side, side))
        finding = plan.method.best_finding(view, mask)
        # zoom: its first look gets the best answer about regions, and what it shows then is the closest look.
        first = Answer(write(1.0, dict(enumerate(regions.pool(mask).tolist(), start=1))))
        known = first if name == "zoom" else None
        questions = look_up(plan.method, view, lambda question: known if question.images else None)
        asked_about = (questions.answered[1:] or [(one, None) for one in questions.pending])[0][0]
        with Image.open(io.BytesIO(asked_about.images[-1].data)) as picture:
            shown = np.asarray(picture.convert("RGB"))
        return shown, paint_places(finding.shapes, view.regions, side).dense()
