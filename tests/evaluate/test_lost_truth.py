"""What of the ground truth is not measured is told: empty masks, and defects that are lost when masks are resized."""

from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.evaluate import RunConfig, score_maps
from lvlm_ad.evaluate.config import resolve
from lvlm_ad.evaluate.divide import divide_dataset
from lvlm_ad.log import Progress
from lvlm_ad.metrics.cut import count_lost
from lvlm_ad.regions import DivisionStore
from lvlm_ad.store import open_cache

SIDE = 80
SETTINGS = {"image_size": 40, "division": "grid", "min_area": 0}


class Notes(Progress):
    """Keeps what the user is told."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def spots(*places, side=2):
    """A mask with a square at each place."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for row, column in places:
        mask[row : row + side, column : column + side] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (spots(), (0, 0)),
        (spots((10, 10), (31, 31)), (2, 0)),
        (spots((11, 10), (30, 31), (50, 50), side=1), (3, 2)),
        (spots((10, 11), (11, 12), side=1), (1, 1)),
        (spots((1, 1), side=1), (1, 1)),
        (~spots(), (1, 0)),
    ],
    ids=["none", "all stay", "two of three", "joined at a corner", "the only one", "everywhere"],
)
def test_regions_without_a_pixel_at_the_smaller_size_are_counted(mask, expected):
    """A region is lost if none of its pixels is one of those that the smaller mask takes."""
    assert count_lost(mask, (40, 40)) == expected
    assert count_lost(mask, mask.shape)[1] == 0
    assert count_lost(mask, (160, 160))[1] == 0


@pytest.fixture
def measure(tmp_path):
    """Write defects with masks, and return what score and bench tell about them."""

    def run(*masks, size=40):
        for kind, number, mask in [("good", 0, None), *(("bad", one, mask) for one, mask in enumerate(masks))]:
            for path in ("test", "ground_truth", "maps/test"):
                (tmp_path / path / kind).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number + len(kind)).integers(9, 99, (SIDE, SIDE), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "test" / kind / f"{number}.png")
            np.save(tmp_path / "maps" / "test" / kind / f"{number}.npy", np.zeros((SIDE, SIDE), np.float32))
            if mask is not None:
                Image.fromarray(mask).save(tmp_path / "ground_truth" / kind / f"{number}.png")
        divided = Notes()
        config = RunConfig(data=tmp_path, out=tmp_path / "out", settings=SETTINGS, resamples=0)
        scored = score_maps(tmp_path / "maps", config, own_size=not size).manifest.model.notes
        with closing(open_cache(tmp_path / "cache.sqlite")) as cache:
            divide_dataset(resolve(config), DivisionStore(cache), divided)
        told = [line for line in scored if "defective pixel" in line or "lost" in line]
        return told, [line for line in divided.lines if "defective pixel" in line or "lost" in line]

    return run


def test_lost_regions_are_told_with_the_way_to_measure_them(measure):
    """Both commands say how many regions are lost, in which image, what is left, and which setting helps."""
    scored, divided = measure(spots((11, 11), (20, 20), side=1), spots((31, 31), side=1), spots((2, 2)))
    assert len(scored) == len(divided) == 1
    start = "2 of 4 defect regions are lost when masks are resized to 40 x 40, from 2 images (the first is "
    assert scored[0].startswith(start)
    assert divided[0].startswith(start)
    assert "Of 1 image (" in scored[0]
    assert "bad/1) no defective pixel is left" in scored[0]
    assert "--size" in scored[0]
    assert "--set image_size" in divided[0]


def test_at_the_own_size_nothing_is_lost(measure):
    """Maps that are measured at each image's own size lose nothing, so nothing is told."""
    assert measure(spots((11, 11), side=1), size=0)[0] == []


def test_empty_masks_of_defects_are_told_when_measured(measure):
    """A defect whose mask is black is named by every command that measures, not only by the check."""
    for lines in measure(spots(), spots((2, 2))):
        assert len(lines) == 1
        assert "no defective pixel in 1 image (" in lines[0]
        assert "bad/0): all pixels count as normal" in lines[0]


def test_sound_masks_need_no_word(measure):
    """Masks that keep all their regions are not mentioned."""
    assert measure(spots((2, 2)), spots((30, 40), (50, 10))) == ([], [])


def test_counts_of_older_versions_are_counted_again(measure, tmp_path):
    """Masks that a stored division counted without their lost regions are read again, once, and told."""
    _, first = measure(spots((11, 11), side=1))
    config = RunConfig(data=tmp_path, out=tmp_path / "out", settings=SETTINGS)
    with closing(open_cache(tmp_path / "cache.sqlite")) as cache:
        store = DivisionStore(cache)
        for (key,) in cache.read("SELECT key FROM divisions", ()):
            store.put_counts(key, {name: one for name, one in store.counts(key).items() if name != "lost"})
        for _ in range(2):
            again = Notes()
            divide_dataset(resolve(config), store, again)
            assert [line for line in again.lines if "lost" in line] == first
        counted = [store.counts(key) for (key,) in cache.read("SELECT key FROM divisions", ())]
    assert sum("lost" in counts for counts in counted) == 1
