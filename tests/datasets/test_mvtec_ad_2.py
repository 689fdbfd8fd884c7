"""MVTec AD 2: lights, parts, and splits without labels."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import lvlm_ad
from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.ad2_upload_check import check_upload
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.runs import read_run


def picture(path, value=100):
    """Write a grey image of 32 x 24 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (32, 24), value).save(path)


@pytest.fixture
def ad2(tmp_path):
    """The folder of an object with two good and two bad parts under two lights, and two private images a split."""
    folder = tmp_path / "ad2" / "vial"
    for number in range(2):
        picture(folder / "train" / "good" / f"{number:03}_regular.png")
        picture(folder / "validation" / "good" / f"{number:03}_regular.png")
        picture(folder / "test_private" / f"{number:03}_regular.png", 140 + number)
        picture(folder / "test_private_mixed" / f"{number:03}_mixed.png", 150 + number)
        for light in ("regular", "shift_1"):
            for kind in ("good", "bad"):
                picture(folder / "test_public" / kind / f"{number:03}_{light}.png", 90 + number + 10 * len(kind))
            mask = np.zeros((24, 32), np.uint8)
            mask[:6, :8] = 255
            path = folder / "test_public" / "ground_truth" / "bad" / f"{number:03}_{light}_mask.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
    return folder


def test_images_of_one_part_under_several_lights_share_its_name(ad2):
    """The light is a tag; the part is named by object, kind and number, since a good and a bad part may share one."""
    found = {one.id: (one.tags, one.part) for one in load_dataset("mvtec-ad-2", ad2.parent)}
    assert found["vial/bad/001_shift_1"] == ({"lighting": "shift_1"}, "vial/bad/001")
    assert found["vial/bad/001_regular"] == ({"lighting": "regular"}, "vial/bad/001")
    assert len({part for _, part in found.values()}) == 4


def test_object_and_folder_around_are_roots_too(ad2):
    """One object's folder, and the folder around the data set's, hold the same images."""
    ids = [one.id for one in load_dataset("mvtec-ad-2", ad2.parent)]
    assert [one.id for one in load_dataset("mvtec-ad-2", ad2)] == ids
    assert [one.id for one in load_dataset("mvtec-ad-2", ad2.parent.parent)] == ids


def test_private_images_are_neither_good_nor_bad(ad2):
    """They load and pass the check; nothing says that they are normal."""
    dataset = load_dataset("mvtec-ad-2", ad2.parent, split="private-mixed")
    assert [(one.id, one.is_labelled, one.label, one.mask) for one in dataset] == [
        ("vial/unlabelled/000_mixed", False, False, None),
        ("vial/unlabelled/001_mixed", False, False, None),
    ]
    assert dataset.split == "private-mixed"
    assert dataset.defects == {"vial": ()}
    assert check_dataset("mvtec-ad-2", ad2.parent, split="private-mixed").problems == ()


def test_an_image_of_another_split_is_refused(ad2):
    """The server wants exactly the names of its split: a mixed image among the regular ones is named."""
    picture(ad2 / "test_private" / "000_mixed.png")
    with pytest.raises(DataError, match=r"000_mixed\.png is no image of the split private, .* 000_regular\.png"):
        load_dataset("mvtec-ad-2", ad2, split="private")
    assert len(load_dataset("mvtec-ad-2", ad2, split="private-mixed")) == 2


def test_a_split_given_as_a_folder_names_its_data_set(ad2, lvlm_ad_command):
    """The images are read as a user's own, and a note says which data set the folder is a part of."""
    shown = lvlm_ad_command("data", "info", "--data", ad2 / "test_public").stdout
    assert "folder: 8 test images" in shown
    assert f"looks like MVTec AD 2: give --dataset mvtec-ad-2 --data {ad2}" in " ".join(shown.split())


def test_a_mask_one_level_too_high_is_named(ad2):
    """It is not read as that of an image, although its name fits one."""
    masks = ad2 / "test_public" / "ground_truth"
    (masks / "bad" / "001_regular_mask.png").rename(masks / "001_regular_mask.png")
    with pytest.raises(DataError, match=r"ground_truth/001_regular_mask.png lies one level too high; move it into"):
        load_dataset("mvtec-ad-2", ad2)


def test_a_damaged_validation_image_is_found(ad2):
    """The check reads the headers of validation images."""
    (ad2 / "validation" / "good" / "001_regular.png").write_bytes(b"")
    (problem,) = check_dataset("mvtec-ad-2", ad2).problems
    assert problem.where == "vial/validation/001_regular.png"


