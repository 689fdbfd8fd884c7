"""The metrics that data sets have of their own, in runs: those of the pure functions on the painted maps."""

import csv
import io
import json
import re
import runpy
import shutil
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

import lvlm_ad
from lvlm_ad.compare import compare_runs
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.evaluate.counting import channels_of
from lvlm_ad.evaluate.map_files import resize_map
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.evaluate.verify import verify_run, verify_runs
from lvlm_ad.leaderboard import FORMATS, category_table, make_board, metrics_by_category
from lvlm_ad.log import Progress
from lvlm_ad.metrics import (
    NormalScores,
    au_spro,
    binary_metrics,
    count_binary,
    image_auroc_by_group,
    image_metrics,
    object_metrics,
    pixel_metrics,
)
from lvlm_ad.report.run_pages import write_report
from lvlm_ad.runs import read_run, reported_of, write_run
from lvlm_ad.text2seg import paint

SIZE = 96
SETTINGS = {"image_size": SIZE, "division": "superpixel"}
NAMES = {"loco": "loco", "autovi": "autovi", "ad2": "mvtec-ad-2", "realiad": "real-iad"}
GROUPS = ("logical", "structural")


@pytest.fixture(scope="session")
def trees(shared, tmp_path_factory):
    """Miniature data sets of four layouts; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("trees")
    runpy.run_path(str(shared / "tools" / "mk_layouts.py"))["make"](folder, [*NAMES])
    return folder


@pytest.fixture(scope="session")
def benches(red, trees, tmp_path_factory):
    """A function that gives the rows of a tree by name, with their maps, and makes them once."""
    made = {}

    def bench(tree):
        if tree not in made:
            out = tmp_path_factory.mktemp(tree)
            runs = lvlm_ad.bench(
                models=[red, "chance", "oracle"], data=trees / tree, settings=SETTINGS, out=out, resamples=50,
                reference_rows=False, maps=out / "maps", map_format="npy",
            )  # fmt: skip
            made[tree] = {run.manifest.row_name: read_run(run.dir) for run in runs}
        return made[tree]

    return bench


@pytest.fixture
def painted(trees):
    """A function that gives each image of a run of regions with its painted map, by category."""

    def of(run, tree):
        with ExitStack() as stack:
            sources = find_sources(run, trees / tree, Progress(), stack)
            categories = {}
            for record in run.predictions:
                sample = sources.samples[record.id]
                map_ = paint(record.regions, sources.divisions.regions(sample)).dense()
                categories.setdefault(record.category, []).append((record, sample, map_))
        return categories

    return of


def mean_of(run, name, values):
    """Compare a run's metric with expected values of its categories, and return how many are defined."""
    for category, value in values.items():
        assert run.metrics["categories"][category][name] == pytest.approx(value, abs=1e-12), (name, category)
    assert run.metrics["mean"][name] == pytest.approx(np.mean([*values.values()]), abs=1e-12)
    return len(values)


@pytest.mark.parametrize("tree", ["loco", "autovi"])
@pytest.mark.parametrize("row", ["red", "chance", "oracle"])
def test_au_spro_is_that_of_the_map_at_the_size_of_the_pictures(benches, painted, tree, row):
    """By group and as their mean where the data set has groups, of all kinds of defects where it has none."""
    run = benches(tree)[row]
    found = {}
    for category, images in painted(run, tree).items():
        channels = [channels_of(sample) for _, sample, _ in images]
        maps = [resize_mask(map_, truth.masks.shape[1:]) for (_, _, map_), truth in zip(images, channels, strict=True)]
        assert maps[0].shape != (SIZE, SIZE)
        groups = [sample.defect.removesuffix("_anomalies") if sample.label else None for _, sample, _ in images]
        chosen = (groups, GROUPS) if tree == "loco" else (None, ())
        for name, value in au_spro(maps, channels, [0.05], *chosen).values.items():
            found.setdefault(name, {})[category] = value
    assert [mean_of(run, name, values) for name, values in found.items()] == [2] * (3 if tree == "loco" else 1)


