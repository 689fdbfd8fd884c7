"""Check how a model writes coordinates: it is asked for a square that is drawn at known places of plain pictures."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lvlm_ad.conventions import convention_names, load_convention
from lvlm_ad.datasets import Dataset, Sample
from lvlm_ad.engines import LocalEngine
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.bench_session import BenchSession
from lvlm_ad.evaluate.chat_detector import ChatDetector
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.methods.one_question import OneQuestion
from lvlm_ad.regions.shapes import Box
from lvlm_ad.text2seg.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.log import Progress
    from lvlm_ad.methods import View
    from lvlm_ad.text2seg import Status

__all__ = ["CheckedPicture", "ConventionCheck", "check_convention"]

_SQUARES = (
    (2000, 1000, Box(1450, 620, 1650, 820, 1.0)),
    (2000, 1000, Box(310, 130, 510, 330, 1.0)),
    (680, 1360, Box(430, 1030, 570, 1170, 1.0)),
    (680, 1360, Box(90, 260, 230, 400, 1.0)),
)
"""Width and height of a picture, and the square in it. Wide and tall, because engines err where a picture is not
square. The wide one is larger than some models take: their resized picture then has other pixels than the one sent."""
_OBJECT = "plain grey plate"
_GREY, _RED = 190, (200, 30, 30)
_GOOD, _BETTER = 0.5, 0.05
"""IoU from which a square counts as found, and by how much another convention must fit better to be named."""


@dataclass(frozen=True, slots=True)
class CheckedPicture:
    """One picture of the check.

    Attributes:
        size: width and height in pixels, as sent.
        square: the square that is drawn.
        box: the model's box that overlaps it most, in pixels of the picture as sent; None: there is none.
        iou: their intersection over union; 0 without a box.
        status: as ``Finding.status``.
        flags: as ``Finding.flags``.
        text: the answer.
    """

    size: tuple[int, int]
    square: Box
    box: Box | None
    iou: float
    status: Status
    flags: tuple[str, ...]
    text: str

    @property
    def names_places(self) -> bool:
        """Whether the answer has a box, or coordinates that cannot be used; else the model may just see nothing."""
        return self.box is not None or bool(self.flags)


@dataclass(frozen=True, slots=True)
class ConventionCheck:
    """Whether a model writes coordinates in the convention of its preset.

    Attributes:
        model: the preset's name.
        convention: the convention's name.
        stated: whether the question states it.
        pictures: what was asked.
        others: other convention -> mean IoU if the same answers are read in it. Only those that fit clearly better; a
            hint for people, as several may fit.
    """

    model: str
    convention: str
    stated: bool
    pictures: tuple[CheckedPicture, ...]
    others: dict[str, float]

    @property
    def iou(self) -> float:
        """Mean IoU over the pictures whose answers name places; 0 if there are none."""
        return _mean([one.iou for one in self.pictures if one.names_places])

    @property
    def verdict(self) -> Literal["holds", "does not hold", "open"]:
        """``open``: too few answers have a box, and no other convention fits better."""
        ious = [one.iou for one in self.pictures if one.names_places]
        if self.others or (ious and min(ious) < _GOOD):
            return "does not hold"
        return "holds" if len(ious) == len(self.pictures) else "open"


def check_convention(config: RunConfig, progress: Progress | None = None) -> ConventionCheck:
    """Ask one model for the square in four pictures, with stored answers as in a bench.

    Args:
        config: one model, and a method that answers with boxes; its data set is not used.
        progress: receives notes for the user.

    Raises:
        ConfigError: not exactly one chat model is named, the method does not answer with boxes, the model has no
            convention, or a setting is wrong.
        FatalError: the model cannot be asked.
    """
    if len(config.models) != 1:
        raise ConfigError("Give exactly one model.")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        samples = tuple(_samples(Path(folder)))
        plan = resolve(replace(config, reference_rows=False), Dataset("check", Path(folder), samples))
        method = plan.method
        if not isinstance(method, OneQuestion) or method.places != "boxes":
            raise ConfigError(f"The method {plan.method_name} does not ask one question for boxes.")
        engine = stack.enter_context(closing(LocalEngine()))
        session = BenchSession(plan, engine, progress)
        detector = session.detector(plan.models[0])
        stack.callback(detector.plugin.close)
        if not isinstance(detector, ChatDetector):
            raise ConfigError(f"{detector.name} is no chat model; it writes no coordinates.")
        session.open_stores(stack)
        detector.start()
        seen = [detector.inspect_unstretched(sample) for sample in samples]
    pictures = []
    read_as: dict[str, list[float]] = {name: [] for name in convention_names()}
    for (_, _, square), (view, finding, answers) in zip(_SQUARES, seen, strict=True):
        pictures.append(_checked(view, finding, answers, square))
        for name, ious in read_as.items():
            other = _checked(view, _read_in(name, method, view, answers), answers, square)
            if other.names_places:
                ious.append(other.iou)
    preset = plan.models[0].preset
    check = ConventionCheck(preset.name, preset.convention, preset.state_convention, tuple(pictures), {})
    fit = {name: _mean(ious) for name, ious in read_as.items()}
    better = {name: iou for name, iou in fit.items() if iou > max(check.iou + _BETTER, _GOOD)}
    return replace(check, others=dict(sorted(better.items(), key=lambda item: -item[1])))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _samples(folder: Path) -> Iterable[Sample]:
    from PIL import Image  # noqa: PLC0415 - needed for a check only

    for number, (width, height, square) in enumerate(_SQUARES):
        path = folder / f"{number}.png"
        Image.fromarray(_picture(width, height, square)).save(path)
        yield Sample(f"{_OBJECT}/check/{number}", _OBJECT, label=True, defect="check", image_path=path)


def _picture(width: int, height: int, square: Box) -> NDArray[np.uint8]:
    pixels = np.full((height, width, 3), _GREY, np.uint8)
    pixels[int(square.y1) : int(square.y2), int(square.x1) : int(square.x2)] = _RED
    return pixels


def _checked(view: View, finding: Finding, answers: list[Answer], square: Box) -> CheckedPicture:
    height, width = view.size
    boxes = [shape for shape in finding.shapes if isinstance(shape, Box)]
    box = max(boxes, key=lambda one: _iou(one, square), default=None)
    iou = 0.0 if box is None else _iou(box, square)
    text = answers[-1].text if answers else ""
    return CheckedPicture((width, height), square, box, iou, finding.status, finding.flags, text)


def _read_in(name: str, method: OneQuestion, view: View, answers: list[Answer]) -> Finding:
    """Read answers in another convention; the finding is empty if the method cannot use it."""
    model = replace(view.model, convention=load_convention(name))
    if not answers or method.why_not(model):
        return Finding(None, status="unparsable")
    return method.read(answers[-1], replace(view, model=model))


def _iou(one: Box, two: Box) -> float:
    width = min(one.x2, two.x2) - max(one.x1, two.x1)
    height = min(one.y2, two.y2) - max(one.y1, two.y1)
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, two)]
    return shared / (sum(areas) - shared)
