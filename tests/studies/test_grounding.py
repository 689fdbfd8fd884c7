"""The study of grounding recovers what is known of a scripted model, and asks nothing twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lvlm_ad
from lvlm_ad.errors import ConfigError
from lvlm_ad.metrics import pixel_metrics
from lvlm_ad.regions import Regions
from lvlm_ad.runs import read_run
from lvlm_ad.studies import (
    GroundingFigures,
    GroundingOptions,
    Study,
    chosen_images,
    price_grounding,
    study_grounding,
)
from lvlm_ad.studies.grounding_design import grounding_design
from lvlm_ad.studies.grounding_losses import loss_maps

SIDES = (4, 8, 14, 20)
"""Of the defects of ``coloured``: 0.25, 1, 3.1 and 6.3 % of an image of 80 x 80 pixels."""


def figures_of(config, *parts, images=40, **options):
    """Run a study and return its figures."""
    study = study_grounding(config, GroundingOptions(images, parts, **options))
    assert study.state == "complete"
    return GroundingFigures.model_validate(study.figures)


def test_what_is_too_small_is_missed(grounded):
    """A model that is blind below 0.5 % of the picture hits no smaller defect and every larger one."""
    figures = figures_of(grounded(blind=0.005), "resolution", sizes=())
    (base,) = figures.methods
    assert [(one.size, one.defects, one.rate.value) for one in base.hits] == [
        ("below 0.5 %", 5, 0.0),
        ("0.5 to 2 %", 5, 1.0),
        ("2 to 10 %", 10, 1.0),
        ("all", 20, 0.75),
    ]
    assert base.hits[0].rate.interval == pytest.approx((0.0, 0.434), abs=0.001)
    # One of 16 regions is named in 15 of 40 images; a defect covers part of it.
    truth = np.mean([0] * 25 + [(400 - side**2) / (6400 - side**2) for side in SIDES[1:] for _ in range(5)])
    assert base.false_share == pytest.approx(truth)


@pytest.mark.slow
def test_marks_that_distract(grounded):
    """Marks that add 0.1 to scores on average are found so for good and anomalous images, and leave AUROC alone."""
    figures = figures_of(grounded(distraction=0.1, noise=0.02), "methods")
    found = {(one.condition, one.against): one for one in figures.marks}
    assert set(found) == {
        (one, other) for one in ("base", "regions-image+marked") for other in ("score", "regions-image")
    }
    for one in found.values():
        for shift in (one.good, one.anomalous):
            assert shift.interval[0] <= 0.1 <= shift.interval[1]
            assert shift.value == pytest.approx(0.1, abs=0.03)
        assert one.auroc.interval[0] <= 0 <= one.auroc.interval[1]
    names = [one.condition for one in figures.methods]
    assert names == ["base", "regions-image+marked", "regions-image", "score", "cells", "zoom", "each"]
    assert {one.condition: bool(one.hits) for one in figures.methods}["score"] is False
    cells = next(one for one in figures.methods if one.condition == "cells")
    assert cells.hits[-1].rate.value == 1.0


@pytest.mark.slow
def test_a_model_that_is_not_distracted(grounded):
    """Without distraction the effect of marks is exactly 0, with an interval of no width."""
    figures = figures_of(grounded(), "methods", images=8)
    assert {(one.good.value, one.good.interval) for one in figures.marks} == {(0.0, (0.0, 0.0))}


def test_losses_add_up(grounded):
    """Each step is what the metrics of whole pixels give for its map; the losses add up; the last one is the run's."""
    config = grounded(wrong=0.4, blind=0.005, resamples=100)
    figures = figures_of(config, "losses")
    run = next(read_run(path.parent) for path in (config.out / "studies").rglob("run.json"))
    masks, maps = [], {"division": [], "naming": [], "score": []}
    for record, sample in zip(run.predictions, chosen_images(config, 40).dataset, strict=True):
        mask = np.kron(sample.mask, np.ones((2, 2), bool))
        true = np.kron(mask.reshape(4, 40, 4, 40).mean(axis=(1, 3)), np.ones((40, 40)))
        named = np.kron(
            np.array([record.regions.get(one, 0.0) for one in range(1, 17)]).reshape(4, 4), np.ones((40, 40))
        )
        masks.append(mask)
        for step, values in zip(maps, (true, np.where(named > 0, true, 0.0), named), strict=True):
            maps[step].append(values)
    for found in figures.losses:
        name = found.metric.removeprefix("pixel_")
        expected = [1.0, *(getattr(pixel_metrics(masks, maps[step]), name) for step in maps)]
        assert [one.value.value for one in found.steps] == pytest.approx(expected)
        assert sum(one.lost.value for one in found.steps) == pytest.approx(1 - expected[-1], abs=1e-12)
        assert found.steps[-1].value.value == pytest.approx(run.metrics["mean"][found.metric], abs=1e-12)
        for one in found.steps[1:]:
            low, high = one.lost.interval
            assert low < one.lost.value < high
    assert [one.metric for one in figures.losses] == ["pixel_ap", "pixel_aupro"]


