"""Metrics by kind and by size of defect."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest, mannwhitneyu

from lvlm_ad.evaluate.groups import GROUP_METRICS, MOST_KINDS, SIZES, group_metrics
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.metrics import pixel_metrics
from lvlm_ad.metrics.histograms import ScoreHistograms, count_cells, histogram_of_cells
from lvlm_ad.metrics.intervals import auroc_interval, mean_auroc_interval
from lvlm_ad.runs import PredictionRecord, read_run

CELLS = np.arange(1600).reshape(40, 40) // 100


class Pictures:
    """Images of 40 x 40 pixels in 16 cells, with random scores."""

    def __init__(self):
        self.records, self.histograms, self.masks, self.maps = [], [], [], []
        self._draw = np.random.default_rng(7)

    def add(self, category, kind, defective, score, *, known=True):
        """Add an image with so many defective pixels; a good one has none. Without a mask it is not ``known``."""
        index = len(self.records)
        label = kind != "good"
        self.records.append(
            PredictionRecord(
                id=f"{category}/{kind}/{index}", category=category, label=label, defect=kind, image_score=score
            )
        )
        mask = np.zeros(1600, bool)
        start = self._draw.integers(0, 1600 - defective)
        mask[start : start + defective] = True
        scores = self._draw.integers(0, 11, 16) / 10
        self.masks.append(mask.reshape(40, 40))
        self.maps.append(scores[CELLS])
        self.histograms.append(histogram_of_cells(count_cells(CELLS, self.masks[-1]), scores) if known else None)

    def measure(self, on_failure="zero", resamples=0, alarms=None):
        """The kinds and sizes of these images."""
        histograms = ScoreHistograms.of(
            None if on_failure == "exclude" and record.image_score is None else one
            for record, one in zip(self.records, self.histograms, strict=True)
        )
        return group_metrics(self.records, histograms, on_failure, 0.3, resamples, alarms or {})

    def chosen(self, category, *ids):
        """The indices of a category's good images, and of some others."""
        return [at for at, one in enumerate(self.records) if one.category == category and (not one.label or at in ids)]


@pytest.fixture
def pictures():
    """Two categories with 4 good images and defects of 4, 16 and 200 of 1,600 pixels."""
    made = Pictures()
    for category in ("bolt", "nut"):
        for score in (0.1, 0.2, 0.3, 0.6):
            made.add(category, "good", 0, score)
        for score in (0.2, 0.4, 0.9):
            made.add(category, "scratch", 4, score)
        for score in (0.3, 0.8):
            made.add(category, "dent", 16, score)
        made.add(category, "break", 200, 1.0)
    return made


def expected(pictures, at):
    """The metrics of some images, from pixels and by counting pairs."""
    scores = {
        label: [pictures.records[i].image_score for i in at if pictures.records[i].label == label] for label in (0, 1)
    }
    pixels = pixel_metrics([pictures.masks[i] for i in at], [pictures.maps[i] for i in at])
    auroc = mannwhitneyu(scores[1], scores[0]).statistic / (len(scores[0]) * len(scores[1]))
    return dict(zip(GROUP_METRICS, (auroc, pixels.auroc, pixels.aupro), strict=True))


def test_a_kind_is_measured_against_all_good_images(pictures):
    """The metrics are those of a data set with this kind of defect alone."""
    kinds = pictures.measure()["kinds"]
    assert {name: list(entries) for name, entries in kinds.items()} == {
        category: ["break", "dent", "scratch"] for category in ("bolt", "nut")
    }
    for start, category in enumerate(kinds):
        for kind, inside in (("scratch", (4, 5, 6)), ("dent", (7, 8)), ("break", (9,))):
            entry = kinds[category][kind]
            at = pictures.chosen(category, *(10 * start + one for one in inside))
            assert entry["n"] == len(inside)
            assert {name: entry[name] for name in GROUP_METRICS} == pytest.approx(expected(pictures, at), abs=1e-12)


def test_a_size_is_the_mean_over_the_categories_that_have_it(pictures):
    """Shares of 0.25, 1 and 12.5 %; a category without such defects is left out of the mean."""
    pictures.add("nut", "hole", 100, 0.7)
    sizes = pictures.measure()["sizes"]
    assert {size: (entry["n"], entry["categories"]) for size, entry in sizes.items()} == {
        "below 0.5 %": (6, ["bolt", "nut"]),
        "0.5 to 2 %": (4, ["bolt", "nut"]),
        "2 to 10 %": (1, ["nut"]),
        "10 % and more": (2, ["bolt", "nut"]),
    }
    both = [expected(pictures, pictures.chosen(one, at + 7, at + 8)) for at, one in ((0, "bolt"), (10, "nut"))]
    for name in GROUP_METRICS:
        assert sizes["0.5 to 2 %"][name] == pytest.approx(np.mean([one[name] for one in both]), abs=1e-12)


def test_a_defect_on_the_border_of_two_sizes_has_the_larger(pictures):
    """Eight of 1,600 pixels are 0.5 %, and 160 are 10 %."""
    for defective in (8, 160, 7, 159):
        pictures.add("bolt", "rust", defective, 0.5)
    assert list(SIZES) == list(pictures.measure()["sizes"])
    assert [entry["n"] for entry in pictures.measure()["sizes"].values()] == [7, 5, 1, 3]