def test_data_info_counts_groups_and_unlabelled_images(ad2, lvlm_ad_command):
    """The counts are those of the tree; without labels there is nothing good or bad."""
    info = json.loads(lvlm_ad_command("data", "info", "--data", ad2.parent, "--json").stdout)
    assert (info["split"], info["images"], info["good"], info["bad"], info["masks"]) == ("public", 8, 4, 4, 4)
    assert info["defects"] == {"vial": ["bad"]}
    assert (info["references"], info["validation"]) == ({"vial": 2}, {"vial": 2})
    assert info["groups"] == {"tags": {"lighting": {"regular": 4, "shift_1": 4}}, "parts": 4}
    shown = lvlm_ad_command("data", "info", "--data", ad2.parent, "--split", "private").stdout
    assert "mvtec-ad-2, split private: 2 test images" in shown
    assert "Unlabelled" in shown
    assert lvlm_ad_command("data", "check", "--data", ad2.parent, "--split", "private").returncode == 0


def test_a_bench_of_reference_rows_without_labels_is_refused(ad2, lvlm_ad_command):
    """One line says that there are no labels, and what to do."""
    done = lvlm_ad_command("bench", "--data", ad2.parent, "--split", "private")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "lvlm-ad: The images of mvtec-ad-2, split private, have no labels, so reference rows would say nothing; name a "
        "model with --model."
    )


@pytest.mark.slow
def test_a_run_records_its_split(ad2, tmp_path):
    """The manifest names the split, which is a part of what the hash is made of; a set with one split has none."""
    conditions = {"image_size": 32, "division": "grid", "grid_rows": 2, "grid_columns": 2, "min_area": 0}
    common = {"models": "contrast", "reference_rows": False, "settings": conditions, "out": tmp_path / "out"}
    run, *_ = lvlm_ad.bench(data=ad2.parent, resamples=0, **common)
    assert run.manifest.dataset.split == "public"
    assert read_run(run.dir).manifest.dataset.summary == "mvtec-ad-2, split public: 8 images of vial"
    other, *_ = lvlm_ad.bench(dataset="folder", data=ad2 / "test_public", resamples=0, **common)
    assert "split" not in json.loads((other.dir / "run.json").read_text())["dataset"]


def test_unknown_splits_are_refused(ad2):
    """The nearest name is given; a data set with one split has no other."""
    with pytest.raises(ConfigError, match=r"no split 'private_mixed'. Did you mean 'private' or 'private-mixed'"):
        load_dataset("mvtec-ad-2", ad2.parent, split="private_mixed")
    with pytest.raises(ConfigError, match="has only one split"):
        load_dataset("folder", ad2 / "test_public", split="private")
    (ad2 / "test_private").rename(ad2 / "else")
    with pytest.raises(DataError, match=r"no folder test_private/.*give --split public"):
        load_dataset("mvtec-ad-2", ad2.parent, split="private")


def test_an_image_of_another_name_is_told(ad2):
    """Without a number and a light in its name, an image is read, but loading and the check warn of it."""
    picture(ad2 / "test_public" / "good" / "regular_7.png", 7)
    words = "1 of 9 images in .*test_public have other names than 000_regular.png, such as regular_7.png"
    assert any(re.search(words, one) for one in load_dataset("mvtec-ad-2", ad2.parent).remarks)
    assert [one.severity for one in check_dataset("mvtec-ad-2", ad2.parent).problems] == ["warning"]


def test_the_check_of_an_upload_names_the_folder_it_needs(tmp_path):
    """A folder that is not there is the one that bench writes, not a data set."""
    with pytest.raises(DataError, match="give the one that bench wrote"):
        check_upload(tmp_path / "nothere")


@pytest.mark.slow
def test_lightings_have_segf1_and_classf1(ad2, tmp_path):
    """Each lighting's are those of its own images' pixels and alarms; a run of before, without them, is verified."""
    conditions = {"image_size": 32, "division": "grid", "grid_rows": 2, "grid_columns": 2, "min_area": 0}
    common = {"models": "contrast", "reference_rows": False, "settings": conditions, "resamples": 0}
    run, *_ = lvlm_ad.bench(data=ad2.parent, out=tmp_path / "out", **common)
    found = run.metrics["tags"]["lighting"]
    for light in ("regular", "shift_1"):
        own = [one for one in run.predictions if one.tags["lighting"] == light]
        right, wrong, missed = np.sum([one.cut for one in own], axis=0)
        assert found[light]["segf1"] == pytest.approx(2 * right / (2 * right + wrong + missed))
        assert 0 <= found[light]["classf1"] <= 1
    assert verify_run(read_run(run.dir)) == []
    path = run.dir / "metrics.json"
    metrics = json.loads(path.read_text())
    for entry in metrics["tags"]["lighting"].values():
        for name in ("segf1", "classf1"):
            del entry[name]
            for part in ("interval", "no_interval", "undefined"):
                entry.get(part, {}).pop(name, None)
        entry["few_images"] = [name for name in entry.get("few_images", []) if name != "classf1"]
        if not entry["few_images"]:
            del entry["few_images"]
    path.write_text(json.dumps(metrics))
    assert verify_run(read_run(run.dir)) == []
