"""Runs with any part of their manifest and metrics changed."""

from __future__ import annotations

import pytest

from lvlm_ad.runs import METRIC_NAMES, Manifest, Run


@pytest.fixture
def make_run(tmp_path):
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
                "n_images": 10,
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
        metrics = {
            "mean": {**dict.fromkeys(METRIC_NAMES, auroc), "n_images": 10, "n_measured": 10, **(mean or {})},
            "categories": {},
            "answers": {"total": 10, "ok": 10, "usable": 10, **(answers or {})},
            "coverage": 1.0,
            "usage": {"input_tokens": None, "output_tokens": None, "cost_usd": 0.5, "seconds": 1.0},
            **({"scores": scores} if scores else {}),
        }
        run = Run(tmp_path / f"run{len(made)}", Manifest.model_validate({**facts, **changes}), metrics, [])
        made.append(run)
        return run

    return make


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
