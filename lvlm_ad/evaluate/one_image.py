"""One image: how it is cut; and one model: the question, the answer and the map."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.asking import Budget
from lvlm_ad.datasets import Dataset, Sample
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.asking import make_detector
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.stores import open_stores
from lvlm_ad.plugins import build
from lvlm_ad.progress import Progress, Silent
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.regions import divide

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.detectors import Prediction
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.regions import Regions

__all__ = ["AskedImage", "CutImage", "ask", "cut"]


@dataclass(frozen=True, eq=False)
class AskedImage:
    """What came of asking about one image.

    Attributes:
        image: uint8 ``(S, S, 3)``, at the protocol's size.
        marked: uint8 ``(S, S, 3)``, with borders and numbers.
        prediction: the model's scores and their evidence.
        digest: SHA-256 (hex) over image, model, division and question.
    """

    image: NDArray[np.uint8]
    marked: NDArray[np.uint8]
    prediction: Prediction
    digest: str


@dataclass(frozen=True, eq=False)
class CutImage:
    """An image and its regions.

    Attributes:
        image: uint8 ``(S, S, 3)``, at the protocol's size.
        marked: uint8 ``(S, S, 3)``, with borders and numbers.
        regions: the division.
    """

    image: NDArray[np.uint8]
    marked: NDArray[np.uint8]
    regions: Regions


def ask(image: Path, config: RunConfig, category: str, progress: Progress | None = None) -> AskedImage:
    """Ask one model about one image, as a bench would.

    Args:
        image: the image's file.
        config: one model, and the conditions; its data set is not used.
        category: what the image shows, as a data set would name it.
        progress: hears what the user should know.

    Raises:
        ConfigError: not exactly one model is named, or it needs the ground truth, or a setting is wrong.
        ImageError: the image cannot be read.
        FatalError: the model cannot be asked.
    """
    if len(config.models) != 1:
        raise ConfigError("One image is asked about with one --model.")
    # The id is the file's content, so that the same image asked from elsewhere is the same question.
    sample = Sample(_content_id(image, category), category, label=False, defect="unknown", image_path=image)
    plan = resolve(replace(config, frame=False), Dataset("image", image.parent, (sample,)))
    found = _cut(sample, plan)
    with ExitStack() as stack:
        model = plan.models[0]
        plugin = build(model)
        stack.callback(plugin.close)
        if getattr(plugin, "sees_truth", False):
            raise ConfigError(f"{model.preset.name} answers with the ground truth, which a single image does not have.")
        stores = stack.enter_context(open_stores(config.out))
        asking = make_detector(
            plan,
            model,
            plugin,
            stores,
            Budget(None if model.preset.price.free else config.max_cost),
            progress or Silent(),
        )
        prediction = asking.detector.detect(sample, found.regions)
    asked = json.dumps([sample.id, plugin.identity(), found.regions.hash, prediction.key], sort_keys=True)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    return AskedImage(found.image, found.marked, prediction, digest)


def cut(image: Path, config: RunConfig) -> CutImage:
    """Cut one image into regions, as a bench would.

    Args:
        image: the image's file.
        config: the conditions; models and data set are not used.

    Raises:
        ConfigError: a setting is wrong, or the image cannot be read.
        ImageError: the file is no image.
    """
    sample = Sample(_content_id(image, ""), "", label=False, defect="unknown", image_path=image)
    return _cut(sample, resolve(replace(config, models=()), Dataset("image", image.parent, (sample,))))


def _cut(sample: Sample, plan: Plan) -> CutImage:
    side = plan.protocol.image_size
    pixels = resize_image(sample.image, (side, side))
    regions = divide(pixels, plan.protocol.division, **plan.division.model_dump())
    style = MarkStyle(plan.protocol.border_width, plan.protocol.number_size, plan.protocol.number_style)
    return CutImage(pixels, draw_marks(pixels, regions, style), regions)


def _content_id(image: Path, category: str) -> str:
    try:
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"The image {image} cannot be read: {error.strerror}.") from error
    return f"{category}/unknown/{digest[:16]}"