def test_no_loss_has_no_width(grounded):
    """Who names the right regions loses nothing by naming, in every resample."""
    figures = figures_of(grounded(resamples=100), "losses")
    naming = next(one for one in figures.losses[0].steps if one.step == "naming")
    assert (naming.lost.value, naming.lost.interval) == (0.0, (0.0, 0.0))


@given(st.integers(0, 10**6))
def test_no_step_gains_pixel_auroc(seed):
    """Of all maps that are constant on regions the true fractions are best, and so they are of the named regions.

    That is the lemma of Neyman and Pearson. Pixel AP may rise a little where scores split regions of equal fractions.
    """
    draw = np.random.default_rng(seed)
    steps = {"division": [], "naming": [], "score": []}
    masks = []
    for _ in range(3):
        regions = Regions.from_labels(np.kron(draw.permutation(9).reshape(3, 3) + 1, np.ones((3, 3), int)))
        mask = draw.random((9, 9)) < draw.random() ** 2
        named = {int(one): float(draw.random()) for one in draw.choice(9, 4, replace=False) + 1}
        masks.append(mask)
        for step, scores in loss_maps(regions, mask, named).items():
            steps[step].append(scores[regions.cells])
    if any(mask.any() for mask in masks):
        division, naming, score = (pixel_metrics(masks, maps).auroc for maps in steps.values())
        assert division >= naming - 1e-12 >= score - 2e-12


