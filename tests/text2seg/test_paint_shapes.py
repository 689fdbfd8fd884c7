"""Shapes painted into a map."""

import numpy as np
import pytest

from lvlm_ad.metrics import count_cells, pixel_metrics, pixel_metrics_from_counts
from lvlm_ad.regions import Regions
from lvlm_ad.regions.shapes import Box, Cell, Mask, Point, Polygon, Region
from lvlm_ad.text2seg import paint, paint_shapes

SIZE = (30, 40)


def random_shapes(rng, count):
    """Shapes of all kinds at random places, with few distinct scores."""
    made = []
    for _ in range(count):
        x, y, width, height = rng.uniform(0, 30, 4)
        score = float(rng.integers(0, 6)) / 5
        made += [
            Box(x, y, x + width + 0.01, y + height + 0.01, score),
            Point(x, y, score, radius=width / 6),
            Cell(*rng.integers(1, 5, 2).tolist(), rows=4, columns=4, score=score),
            Polygon(((x, y), (x + width, y), (x, y + height)), score),
            Mask(int(x) - 3, int(y) - 3, rng.random((8, 9)) < 0.5, score),
        ]
    return [made[at] for at in rng.choice(len(made), count, replace=False)]


def by_pixel(shapes, *, binary=False):
    """The map, pixel by pixel."""
    dense = np.zeros(SIZE)
    for shape in shapes:
        dense = np.maximum(dense, shape.mask(*SIZE) * (float(shape.score > 0) if binary else shape.score))
    return dense


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("count", [0, 1, 5, 40, 300])
def test_the_highest_score_of_a_pixel_is_painted(count, binary):
    """The map equals that of pixel by pixel; each of its cells has a pixel and a score of its own."""
    shapes = random_shapes(np.random.default_rng(count), count)
    score_map = paint_shapes(shapes, SIZE, binary=binary)
    assert (score_map.dense() == by_pixel(shapes, binary=binary)).all()
    assert (score_map.regions.cell_areas > 0).all()
    assert len(set(score_map.values.tolist())) == score_map.values.size


def test_the_map_is_that_of_regions_made_of_the_masks():
    """Painting the shapes gives what painting their masks as regions gives."""
    shapes = random_shapes(np.random.default_rng(7), 20)
    regions = Regions.from_masks(np.stack([one.mask(*SIZE) for one in shapes]))
    scores = {number: one.score for number, one in enumerate(shapes, start=1)}
    assert (paint(scores, regions).dense() == paint_shapes(shapes, SIZE).dense()).all()


def test_counts_in_the_cells_give_the_metrics_of_the_pixels():
    """The pixel metrics from counts in a map's cells equal those of the map as an image, to 1e-12."""
    rng = np.random.default_rng(3)
    masks = [by_pixel(random_shapes(rng, 3)) > 0.3 for _ in range(4)]
    maps = [paint_shapes(random_shapes(rng, 6), SIZE) for _ in masks]
    counts = [count_cells(one.regions.cells, mask) for one, mask in zip(maps, masks, strict=True)]
    found = pixel_metrics_from_counts(counts, [one.values for one in maps])
    expected = pixel_metrics(masks, [one.dense() for one in maps])
    for name in ("auroc", "ap", "f1_max", "aupro"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12)


def test_regions_are_not_painted_without_their_division():
    """A region among the shapes is an error that names what paints it."""
    with pytest.raises(TypeError, match=r"Region 3 has no pixels without its division; paint\(\)"):
        paint_shapes([Region(3, 0.5)], SIZE)