@pytest.mark.parametrize("tree", ["loco", "autovi"])
def test_au_spro_of_an_own_map_is_exact(benches, trees, tree):
    """The map is stretched to the size of the picture, not the picture to that of the map."""
    run = benches(tree)["red (dense)"]
    found = {}
    for category, samples in by_category(trees / tree).items():
        channels = [channels_of(sample) for sample in samples]
        own = [
            resize_map(own_map(run, trees / tree, one), truth.masks.shape[1:])
            for one, truth in zip(samples, channels, strict=True)
        ]
        groups = [one.defect.removesuffix("_anomalies") if one.label else None for one in samples]
        chosen = (groups, GROUPS) if tree == "loco" else (None, ())
        for name, value in au_spro(own, channels, [0.05], *chosen).values.items():
            found.setdefault(name, {})[category] = value
    assert all(mean_of(run, name, values) == 2 for name, values in found.items())


def by_category(root):
    """The samples of a tree by category."""
    found = {}
    for sample in load_dataset(next(name for tree, name in NAMES.items() if tree == root.name), root):
        found.setdefault(sample.category, []).append(sample)
    return found


def own_map(run, root, sample):
    """The map that a bench wrote for an image."""
    folder = next(run.dir.parent.joinpath("maps").glob("red*dense*"))
    return np.load(folder / sample.image_path.relative_to(root).with_suffix(".npy"))


@pytest.mark.parametrize("row", ["red", "chance", "oracle"])
def test_image_auroc_of_groups_shares_the_good_images(benches, row):
    """The mean of the groups is not the AUROC of all images."""
    run = benches("loco")[row]
    found = {}
    for category in run.manifest.dataset.categories:
        records = [one for one in run.predictions if one.category == category]
        groups = [one.defect.removesuffix("_anomalies") if one.label else None for one in records]
        values = image_auroc_by_group([one.image_score for one in records], groups, GROUPS).values
        for name, value in values.items():
            found.setdefault(name, {})[category] = value
    assert sum(mean_of(run, name, values) for name, values in found.items()) == 6


@pytest.mark.parametrize("row", ["red", "chance", "oracle"])
def test_sample_auroc_takes_the_highest_of_an_objects_views(benches, row):
    """Beside the AUROC of images, each view by itself."""
    run = benches("realiad")[row]
    records = run.predictions
    labels, scores, parts = zip(*((one.label, one.image_score, one.part) for one in records), strict=True)
    assert len(set(parts)) == len(parts) / 5
    assert run.metrics["mean"]["sample_auroc"] == object_metrics(labels, scores, parts).auroc
    assert run.metrics["mean"]["image_auroc"] == image_metrics(labels, scores).auroc


@pytest.fixture(scope="session")
def normal_maps(red, trees, tmp_path_factory):
    """The red row's maps of validation images, of regions and dense, by category: from a bench that tests them."""
    root, out = tmp_path_factory.mktemp("normal"), tmp_path_factory.mktemp("out")
    for category in ("can", "vial"):
        for kind, folder in (("good", "validation/good"), ("bad", "test_public/bad")):
            shutil.copytree(trees / "ad2" / category / folder, root / category / "test" / kind)
    runs = lvlm_ad.bench(
        models=[red], data=root, dataset="folder", settings=SETTINGS, out=out, resamples=0,
        reference_rows=False, maps=out / "maps", map_format="npy",
    )  # fmt: skip
    run = read_run(runs.named("red").dir)
    found = {}
    with ExitStack() as stack:
        sources = find_sources(run, root, Progress(), stack)
        for record in run.predictions:
            if not record.label:
                sample = sources.samples[record.id]
                map_ = paint(record.regions, sources.divisions.regions(sample)).dense()
                found.setdefault(("red", record.category), []).append(map_)
                folder = next((out / "maps").glob("red*dense*"))
                dense = np.load(folder / sample.image_path.relative_to(root).with_suffix(".npy"))
                found.setdefault(("red (dense)", record.category), []).append(dense)
    return found


