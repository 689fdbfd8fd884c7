"""Samples and data sets: masks, selection, hashes."""

import hashlib
import json
import pickle
import shutil
import sqlite3
from contextlib import closing
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import Dataset, Sample, load_dataset
from lvlm_ad.datasets.hashing import hash_files, hash_rows
from lvlm_ad.errors import DataError, ImageError
from lvlm_ad.store import open_cache


def picture(path, value=100, size=(6, 4)):
    """Write a grey image of size (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def made(root, masks=True):
    """Build a data set of two categories: 3 good and 2 + 2 defects each."""
    samples = []
    for category in ("cup", "plate"):
        for defect, count in (("good", 3), ("chip", 2), ("stain", 2)):
            for i in range(count):
                image = picture(root / category / defect / f"{i}.png", 10 * i + len(defect) + len(category))
                mask = (
                    picture(root / "masks" / category / defect / f"{i}.png", 255)
                    if defect != "good" and masks
                    else None
                )
                samples.append(Sample(f"{category}/{defect}/{i}", category, defect != "good", defect, image, mask))
    return Dataset("folder", root, tuple(samples))


def test_mask_of_a_good_image_is_empty(tmp_path):
    """A normal image has no defective pixel, in the size of its image."""
    sample = Sample("a/good/0", "a", label=False, defect="good", image_path=picture(tmp_path / "0.png"))
    assert sample.image.shape == (4, 6, 3)
    assert sample.mask.shape == (4, 6)
    assert not sample.mask.any()


def test_mask_of_a_defect_without_one_is_none(tmp_path):
    """Where no ground truth exists, none is made up."""
    sample = Sample("a/bad/0", "a", label=True, defect="bad", image_path=picture(tmp_path / "0.png"))
    assert sample.mask is None


def test_threshold_of_a_sample_reaches_its_mask(tmp_path):
    """A sample's own threshold decides which mask pixels are defective."""
    image, mask = picture(tmp_path / "0.png"), picture(tmp_path / "m.png", 100)
    assert not Sample("a/bad/0", "a", True, "bad", image, mask).mask.any()
    assert Sample("a/bad/0", "a", True, "bad", image, mask, threshold=99).mask.all()


def test_mask_of_another_size_is_an_error(tmp_path):
    """A mask that does not cover its image exactly is never stretched; both sizes are named, width first."""
    image, mask = picture(tmp_path / "0.png"), picture(tmp_path / "m.png", 255, (4, 6))
    with pytest.raises(ImageError, match=r"m\.png has 4 x 6 pixels, but its image has 6 x 4"):
        _ = Sample("a/bad/0", "a", True, "bad", image, mask).mask


def test_data_set_is_a_sequence(tmp_path):
    """A data set has a length, an order, items and slices."""
    dataset = made(tmp_path)
    assert len(dataset) == 14
    assert dataset[0].id == "cup/good/0"
    assert [s.id for s in dataset[-2:]] == ["plate/stain/0", "plate/stain/1"]
    assert dataset.categories == ("cup", "plate")
    assert dataset.defects == {"cup": ("chip", "stain"), "plate": ("chip", "stain")}


def test_selection_keeps_the_order_of_the_data_set(tmp_path):
    """Categories are kept in the data set's order, however they are asked for, and all samples of them."""
    dataset = made(tmp_path)
    assert dataset.select(["plate", "cup"]) == dataset
    assert {s.category for s in dataset.select(["plate"])} == {"plate"}
    assert len(dataset.select(["plate"])) == 7


def test_limit_takes_good_and_each_defect_in_turn(tmp_path):
    """A short run has both labels, and more than one kind of defect, in each category."""
    ids = [s.id for s in made(tmp_path).select(["cup"], limit=4)]
    assert ids == ["cup/good/0", "cup/good/1", "cup/chip/0", "cup/stain/0"]


def test_limit_above_the_size_keeps_everything(tmp_path):
    """A limit larger than a category changes nothing."""
    dataset = made(tmp_path)
    assert dataset.select(limit=100) == dataset


def test_unknown_category_names_the_nearest(tmp_path):
    """A misspelt category is answered with the right one, on one line."""
    with pytest.raises(DataError, match=r"no category 'plaet'.* Did you mean 'plate'"):
        made(tmp_path).select(["plaet"])
    with pytest.raises(DataError) as raised:
        made(tmp_path).select(["a\nb"])
    assert "\n" not in str(raised.value)


