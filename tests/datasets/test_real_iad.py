"""Real-IAD, Real-IAD D3 and Variety: lists, views, sizes and other splits."""

import json
import shutil
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image

import lvlm_ad
from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.readers import recognized
from lvlm_ad.errors import DataError
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.log import Progress
from lvlm_ad.runs import read_run


def view(folder, category, number, camera, kind="OK"):
    """Write a view of a part, with a mask if it is a defect; return its entry."""
    place = "OK" if kind == "OK" else f"NG/{kind}"
    name = f"{category}_{number:04}_{place.replace('/', '_')}_C{camera}_20231021"
    image = folder / category / place / f"S{number:04}" / f"{name}.jpg"
    image.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng([number, camera])
    Image.fromarray(draw.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(image)
    entry = {"category": category, "anomaly_class": kind, "image_path": "", "mask_path": None}
    entry["image_path"] = image.relative_to(folder / category).as_posix()
    if kind != "OK":
        mask = np.zeros((24, 32), np.uint8)
        mask[4:12, 4:12] = 255
        Image.fromarray(mask).save(image.with_suffix(".png"))
        entry["mask_path"] = entry["image_path"].replace(".jpg", ".png")
    return entry


def write_list(folder, category, train, test):
    """Write a category's list."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"meta": {"prefix": category, "normal_class": "OK"}, "train": train, "test": test}
    (folder / f"{category}.json").write_text(json.dumps(content))


@pytest.fixture
def real_iad(tmp_path):
    """The folder of a category with one training part, a good one and a bad one, five views each."""
    root = tmp_path / "around" / "real"
    pictures = root / "realiad_512"
    parts = [[view(pictures, "toy", number, one, kind) for one in range(1, 6)] for number, kind in PARTS]
    write_list(root / "realiad_jsons", "toy", parts[0], parts[1] + parts[2])
    write_list(root / "realiad_jsons_sv", "toy", parts[0][:1], [parts[1][0], parts[2][0]])
    write_list(root / "realiad_jsons_fuiad_0.4", "toy", parts[0] + parts[2][:2], parts[1] + parts[2][2:])
    return root


PARTS = ((1, "OK"), (2, "OK"), (3, "HS"))


def test_all_levels_of_folders_are_roots(real_iad):
    """The folder around, the pictures' and a category's hold the same images; each is recognized where it can be."""
    ids = [one.id for one in load_dataset("real-iad", real_iad)]
    for root in (real_iad.parent, real_iad / "realiad_512", real_iad / "realiad_512" / "toy"):
        assert [one.id for one in load_dataset("real-iad", root)] == ids
    assert recognized(real_iad / "realiad_512") == "real-iad"


def test_a_size_may_be_chosen_by_its_folder(real_iad):
    """With two sizes, the folder of one is the root, and is found again as the data set's."""
    shutil.copytree(real_iad / "realiad_512", real_iad / "realiad_256")
    with pytest.raises(DataError, match="realiad_256 and realiad_512; give the one"):
        load_dataset("real-iad", real_iad)
    dataset = load_dataset("real-iad", real_iad / "realiad_256")
    assert len(load_dataset("real-iad", dataset.root)) == 10


def test_other_lists_are_splits(real_iad):
    """One view a part is no oddity of the single-view lists; defects in a training list are no references."""
    report = check_dataset("real-iad", real_iad, split="sv")
    assert report.problems == ()
    assert [one.tags["view"] for one in report.dataset] == ["C1", "C1"]
    noisy = load_dataset("real-iad", real_iad, split="fuiad_0.4")
    assert len(noisy.references["toy"]) == 5
    assert len(noisy) == 8
    shutil.rmtree(real_iad / "realiad_jsons")
    with pytest.raises(DataError, match=r"realiad_jsons/<category>.json must say.*give --split fuiad_0.4"):
        load_dataset("real-iad", real_iad)


def test_a_limit_draws_whole_parts(real_iad):
    """One good and one bad image bring all views of their parts, so S-AUROC is measured on whole objects."""
    pictures = real_iad / "realiad_512"
    more = [view(pictures, "toy", number, one, kind) for number, kind in ((4, "OK"), (5, "HS")) for one in range(1, 6)]
    edited(real_iad, "realiad_jsons", lambda content: content["test"].extend(more))
    whole = load_dataset("real-iad", real_iad)
    chosen = whole.select(limit=2)
    assert {one.part for one in chosen} == {"toy/toy_0002_OK", "toy/toy_0003_NG_HS"}
    assert len(chosen) == 10
    assert whole.select(limit=20).samples == whole.samples


def test_images_of_a_run_on_another_split_are_found_again(real_iad, tmp_path):
    """The split that the manifest names is read again, with the given folder and with the one that was remembered."""
    conditions = {"image_size": 32, "division": "grid", "grid_rows": 2, "grid_columns": 2, "min_area": 0}
    common = {"models": "contrast", "reference_rows": False, "settings": conditions, "resamples": 0}
    run, *_ = lvlm_ad.bench(data=real_iad, split="sv", out=tmp_path / "out", **common)
    assert run.manifest.dataset.split == "sv"
    for data in (None, real_iad):
        with ExitStack() as stack:
            sources = find_sources(read_run(run.dir), data, Progress(), stack)
        assert [one.tags["view"] for one in sources.samples.values()] == ["C1", "C1"]
        assert sources.divisions is not None


@pytest.mark.parametrize("folder", ["realiad_512", "toy"])
def test_doubled_folders_are_named(real_iad, folder):
    """The error for an archive that was unpacked into a folder of its own name says what to move."""
    place = real_iad / "realiad_512" if folder == "realiad_512" else real_iad / "realiad_512" / "toy"
    place.rename(real_iad / "moved")
    place.mkdir()
    (real_iad / "moved").rename(place / folder)
    with pytest.raises(DataError, match=f"{folder}/{folder}/ holds what belongs in {folder}/"):
        load_dataset("real-iad", real_iad)


def test_pictures_and_lists_need_each_other(real_iad):
    """Pictures without a list have no label: an error. A list without pictures is left out, with a note."""
    write_list(real_iad / "realiad_jsons", "usb", [], [])
    assert "1 of the 2 listed categories is read." in load_dataset("real-iad", real_iad).notes
    view(real_iad / "realiad_512", "zipper", 1, 1)
    with pytest.raises(DataError, match=r"zipper has no list: .*zipper.json must say"):
        load_dataset("real-iad", real_iad)
    assert len(load_dataset("real-iad", real_iad, categories=["toy"])) == 10
    shutil.rmtree(real_iad / "realiad_512" / "toy")
    shutil.rmtree(real_iad / "realiad_512" / "zipper")
    with pytest.raises(DataError, match=r"none of the folders that the lists in .*realiad_jsons name: toy, usb"):
        load_dataset("real-iad", real_iad)


def edited(root, folder, edit):
    """Change the list of a category."""
    path = root / folder / "toy.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_an_image_may_not_stand_twice_in_a_list(real_iad):
    """Twice with two labels is an error, too: only one of them can be right."""
    edited(real_iad, "realiad_jsons", lambda content: content["test"].append({**content["test"][0], "mask_path": "x"}))
    with pytest.raises(DataError, match=r"entry 11: .*_C1_.* is listed twice"):
        load_dataset("real-iad", real_iad)


def test_a_mask_decides_only_in_variety(real_iad):
    """An image of the normal class with a mask is a contradiction in Real-IAD, and a defect in Variety."""

    def to_normal(content):
        for entry in content["test"][5:]:
            entry["anomaly_class"] = "OK"

    edited(real_iad, "realiad_jsons", to_normal)
    with pytest.raises(DataError, match="is listed as good but has a mask"):
        load_dataset("real-iad", real_iad)
    (real_iad / "realiad_512").rename(real_iad / "realiadvariety_raw")
    (real_iad / "realiad_jsons").rename(real_iad / "realiadvariety_jsons")
    report = check_dataset("real-iad-variety", real_iad)
    (problem,) = report.problems
    assert problem.severity == "warning"
    assert "5 of 10 test images have the class OK but a mask_path" in problem.message
    assert report.dataset.defects == {"toy": ("defect",)}


def test_variety_may_have_its_lists_in_splits(real_iad):
    """AnomalyVFM keeps the lists in a folder splits/ beside the categories."""
    (real_iad / "realiad_jsons").rename(real_iad / "realiad_512" / "splits")
    (real_iad / "realiad_512").rename(real_iad / "variety")
    assert len(load_dataset("real-iad-variety", real_iad / "variety")) == 10
    assert len(load_dataset("real-iad-variety", real_iad / "variety" / "toy")) == 10


def test_a_part_with_fewer_views_than_the_others_gives_a_warning(real_iad):
    """Where the number of views is not known, that of most parts is expected."""
    (real_iad / "realiad_512").rename(real_iad / "realiad_d3_raw")
    (real_iad / "realiad_jsons").rename(real_iad / "realiad_d3_jsons")
    assert check_dataset("real-iad-d3", real_iad).problems == ()
    edited(real_iad, "realiad_d3_jsons", lambda content: content["test"].pop())
    (problem,) = check_dataset("real-iad-d3", real_iad).problems
    assert "1 of 2 parts do not have 5 images, one for each view: toy_0003_NG_HS" in problem.message


def test_lists_that_say_too_little_are_told(real_iad):
    """No class, no test image, or another folder than that of the pictures: each is named."""
    path = real_iad / "realiad_jsons" / "toy.json"
    content = json.loads(path.read_text())
    for edit, said in (
        ({"test": [{**content["test"][0], "anomaly_class": ""}]}, r"toy.json, test, entry 1: anomaly_class is empty"),
        ({"test": []}, r"toy.json, test is empty"),
        ({"meta": {**content["meta"], "prefix": "data/toy"}}, r"none of the folders that .* name: data/toy; it holds"),
    ):
        path.write_text(json.dumps({**content, **edit}))
        with pytest.raises(DataError, match=said):
            load_dataset("real-iad", real_iad)


def test_the_folder_of_a_category_is_recognized(real_iad):
    """Its own name may be anything; the one around it is that of the pictures."""
    assert recognized(real_iad / "realiad_512" / "toy") == "real-iad"
    assert recognized(real_iad / "realiad_512" / "toy" / "NG") is None