@pytest.mark.parametrize("row", ["red", "red (dense)"])
def test_segf1_and_classf1_are_cut_by_normal_validation_maps(benches, painted, trees, normal_maps, row):
    """The threshold is the mean plus three standard deviations of all their scores; the run says so."""
    run = benches("ad2")[row]
    found = {"segf1": {}, "classf1": {}, "pixel_aupro@0.05": {}}
    if row == "red":
        images = {name: [(one, map_) for _, one, map_ in of] for name, of in painted(run, "ad2").items()}
    else:
        samples = by_category(trees / "ad2")
        images = {name: [(one, own_map(run, trees / "ad2", one)) for one in of] for name, of in samples.items()}
    for category, pairs in images.items():
        normal = NormalScores()
        for map_ in normal_maps[row, category]:
            normal.add(map_)
        cut = run.metrics["map_thresholds"][category]
        assert cut["value"] == pytest.approx(normal.threshold().value, abs=1e-12)
        assert (cut["images"], cut["saw_test_labels"]) == (2, False)
        masks = [resize_mask(sample.mask, (SIZE, SIZE)) for sample, _ in pairs]
        maps = [map_ for _, map_ in pairs]
        counts = [count_binary(mask, map_ > cut["value"]) for mask, map_ in zip(masks, maps, strict=True)]
        expected = binary_metrics([sample.label for sample, _ in pairs], counts)
        found["segf1"][category], found["classf1"][category] = expected.segf1, expected.classf1
        found["pixel_aupro@0.05"][category] = pixel_metrics(masks, maps, limits=[0.05]).aupro_at["aupro@0.05"]
    assert [mean_of(run, name, values) for name, values in found.items()] == [2, 2, 2]


@pytest.mark.parametrize("row", ["red", "oracle"])
def test_a_light_has_its_own_good_and_defective_images(benches, painted, row):
    """Its metrics are those of the images under this light alone, and of several objects their mean."""
    run = benches("ad2")[row]
    lights = run.metrics["tags"]["lighting"]
    assert set(lights) == {"regular", "overexposed", "underexposed", "shift_1"}
    maps = painted(run, "ad2")
    for light, entry in lights.items():
        assert (entry["n"], entry["n_good"], entry["categories"]) == (4, 4, ["can", "vial"])
        for category, one in entry["by_category"].items():
            own = [image for image in maps[category] if image[0].tags["lighting"] == light]
            scores = [record.image_score for record, _, _ in own]
            assert one["image_auroc"] == image_metrics([sample.label for _, sample, _ in own], scores).auroc
            masks = [resize_mask(sample.mask, (SIZE, SIZE)) for _, sample, _ in own]
            pixels = pixel_metrics(masks, [map_ for _, _, map_ in own], limits=[0.05])
            assert one["pixel_auroc"] == pytest.approx(pixels.auroc, abs=1e-12)
            assert one["pixel_aupro@0.05"] == pytest.approx(pixels.aupro_at["aupro@0.05"], abs=1e-12)
        values = [one["pixel_auroc"] for one in entry["by_category"].values()]
        assert entry["pixel_auroc"] == pytest.approx(np.mean(values), abs=1e-12)


def test_kinds_of_defects_have_au_spro_of_their_own(benches, painted):
    """Against all good images, as the authors' evaluator of AutoVI has it."""
    run = benches("autovi")["red"]
    images = painted(run, "autovi")["pipe_clip"]
    for kind, entry in run.metrics["kinds"]["pipe_clip"].items():
        own = [(sample, map_) for _, sample, map_ in images if not sample.label or sample.defect == kind]
        channels = [channels_of(sample) for sample, _ in own]
        maps = [resize_mask(map_, truth.masks.shape[1:]) for (_, map_), truth in zip(own, channels, strict=True)]
        assert entry["au_spro@0.05"] == pytest.approx(au_spro(maps, channels, [0.05]).values["au_spro@0.05"], abs=1e-12)


@pytest.mark.parametrize("tree", NAMES)
def test_runs_are_verified(benches, trees, tree):
    """Their metrics follow from their files, and these from the data set."""
    runs = [*benches(tree).values()]
    kept, problems = verify_runs(runs, trees / tree)
    assert problems == []
    assert len(kept) == len(runs)


def changed(run, out, **metrics):
    """A copy of a run with other metrics of the mean."""
    copy = replace(run, dir=out / run.dir.name, metrics=json.loads(json.dumps(run.metrics)))
    copy.metrics["mean"].update(metrics)
    write_run(copy)
    return copy