def test_limit_below_one_is_an_error(tmp_path):
    """A limit of 0 is refused rather than measured."""
    with pytest.raises(DataError, match="limit of 0"):
        made(tmp_path).select(limit=0)


def test_fingerprint_is_of_the_content_not_the_place(tmp_path):
    """The same files elsewhere have the same fingerprint; a changed mask or label has another."""
    first = made(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert made(tmp_path / "b").fingerprint == first.fingerprint
    changed = made(tmp_path / "b")
    picture(changed[3].mask_path, 254)
    assert changed.fingerprint != first.fingerprint
    assert made(tmp_path / "a", masks=False).fingerprint != first.fingerprint


def test_hashes_are_of_image_and_mask(tmp_path):
    """Each sample has the hash of its image file and, if it has one, of its mask file."""
    hashes = made(tmp_path).file_hashes
    assert all(len(image) == 64 for image, _ in hashes.values())
    assert hashes["cup/good/0"][1] == ""
    assert len(hashes["cup/chip/0"][1]) == 64


def test_a_sample_is_a_value(tmp_path):
    """A sample knows its files, equals its copy in another process, and cannot be changed."""
    image, mask = tmp_path / "0.png", Path("masks/0_mask.png")
    sample = Sample("a/bad/0", "a", label=True, defect="bad", image_path=image, mask_path=mask, threshold=7)
    assert sample.files == (image, mask)
    assert {sample, pickle.loads(pickle.dumps(sample))} == {sample}
    with pytest.raises(FrozenInstanceError):
        sample.label = False


def test_kept_hashes_are_those_of_the_files(tmp_path, monkeypatch):
    """From the cache or from the files, however many: the same; only a file that has changed is read again."""
    files = [tmp_path / f"{number}.bin" for number in range(1000)]
    for number, file in enumerate(files):
        file.write_bytes(b"%d" % number)

    def kept():
        with closing(open_cache(tmp_path / "cache.sqlite")) as cache:
            return hash_files(files, cache)

    wanted = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(1000)]
    monkeypatch.setattr("lvlm_ad.datasets.hashing._FRESH", 3600)
    assert hash_files(files) == wanted
    assert kept() == wanted
    with closing(sqlite3.connect(tmp_path / "cache.sqlite")) as db, db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (0,), "a new file could change unseen"
    monkeypatch.setattr("lvlm_ad.datasets.hashing._FRESH", -1)
    assert kept() == wanted
    with closing(sqlite3.connect(tmp_path / "cache.sqlite")) as db, db:
        assert db.execute("UPDATE files SET hash = 'kept'").rowcount == 1000
    files[8].write_bytes(b"other")
    assert kept() == [*["kept"] * 8, hashlib.sha256(b"other").hexdigest(), *["kept"] * 991]


def test_rows_are_hashed_as_one_list():
    """The hash is that of the whole list in JSON, however many rows."""
    for count in (0, 1, 2000):
        rows = [[f"ä{number}", number % 2 == 0, None, number / 3] for number in range(count)]
        assert hash_rows(rows) == hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def test_vanished_file_is_a_data_error(tmp_path):
    """A file that is gone when it is hashed is named."""
    dataset = made(tmp_path)
    dataset[0].image_path.unlink()
    with pytest.raises(DataError, match=r"0\.png cannot be read: No such file"):
        _ = dataset.fingerprint


def test_images_are_read_at_each_access(tmp_path):
    """A sample keeps no pixels: a changed file is seen."""
    sample = made(tmp_path)[0]
    before = sample.image
    picture(sample.image_path, 200)
    assert not np.array_equal(sample.image, before)


def test_loading_repeats_a_few_warnings_and_counts_the_others(tmp_path):
    """A category with only good images is told while loading; of many such notes the rest is a number."""
    for number in range(10):
        for kind in ("good", "bad") if number == 9 else ("good",):
            folder = tmp_path / f"cup{number}" / "test" / kind
            folder.mkdir(parents=True)
            Image.new("L", (8, 8), number).save(folder / "0.png")
    remarks = load_dataset("folder", tmp_path).remarks
    assert sum("has only good images" in one for one in remarks) == 8
    assert remarks[-1] == "Further warnings: 1; `lvlm-ad data check` lists them all."
    assert [one for one in load_dataset("folder", tmp_path, categories=["cup9"]).remarks if "has only" in one] == []
