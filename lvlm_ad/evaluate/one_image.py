"""One image: ``ask`` one model about it, or only ``cut`` it into regions, both as a bench would."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets import Dataset, Sample
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.engines import LocalEngine
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.bench_session import BenchSession
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.painting import named_places
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.regions import divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detectors import Prediction
    from lvlm_ad.log import Progress
    from lvlm_ad.regions import Regions

__all__ = ["AskedImage", "CutImage", "ask", "cut"]


@dataclass(frozen=True, eq=False)
class CutImage:
    """An image and its regions.

    Attributes:
        image: uint8 ``(S, S, 3)``, at the protocol's size.
        marked: uint8 ``(S, S, 3)``, with borders and numbers; without them if the method asks about no regions.
        regions: the division.
    """

    image: NDArray[np.uint8]
    marked: NDArray[np.uint8]
    regions: Regions


@dataclass(frozen=True, eq=False)
class AskedImage(CutImage):
    """An image, its regions, and a model's prediction.

    Attributes:
        prediction: the model's scores and the evidence for them.
        places: what and where each place is, and its score, the highest first.
        kind: in what the method says where a defect is, such as "regions"; empty: it does not say.
        model: the name of the preset, and the model that it asks, such as "gpt-4v (gpt-4o)".
        digest: SHA-256 (hex) over image, model, division and question.
    """

    prediction: Prediction
    digest: str
    model: str = ""
    places: Sequence[tuple[str, float]] = ()
    kind: str = "regions"


def ask(image: Path, config: RunConfig, category: str, progress: Progress | None = None) -> AskedImage:
    """Ask one model about one image.

    Args:
        image: the image's file.
        config: one model, and the conditions; its data set is not used.
        category: what the image shows, as a data set would name it.
        progress: receives notes for the user.

    Raises:
        ConfigError: not exactly one model is named, it needs the ground truth, or a setting is wrong.
        ImageError: the image cannot be read.
        FatalError: the model cannot be asked.
    """
    if len(config.models) != 1:
        raise ConfigError("Give exactly one --model.")
    sample, plan = _plan(image, replace(config, reference_rows=False), category)
    if plan.protocol.numbering:
        # The answer would name other numbers than the picture and the scores beside it.
        raise ConfigError("numbering is for lvlm-ad bench, which compares many answers; leave it out.")
    if plan.method.needs_pool:
        raise ConfigError(
            f"--method {plan.method_name} needs normal images, which a single image comes without. Inspect a folder "
            "of images, and name another one with normal images: lvlm-ad inspect FOLDER --good DIR."
        )
    parts = _cut(sample, plan)
    with ExitStack() as stack:
        engine = stack.enter_context(closing(LocalEngine()))
        session = BenchSession(plan, engine, progress)
        detector = session.detector(plan.models[0])
        stack.callback(detector.plugin.close)
        if detector.sees_truth:
            raise ConfigError(f"{detector.name} answers with the ground truth, which a single image does not have.")
        session.open_stores(stack)
        detector.start()
        prediction = detector.detect(sample, parts.regions)
    decides = [sample.id, detector.plugin.identity(), parts.regions.hash, prediction.record.key]
    if plan.method_name != "regions":
        decides += [plan.method_name, plan.method.identity()]
    asked = json.dumps(decides, sort_keys=True).encode()
    named = detector.model.preset.options.get("model")
    return AskedImage(
        parts.image,
        parts.marked if plan.method.needs_regions else parts.image,
        parts.regions,
        prediction,
        hashlib.sha256(asked).hexdigest(),
        f"{detector.name} ({named})" if named else detector.name,
        named_places(prediction.record),
        detector.places,
    )


def cut(image: Path, config: RunConfig) -> CutImage:
    """Cut one image into regions.

    Args:
        image: the image's file.
        config: the conditions; models and data set are not used.

    Raises:
        ConfigError: a setting is wrong, or the image cannot be read.
        ImageError: the file is no image.
    """
    return _cut(*_plan(image, replace(config, models=()), ""))


def _plan(image: Path, config: RunConfig, category: str) -> tuple[Sample, Plan]:
    """Return the image as a sample, and the plan for a data set of this one sample."""
    try:
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"The image {image} cannot be read: {error.strerror}.") from error
    # The id is the file's content, so that the same image in another place is the same question.
    name = f"{category}/unknown/{digest[:16]}"
    sample = Sample(name, category, label=False, defect="unknown", image_path=image)
    return sample, resolve(config, Dataset("image", image.parent, (sample,)))


def _cut(sample: Sample, plan: Plan) -> CutImage:
    side = plan.protocol.image_size
    pixels = resize_image(sample.image, (side, side))
    regions = divide(pixels, plan.divided.protocol.division, **plan.divided.division.model_dump())
    return CutImage(pixels, draw_marks(pixels, regions, MarkStyle.of(plan.protocol)), regions)
