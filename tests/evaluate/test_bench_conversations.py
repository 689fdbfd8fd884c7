"""Benches with the methods that ask several questions about an image, behind a real HTTP endpoint."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import lvlm_ad
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.evaluate import RunConfig, dry_run

SMALL_NUMBERS = {"number_size": 7, "border_width": 1}
BOLT = ("bolt",)
"""Six images are enough."""


def pictures_of(body):
    """Decode the pictures of a request."""
    uris = [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
    return [np.asarray(Image.open(BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")) for uri in uris]


def blind_below(count):
    """A model that sees red spots of at least this many pixels, and says nothing about regions."""

    def reply(body):
        red, green, blue = np.moveaxis(pictures_of(body)[-1].astype(int), 2, 0)
        seen = ((red > 180) & (green < 90) & (blue < 90)).sum() >= count
        return f"image anomaly score: {float(seen)}."

    return reply


@pytest.fixture
def forecast(endpoint, kept_data, out, grid):
    """The forecast of a bench of the model behind the endpoint."""

    def run(method, **settings):
        settings = {**grid, **SMALL_NUMBERS, "base_url": endpoint.url, **settings}
        (one,) = dry_run(
            RunConfig(
                "gpt-4v",
                data=kept_data,
                categories=BOLT,
                out=out,
                reference_rows=False,
                method=method,
                settings=settings,
            )
        )
        return one

    return run


def test_zoom_finds_what_regions_miss_at_the_price_that_was_forecast(bench, endpoint, forecast):
    """Defects that are too small in the whole picture are found in crops; stored first looks are not asked anew."""
    endpoint.reply = blind_below(450)
    blind = bench(method="regions", categories=BOLT, settings=SMALL_NUMBERS)
    assert len(endpoint.asked) == 6
    assert blind.metrics["mean"]["image_auroc"] == 0.5
    expected = forecast("zoom", zoom_budget=3)
    assert (expected["questions"], expected["stored"], expected["to_ask"]) == (24, 6, 18)
    seen = bench(method="zoom", categories=BOLT, settings={**SMALL_NUMBERS, "zoom_budget": 3})
    assert len(endpoint.asked) == 6 + expected["to_ask"]
    assert seen.metrics["mean"]["image_auroc"] == 1
    assert seen.metrics["usage"]["questions"] == 24
    assert len({str(body["messages"]) for body in endpoint.asked}) == 24


def test_votes_use_the_stored_answers_of_regions(bench, endpoint):
    """Of three answers an image, the first is the one that regions has paid for."""
    bench(method="regions", categories=BOLT, settings=SMALL_NUMBERS)
    for vary, more in (("renumber", 12), ("paraphrase", 12)):
        asked = len(endpoint.asked)
        run = bench(method="votes", categories=BOLT, settings={**SMALL_NUMBERS, "vary": vary})
        assert len(endpoint.asked) == asked + more
        assert all(record.spread == 0 and len(record.steps) == 3 for record in run.predictions)


@pytest.mark.slow
def test_pairs_show_the_nearest_training_image(bench, endpoint, kept_data):
    """Every left half is the normal training image of the same category that looks most like the right half."""
    dataset = load_dataset("folder", kept_data)
    train = {
        resize_image(dataset.reference_image(category, path), (96, 96)).tobytes(): category
        for category in dataset.categories
        for path in dataset.references[category]
    }
    run = bench(method="pairs", settings={**SMALL_NUMBERS, "pair_shots": 2})
    assert len(endpoint.asked) == 24
    for body in endpoint.asked:
        (pair,) = pictures_of(body)
        category = "nut1" if "nut" in body["messages"][0]["content"][-1]["text"] else "bolt"
        assert train[pair[:, :96].tobytes()] == category
    assert all(record.image_score == 0.5 for record in run.predictions)


def test_each_asks_about_every_region(bench, endpoint):
    """Sixteen questions an image; a model that sees the defect in its crop finds every defective image."""
    endpoint.reply = blind_below(500)
    run = bench(method="each", categories=BOLT, settings={"each_size": 96, "each_margin": 0.1})
    assert [len(record.steps) for record in run.predictions] == [16] * 6
    assert run.metrics["mean"]["image_auroc"] == 1
    assert run.metrics["mean"]["pixel_auroc"] > 0.8


def test_the_oracle_through_zoom_reaches_that_of_the_finest_division(kept_data, out, grid):
    """Sixteen squares of sixteen squares each are a grid of 16 x 16: all metrics of both oracles are equal."""
    common = {"models": "oracle", "data": kept_data, "out": out, "reference_rows": False, "resamples": 0}
    fine = {**grid, "grid_rows": 16, "grid_columns": 16}
    (finest,) = lvlm_ad.bench(**common, settings=fine)
    (unlimited,) = lvlm_ad.bench(**common, settings={**grid, "zoom_budget": 16}, method="zoom")
    (limited,) = lvlm_ad.bench(**common, settings={**grid, "zoom_budget": 1}, method="zoom")
    (coarse,) = lvlm_ad.bench(**common, settings=grid)
    names = ("image_auroc", "pixel_auroc", "pixel_ap", "pixel_f1_max", "pixel_aupro")
    mean, best = unlimited.metrics["mean"], finest.metrics["mean"]
    assert [mean[name] for name in names] == pytest.approx([best[name] for name in names], abs=1e-12)
    assert coarse.metrics["mean"]["pixel_ap"] < limited.metrics["mean"]["pixel_ap"] < mean["pixel_ap"]