def test_verification_finds_what_was_changed(benches, trees, tmp_path):
    """A metric, a count of a defect's pixels, a threshold of maps, or the object that an image shows."""
    loco, ad2 = benches("loco")["red"], benches("ad2")["red"]
    channels = list(loco.channels)
    at = next(at for at, one in enumerate(channels) if one.n_regions)
    channels[at] = replace(channels[at], overlap=channels[at].overlap[::-1], anomalous=channels[at].anomalous[::-1])
    cut = json.loads(json.dumps(ad2.metrics))
    cut["map_thresholds"]["can"]["value"] = 0.0
    parts = [one.model_copy(update={"part": "x"}) for one in ad2.predictions]
    forged = [
        (changed(loco, tmp_path / "a", **{"au_spro@0.05": 0.9}), "loco", "au_spro@0.05 of the mean"),
        (replace(loco, dir=tmp_path / "b" / loco.dir.name, channels=channels), "loco", "channels.npz: the counts"),
        (replace(ad2, dir=tmp_path / "c" / ad2.dir.name, metrics=cut), "ad2", "TP, FP and FN"),
        (
            replace(ad2, dir=tmp_path / "d" / ad2.dir.name, predictions=parts),
            "ad2",
            "object or a tag is not that of the data set",
        ),
    ]
    for run, tree, says in forged:
        write_run(run)
        # Dividing the images again starts processes, which takes a second.
        shutil.copy(benches(tree)["red"].dir.parent / "cache.sqlite", run.dir.parent)
        with ExitStack() as stack:
            problems = verify_run(read_run(run.dir), None, find_sources(run, trees / tree, Progress(), stack))
        assert any(says in one for one in problems), problems


def test_without_saturation_areas_au_spro_is_undefined(red, trees, tmp_path):
    """The other metrics are there, and the reason names the file."""
    run = lvlm_ad.bench(
        models=[red], data=trees / "loco_no_config", settings=SETTINGS, out=tmp_path, resamples=0,
        reference_rows=False,
    ).named("red")  # fmt: skip
    mean = run.metrics["mean"]
    assert mean["au_spro@0.05"] is None
    assert "defects_config.json" in mean["undefined"]["au_spro@0.05"]
    assert mean["image_auroc_groups"] is not None
    assert read_run(run.dir).metrics["mean"]["au_spro_logical@0.05"] is None


@pytest.fixture(scope="session")
def page_with_lights(benches, tmp_path_factory):
    """The page of a run whose images were taken under several lights, as text."""
    return write_report(benches("ad2")["red"], tmp_path_factory.mktemp("ad2"), pictures=False).read_text()


def test_tables_and_pages_lead_with_what_authors_report(benches, page_with_lights):
    """JSON and CSV hold the metrics, a table can be sorted by one, and a run's page shows lights."""
    runs = [*benches("ad2").values()]
    board = make_board(runs)
    heads = FORMATS["md"](board).splitlines()[2].split("|")[3:6]
    assert [head.strip() for head in heads] == ["PRO@0.05", "SegF1", "ClassF1"]
    entry = json.loads(FORMATS["json"](board))["groups"][0]["entries"][0]
    assert entry["reported"] == ["pixel_aupro@0.05", "segf1", "classf1"]
    assert set(entry["reported"]) <= set(entry["metrics"])
    lines = [*csv.DictReader(io.StringIO(FORMATS["csv"](board)))]
    assert {"segf1", "segf1_low", "pixel_aupro@0.05_high"} <= lines[0].keys()
    assert sorted(float(one["classf1"]) for one in lines) == sorted(run.metrics["mean"]["classf1"] for run in runs)
    table = category_table(board.groups[0], metrics_by_category(""), reference_rows=True)
    assert table.unit == "PRO@0.05/SegF1/ClassF1, percent"
    assert all(cell.value is not None for cells in dict(table.rows)["mean"] for cell in cells)
    best = make_board(runs, "classf1").groups[0].entries
    assert [one.metrics["classf1"] for one in best if one.kind == "frame"] == sorted(
        (one.metrics["classf1"] for one in best if one.kind == "frame"), reverse=True
    )
    assert page_with_lights.index("SegF1") < page_with_lights.index("Image AUROC")
    assert "By lighting" in page_with_lights
    assert "mean + 3 standard deviations" in page_with_lights