def test_intervals_follow_the_rules_of_categories(pictures):
    """Image AUROC by its closed form, pixel metrics by resamples; a reason where images are too few."""
    found = pictures.measure(resamples=1000)
    scratch = found["kinds"]["bolt"]["scratch"]
    scores = [pictures.records[at].image_score for at in pictures.chosen("bolt", 4, 5, 6)]
    assert scratch["interval"]["image_auroc"] == pytest.approx(
        auroc_interval(np.arange(7) > 3, np.array(scores)).interval
    )
    for name in ("pixel_auroc", "pixel_aupro"):
        low, high = scratch["interval"][name]
        assert 0 <= low <= scratch[name] <= high <= 1
        assert low < high
    assert set(found["kinds"]["bolt"]["break"]["no_interval"]) == set(GROUP_METRICS)
    assert "fewer than 2" in found["kinds"]["bolt"]["break"]["no_interval"]["image_auroc"]
    assert found["kinds"]["bolt"]["break"]["interval"] == {}
    small = found["sizes"]["below 0.5 %"]
    values = [found["kinds"][category]["scratch"]["image_auroc"] for category in ("bolt", "nut")]
    factor = auroc_interval(np.arange(7) > 3, np.array(scores)).factor
    assert small["interval"]["image_auroc"] == pytest.approx(mean_auroc_interval(values, [3, 3], [4, 4], [factor] * 2))
    assert pictures.measure(resamples=1000) == found
    few = pictures.measure(resamples=0)["kinds"]["bolt"]["scratch"]
    assert set(few["no_interval"]) == {"pixel_auroc", "pixel_aupro"}


def test_an_unanswered_image_counts_as_everywhere(pictures):
    """As score 0, or left out of metrics; in both cases as a defect that was not found."""
    pictures.add("bolt", "dent", 16, None)
    alarms = {record.id: (record.image_score or 0) >= 0.5 for record in pictures.records}
    zero, exclude = (pictures.measure(mode, alarms=alarms)["kinds"]["bolt"]["dent"] for mode in ("zero", "exclude"))
    assert (zero["n"], exclude["n"]) == (3, 2)
    assert exclude["image_auroc"] == pytest.approx(expected(pictures, pictures.chosen("bolt", 7, 8))["image_auroc"])
    assert zero["image_auroc"] < exclude["image_auroc"]
    for entry in (zero, exclude):
        assert (entry["judged"], entry["found"], entry["recall"]) == (3, 1, pytest.approx(1 / 3))
    for record in pictures.records:
        object.__setattr__(record, "image_score", None)
    silent = pictures.measure("exclude")
    assert silent["kinds"]["bolt"]["dent"]["undefined"]["image_auroc"] == "no image has a usable answer"
    assert "sizes" not in silent


def test_recall_is_pooled_with_its_exact_interval(pictures):
    """Images that are not judged, such as those a threshold was chosen on, are left out."""
    alarms = {record.id: record.image_score >= 0.5 for record in pictures.records[1:]}
    del alarms["nut/scratch/14"]
    small = pictures.measure(alarms=alarms)["sizes"]["below 0.5 %"]
    exact = binomtest(2, 5).proportion_ci()
    assert (small["judged"], small["found"], small["recall"]) == (5, 2, 0.4)
    assert small["interval"]["recall"] == pytest.approx([exact.low, exact.high])
    assert "recall" not in pictures.measure()["sizes"]["below 0.5 %"]


def test_a_defect_without_a_mask_has_no_size(pictures):
    """Its kind has image metrics, and a reason why there are no pixel metrics; an empty mask says no size either."""
    pictures.add("bolt", "stain", 16, 0.9, known=False)
    pictures.add("bolt", "lost", 0, 0.9)
    found = pictures.measure()
    assert sum(entry["n"] for entry in found["sizes"].values()) == 12
    stain, lost = (found["kinds"]["bolt"][kind] for kind in ("stain", "lost"))
    assert stain["image_auroc"] == lost["image_auroc"] == 1.0
    assert stain["undefined"]["pixel_auroc"] == "1 of 5 images have no ground-truth mask"
    assert lost["undefined"]["pixel_aupro"] == "no pixel is anomalous"


def test_a_category_with_one_kind_or_too_many_has_no_kinds():
    """Nor has one where each image is of its own kind; without good images there is no AUROC, with that reason."""
    pictures = Pictures()
    pictures.add("bolt", "bent", 16, 0.9)
    pictures.add("nut", "bent", 16, 0.9)
    pictures.add("nut", "cut", 16, 0.4)
    found = pictures.measure(resamples=50)
    assert list(found["kinds"]) == ["nut"]
    for number in range(MOST_KINDS):
        pictures.add("nut", f"number {number}", 16, 0.9)
    assert "kinds" not in pictures.measure()
    assert found["kinds"]["nut"]["cut"]["undefined"]["image_auroc"] == "no image is normal"
    assert found["sizes"]["0.5 to 2 %"]["undefined"]["image_auroc"] == "no image is normal"
    assert found["sizes"]["0.5 to 2 %"]["pixel_auroc"] is not None


def test_a_run_holds_its_groups_and_verify_recomputes_them(finished):
    """Of regions and of own maps; a changed number is reported, a run of a version without groups is sound."""
    for run in finished:
        assert set(run.metrics["sizes"]) <= set(SIZES)
        again = read_run(run.dir)
        assert verify_run(again) == []
        small = next(iter(again.metrics["sizes"]))
        changed = json.loads(json.dumps(again.metrics))
        changed["sizes"][small]["image_auroc"] = 0.123
        object.__setattr__(again, "metrics", changed)
        (problem,) = verify_run(again)
        assert problem.startswith(f"metrics.json: image_auroc of defects {small} is 0.123, the predictions give")
        for name in ("kinds", "sizes"):
            changed.pop(name, None)
        assert verify_run(again) == []
