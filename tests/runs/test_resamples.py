"""The cache of metrics on resamples: what ranks by other metrics read, if it can be used."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.metrics.estimates import Estimate
from lvlm_ad.runs import read_resamples, read_run, write_resamples

FROZEN = Path(__file__).parents[1] / "data" / "v0_1" / "out"


@pytest.fixture
def run(tmp_path):
    """A run of two categories, read without predictions, whose folder is empty but for the cache."""
    run = replace(read_run(next(FROZEN.glob("chance-*")), predictions=False), dir=tmp_path)
    draws = np.linspace(0, 1, 50)
    write_resamples(tmp_path, {name: estimates(draws) for name in run.manifest.dataset.categories})
    return run


def estimates(draws):
    """An estimate of two metrics."""
    return {name: Estimate(0.5, images=5, sizes=(5, 6), draws=draws) for name in ("image_ap", "image_auroc")}


def test_draws_are_written_and_read(run):
    """With the numbers of images behind them; of image AUROC, whose ranks need none, nothing is kept."""
    found = read_resamples(run, "image_ap", 50)
    assert list(found) == run.manifest.dataset.categories
    for name, one in found.items():
        assert one.value == run.metrics["categories"][name]["image_ap"]
        assert (one.images, one.sizes) == (5.0, (5, 6))
        np.testing.assert_allclose(one.draws, np.linspace(0, 1, 50), atol=1e-7)
    assert read_resamples(run, "image_auroc", 50) == {}


@pytest.mark.parametrize("draws", [np.linspace(0, 1, 49), np.linspace(0, 2, 50), np.full((50, 1), 0.5), None], ids=str)
def test_what_cannot_be_used_is_no_cache(run, draws):
    """Too few draws, no fractions, another shape, or one category without any."""
    first, *others = run.manifest.dataset.categories
    write_resamples(run.dir, {first: estimates(draws), **{name: estimates(np.full(50, 0.5)) for name in others}})
    assert read_resamples(run, "image_ap", 50) == {}


def test_a_damaged_or_missing_file_is_no_cache(run):
    """It is computed again; nothing fails."""
    (run.dir / "resamples.npz").write_bytes(b"PK no archive")
    assert read_resamples(run, "image_ap", 50) == {}
    (run.dir / "resamples.npz").unlink()
    assert read_resamples(run, "image_ap", 50) == {}