def test_a_page_with_many_metrics_has_two_tables(benches, page_with_lights, tmp_path):
    """LOCO's six metrics of its authors stand in a table before the seven, so that neither scrolls sideways."""
    page = write_report(benches("loco")["red"], tmp_path / "loco", pictures=False).read_text()
    first, second = (page.index(f'aria-label="Metrics by category, table {number}"') for number in (1, 2))
    heads = [re.sub("<[^>]*>", "", part[: part.index("</tr>")]) for part in (page[first:], page[second:])]
    assert "AU-sPRO@0.05" in heads[0]
    assert "Pixel AUROC" not in heads[0]
    assert "AU-sPRO" not in heads[1]
    assert "Pixel AUROC" in heads[1]
    assert 'aria-label="Metrics by category"' in page_with_lights


GUESS = """
class One:
    digit = -1

    def answer(self, request):
        score = int(request.images[-1].digest[self.digit], 16) / 15
        return f"image anomaly score: {score:.2f}; region 1: {score:.2f}."

class Two(One):
    digit = 0
"""


def test_models_are_ranked_by_every_metric_that_authors_report(trees, tmp_path):
    """Whichever metric sorts, its interval follows the value; 12 images are too few for ranks."""
    (tmp_path / "guess.py").write_text(GUESS)
    models = [f"{tmp_path / 'guess.py'}:{name}" for name in ("One", "Two")]
    runs = lvlm_ad.bench(
        models=models, data=trees / "loco", settings=SETTINGS, out=tmp_path / "runs", resamples=50, reference_rows=False
    )
    runs = [read_run(run.dir) for run in runs]
    sorts = [name for name in reported_of(runs[0].metrics) if name in runs[0].metrics["mean"]["interval"]]
    assert "au_spro@0.05" in sorts
    for sort in sorts:
        group = make_board(runs, sort).groups[0]
        assert "Too few images to rank" in group.ranking
        first, second = (entry.metrics[sort] for entry in group.entries)
        assert group.entries[1].difference == pytest.approx(second - first)


def test_parts_seen_several_times_are_called_objects(benches):
    """Two parts under four lights are two objects, not eight images."""
    reasons = benches("ad2")["red"].metrics["categories"]["can"]["no_interval"]
    assert {reasons[name] for name in ("pixel_aupro@0.05", "segf1")} == {"fewer than 3 objects with a defect"}
    assert benches("realiad")["red"].metrics["categories"]["audiojack"]["no_interval"]["sample_auroc"] == (
        "fewer than 2 good or 2 defective objects"
    )


def test_intervals_of_decisions_count_objects(benches):
    """Rates of a run with several lights of a part have their effective numbers; the recall of a light has not."""
    metrics = benches("ad2")["red"].metrics
    decisions = metrics["decisions"]
    can, pooled = decisions["categories"]["can"], decisions["pooled"]
    assert can["effective"].keys() == {"recall", "miss", "false_alarm", "pass", "precision"}
    assert 1 <= can["effective"]["recall"] <= 8
    assert pooled["effective"]["recall"] == sum(one["effective"]["recall"] for one in decisions["categories"].values())
    assert "effective" not in benches("loco")["red"].metrics["decisions"]["pooled"]
    for light in metrics["tags"]["lighting"].values():
        low, high = light["interval"]["recall"]
        assert low <= light["recall"] <= high


@pytest.mark.parametrize("tree", NAMES)
def test_runs_are_compared_by_what_authors_report(benches, tree):
    """Each metric has its difference; where both have intervals it has one, too."""
    first, second = benches(tree)["oracle"], benches(tree)["chance"]
    found = compare_runs(first, second, 50, across_conditions=True).mean
    for name in reported_of(first.metrics):
        values = [run.metrics["mean"][name] for run in (first, second)]
        assert [found[name].first, found[name].second] == pytest.approx(values, abs=1e-12)
        both = all(name in run.metrics["mean"]["interval"] for run in (first, second))
        assert (found[name].interval is not None) == both, name
