"""Run folders whose files do not belong together, or hold what cannot be."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.runs import read_run


def less(arrays):
    """The last image is missing."""
    end = len(arrays["scores"]) - max(0, arrays["lengths"][-1])
    cut = {name: arrays[name][:end] for name in ("scores", "normal", "anomalous", "overlap")}
    return {**cut, "lengths": arrays["lengths"][:-1], "n_regions": arrays["n_regions"][:-1]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (less, "11 images in pixels.npz, 12 in predictions.jsonl"),
        (lambda one: {**one, "normal": one["normal"] * 0 + 2**62}, "pixels.npz: .* counts that cannot be"),
        (lambda one: {**one, "n_regions": one["n_regions"] * 0 + 2**62}, "pixels.npz: .* counts that cannot be"),
        (lambda one: {**one, "n_regions": one["n_regions"] * 0}, "pixels.npz: .* regions that do not fit"),
        (lambda one: {**one, "n_regions": one["n_regions"] + 10**6}, "pixels.npz: .* regions that do not fit"),
        (
            lambda one: {name: array[:0] if len(array) > 12 else array * 0 for name, array in one.items()},
            "pixels.npz: .* counts that cannot be",
        ),
        (lambda one: {**one, "lengths": one["lengths"] * 0 - 2}, "pixels.npz: .* do not fit together"),
    ],
)
def test_counts_of_pixels_that_cannot_be_are_refused(change, says, kept_run, tmp_path):
    """Of a damaged or forged file one line, whatever reads it."""
    folder = Path(shutil.copytree(kept_run.dir, tmp_path / "run"))
    with np.load(folder / "pixels.npz", allow_pickle=False) as file:
        arrays = dict(file)
    np.savez_compressed(folder / "pixels.npz", **change(arrays))
    with pytest.raises(RunError, match=says):
        read_run(folder)


def test_categories_without_predictions_are_refused(kept_run, tmp_path):
    """A manifest that names other categories than the images have."""
    folder = Path(shutil.copytree(kept_run.dir, tmp_path / "run"))
    run = json.loads((folder / "run.json").read_text())
    run["dataset"]["categories"][0] = "../../etc"
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(RunError, match="names other categories"):
        read_run(folder)
