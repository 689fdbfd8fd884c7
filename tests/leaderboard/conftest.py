"""Runs with any part of their manifest and metrics changed."""

from __future__ import annotations

import pytest

from lvlm_ad.runs import METRIC_NAMES, Manifest, PredictionRecord, Run

IMAGES = 20
"""Good images of a category, and defective ones."""


def predictions(auroc):
    """Predictions of two categories whose image AUROC is this multiple of 1/400, the nearest if it is none."""
    # Each defective image scores above so many good ones, and the first few above one more.
    beaten, more = divmod(round(IMAGES**2 * auroc), IMAGES)
    return [
        PredictionRecord(
            id=f"{category}/{label}/{number:02}",
            category=category,
            label=label,
            defect="d" if label else "good",
            image_score=0.1 + (beaten + (number < more) - 0.5 if label else number) / IMAGES,
            cost_usd=0.5 / (4 * IMAGES),
        )
        for category in "ab"
        for label in (False, True)
        for number in range(IMAGES)
    ]


def run_maker(folder):
    """A function that makes a run; it writes nothing to disk."""
    made = []

    def make(name, auroc=0.5, *, mean=None, answers=None, scores=None, protocol=None, model=None, **changes):
        facts = {
            "config_hash": f"{len(made):02x}{0:062x}",
            "model": {
                "name": name,
                "kind": "backend",
                "plugin": "openai",
                "identity": {},
                "row": "regions",
                "sees_truth": False,
                "price": {},
                **(model or {}),
            },
            "dataset": {
                "name": changes.pop("dataset", "demo"),
                "fingerprint": changes.pop("fingerprint", "f"),
                "n_images": 4 * IMAGES,
                "categories": ["a", "b"],
                "whole": changes.pop("whole", True),
                "notes": [],
            },
            "protocol": {"image_size": 768, "shots": 0, **(protocol or {})},
            "division": {"method": "superpixel", "options": {}, "hash": changes.pop("division", "d")},
            "prompt": {"name": "class", "hash": changes.pop("prompt", "p"), **changes.pop("asked", {})},
            "on_failure": "zero",
            "seed": 0,
            "versions": {},
            "started": "2026-01-01T00:00:00+00:00",
            "seconds": 1.0,
        }
        values = {**dict.fromkeys(METRIC_NAMES, auroc), **(mean or {})}
        known = {name: value for name, value in values.items() if name in METRIC_NAMES and value is not None}
        interval = {name: [max(0.0, value - 0.1), min(1.0, value + 0.1)] for name, value in known.items()}
        n_images = 4 * IMAGES
        metrics = {
            "mean": {"interval": interval, **values, "n_images": n_images, "n_measured": n_images, **(mean or {})},
            "intervals": {"level": 0.95, "resamples": 1000, "rule": 2},
            "categories": {name: dict(known) for name in "ab"},
            "answers": {"total": n_images, "ok": n_images, "usable": n_images, **(answers or {})},
            "coverage": 1.0,
            "usage": {"input_tokens": None, "output_tokens": None, "cost_usd": 0.5, "seconds": 1.0},
            **({"scores": scores} if scores else {}),
        }
        run = Run(
            folder / f"run{len(made)}",
            Manifest.model_validate({**facts, **changes}),
            metrics,
            predictions(0.5 if values["image_auroc"] is None else values["image_auroc"]),
        )
        made.append(run)
        return run

    return make


@pytest.fixture
def make_run(tmp_path):
    """A function that makes a run, in the test's folder."""
    return run_maker(tmp_path)


@pytest.fixture
def make_reference_row(make_run):
    """A function that makes a reference row, which is asked nothing."""
    return lambda name, auroc=0.5, **changes: make_run(name, auroc, prompt="", model={"frame": True}, **changes)


@pytest.fixture
def make_own_map(make_run):
    """A function that makes a row of a method's own map, which needs no division and is asked nothing."""
    return lambda name, auroc=0.5, **changes: make_run(
        name, auroc, prompt="", division="", model={"row": "dense"}, **changes
    )