@pytest.mark.slow
def test_a_larger_picture_shows_more(grounded):
    """A model that needs 80 red pixels sees the smallest defects at 320 px, and misses the next ones at 80 px."""
    figures = figures_of(grounded(pixels=80), "resolution", sizes=(80, 320))
    assert [one.level for one in figures.resolution] == [80, 160, 320]
    rates = [[size.rate.value for size in one.hits] for one in figures.resolution]
    assert [one[:3] for one in rates] == [[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    small, base, large = figures.resolution
    assert [one.auroc.value for one in (small, base, large)] == pytest.approx([0.75, 0.875, 1.0])
    assert (small.change.value, base.change.value, large.change.value) == (-0.125, 0.0, 0.125)
    assert small.change.interval[0] < -0.125 < small.change.interval[1]
    assert base.usd_per_image == pytest.approx(1020 / 1e6)


@pytest.mark.slow
def test_what_hurts_most(grounded, tmp_path):
    """A model that sees red loses everything in the dark, and nothing by coarse pixels; severity 0 is the base."""
    config = grounded()
    lvlm_ad.bench(replace(config, reference_rows=False))
    figures = figures_of(config, "corruptions", severities=(1,))
    lines = (tmp_path / "asked.txt").read_text().splitlines()
    assert len(lines) == len(set(lines)), "the base was answered by bench"
    curves = {one.kind: one for one in figures.corruptions}
    assert list(curves) == ["blur", "dark", "noise", "jpeg", "downscale"]
    dark = curves["dark"]
    assert [(one.level, one.auroc.value) for one in dark.points] == [(0, 1.0), (1, 0.5)]
    assert (dark.slope.value, dark.drop.value) == (-0.5, 0.5)
    assert figures.worst_corruption == "dark"
    assert curves["blur"].drop.value == 0.0
    folder = config.out / "studies" / "grounding-Grounded-regions-folder" / "images"
    assert len(list(folder.rglob("*.png"))) == 5 * 40
    figures_of(config, "corruptions", severities=(1,))
    assert (tmp_path / "asked.txt").read_text().splitlines() == lines


@pytest.mark.slow
def test_remembered_images(grounded):
    """A model that knows images by heart, and does not look, is found by mirrored images."""
    figures = figures_of(grounded(remembers=True), "contamination")
    screen = {one.condition: one for one in figures.contamination}
    assert (screen["mirrored"].auroc.value, screen["mirrored"].suspicious) == (0.5, True)
    assert screen["mirrored"].change.interval[0] <= -0.5 <= screen["mirrored"].change.interval[1]
    assert (screen["without-image"].auroc.value, screen["without-image"].suspicious) == (0.5, False)
    assert screen["without-name"].change.value == 0.0


@pytest.mark.slow
def test_an_honest_model(grounded):
    """A model that looks at the picture has no suspicious screen, and hits the mirrored defects, too."""
    study = study_grounding(grounded(noise=0.05), GroundingOptions(40, ("contamination",)))
    screen = GroundingFigures.model_validate(study.figures).contamination
    assert [one.suspicious for one in screen] == [False, None, False]
    assert study.findings[-1].startswith("No sure sign that images are remembered (without the image, image")
    run = study.runs(Path(grounded().out) / "studies" / study.name)["mirrored"]
    assert run.metrics["mean"]["pixel_auroc"] > 0.9


@pytest.mark.slow
def test_answers_from_the_name_alone(grounded):
    """A model that needs the object's name sees nothing without it."""
    figures = figures_of(grounded(word="bolt"), "contamination")
    name = figures.contamination[1]
    assert (name.auroc.value, name.change.value, name.suspicious) == (0.5, -0.5, None)
    assert name.change.interval[0] <= -0.5 <= name.change.interval[1] < 0


@pytest.mark.slow
def test_money_that_runs_out(grounded, tmp_path):
    """A capped study says what it can, and continues with what is missing."""
    config = replace(grounded(), max_cost=0.0215, concurrency=1)
    options = GroundingOptions(8, ("resolution", "corruptions"), (80, 320), (1,))
    study = study_grounding(config, options)
    assert study.state == "capped"
    assert study.spent_usd <= 0.0215
    figures = GroundingFigures.model_validate(study.figures)
    assert [one.missing for one in figures.resolution] == [0, 0, 3]
    assert figures.corruptions[0].points[1].missing == 8
    assert figures.corruptions[0].drop.reason == "no severity is answered"
    again = study_grounding(replace(config, max_cost=None), options)
    assert again.state == "complete"
    lines = (tmp_path / "asked.txt").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 8 * 8


@pytest.mark.slow
def test_the_price_of_a_study(grounded):
    """--dry-run asks nothing and writes no images; afterwards everything is stored."""
    config, options = grounded(), GroundingOptions(8, ("resolution", "corruptions", "contamination"), (80,), (2,))
    price = price_grounding(config, options)
    assert (price["questions"], price["to_ask"], price["stored"]) == (10 * 8 - 7, 10 * 8 - 7, 0)
    assert not (config.out / "studies").exists()
    study = study_grounding(config, options)
    again = price_grounding(config, options)
    assert (again["to_ask"], len(again["conditions"])) == (0, len(study.conditions))


@pytest.mark.slow
def test_a_method_that_the_model_cannot_follow_is_named(grounded):
    """Without a convention there are no boxes; the study is complete all the same."""
    study = study_grounding(grounded(), GroundingOptions(4, ("methods",)))
    assert study.state == "complete"
    assert [one.what for one in study.left_out] == ["boxes", "losses", "resolution", "corruptions", "contamination"]
    assert "names no convention" in study.left_out[0].reason
    folder = Path(grounded().out) / "studies" / study.name
    assert Study.read(folder) == study
    assert set(study.runs(folder)) == {one.name for one in study.conditions}


def test_settings_belong_to_their_method(grounded):
    """Options of a method and the prompt reach the conditions with that method, and the size reaches all."""
    config = grounded(zoom_budget=2, prompt="class-2", visual="image+marks")
    design = grounding_design(config, chosen_images(config, 4), sizes=(80, 160), severities=(1,))
    settings = {one.name: dict(one.settings) for one in design.study.conditions}
    assert settings["base"] == {"prompt": "class-2"}
    assert settings["zoom"] == {"zoom_budget": 2, "prompt": "class-2", "image_size": 160}
    assert settings["score"] == {"image_size": 160}
    assert settings["regions-marked"] == {"prompt": "class-2", "image_size": 160, "visual": "marked"}
    assert settings["blur-1"] == {"prompt": "class-2"}
    assert "size-160" not in settings
    assert {"zoom_budget", "prompt"}.isdisjoint(design.study.config.settings)
    other = grounding_design(replace(grounded(), method="score"), chosen_images(config, 4), parts=("methods",))
    names = [one.name for one in other.study.conditions]
    assert names == ["base", "regions-marked", "regions-image+marked", "regions-image", "cells", "zoom", "each"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": ("method",)}, r"no part 'method'. Did you mean 'methods'"),
        ({"parts": ()}, "needs a part"),
        ({"sizes": (8,)}, "from 16 to 8192; got 8"),
        ({"sizes": (80,), "parts": ("methods",)}, "--image-size names sizes for --part resolution"),
        ({"severities": (1,), "parts": ("methods",)}, "--severity is for --part corruptions"),
        ({"severities": (0,)}, "from 1 to 5; got 0"),
    ],
)
def test_a_wrong_option_is_refused(grounded, options, message):
    """Mistakes are one line, before anything is asked."""
    with pytest.raises(ConfigError, match=message):
        study_grounding(grounded(), GroundingOptions(images=4, **options))


@pytest.mark.slow
def test_a_text_that_gives_the_label_away(grounded):
    """If texts differ between good and anomalous images, AUROC without images is not 0.5, and the study says so."""
    config = grounded(counts=True, division="superpixel", n_segments=30)
    for name in ("grid_rows", "grid_columns"):
        config.settings.pop(name)
    study = study_grounding(config, GroundingOptions(40, ("contamination",)))
    figures = GroundingFigures.model_validate(study.figures)
    records = study.runs(config.out / "studies" / study.name)["without-image"].predictions
    labels = np.array([one.label for one in records])
    counts = np.array([one.n_regions for one in records])
    wins = (counts[labels][:, None] > counts[~labels]) + 0.5 * (counts[labels][:, None] == counts[~labels])
    text = figures.contamination[0]
    assert text.auroc.value == pytest.approx(wins.mean())
    assert text.suspicious is True
    assert study.findings[-1].startswith("Without the image, image AUROC is ")
