"""Copies of images: the same ids, labels and masks, other pixels, written once."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import decode
from lvlm_ad.errors import RunError
from lvlm_ad.studies.copies import corrupted_copies, mirrored_copies
from lvlm_ad.studies.corruptions import corrupt


@pytest.fixture(scope="module")
def dataset(blocks):
    """Four images, two of them anomalous."""
    whole = load_dataset("folder", blocks)
    return replace(whole, samples=whole.select(limit=4).samples, kinds=whole.defects)


def test_a_corrupted_copy_has_the_masks_of_the_original(dataset, tmp_path):
    """Only the pixels of the image differ."""
    copies = corrupted_copies(dataset, "noise", 2, tmp_path / "noise-2")
    assert [one.id for one in copies] == [one.id for one in dataset]
    for copy, original in zip(copies, dataset, strict=True):
        assert np.array_equal(copy.image, corrupt(original.image, "noise", 2, original.id))
        assert (copy.label, copy.mask_path) == (original.label, original.mask_path)
        assert np.array_equal(copy.mask, original.mask)
    assert copies.fingerprint != dataset.fingerprint


def test_a_mirrored_copy_has_a_mirrored_mask(dataset, tmp_path):
    """Left and right are swapped in images and masks."""
    copies = mirrored_copies(dataset, tmp_path / "mirrored")
    assert sum(one.mask.any() for one in copies) == 2
    for copy, original in zip(copies, dataset, strict=True):
        assert np.array_equal(copy.image, original.image[:, ::-1])
        assert np.array_equal(copy.mask, original.mask[:, ::-1])


def test_masks_keep_their_values(tmp_path):
    """A mask with numbers of defects and one with a palette are mirrored as they are, since values have a meaning."""
    from lvlm_ad.datasets import Dataset, Sample

    Image.fromarray(np.full((4, 6, 3), 90, np.uint8)).save(tmp_path / "image.png")
    values = np.zeros((4, 6), np.uint8)
    values[1, 0], values[2, 1] = 3, 7
    Image.fromarray(values).save(tmp_path / "numbers.png")
    coloured = Image.fromarray(values, "L").convert("P")
    coloured.putpalette([0, 0, 0, 255, 0, 0] * 128)
    coloured.save(tmp_path / "palette.png")
    files = (tmp_path / "numbers.png", tmp_path / "palette.png")
    sample = Sample("a", "bolt", True, "hole", tmp_path / "image.png", files[0], ((7, 7),), more_masks=files[1:])
    copy = mirrored_copies(Dataset("folder", tmp_path, (sample,)), tmp_path / "mirrored")[0]
    assert np.array_equal(np.asarray(decode(copy.mask_path)), values[:, ::-1])
    assert decode(copy.more_masks[0]).mode == "P"
    assert np.array_equal(copy.mask, sample.mask[:, ::-1])


def test_copies_are_written_once_and_again_if_the_original_changes(dataset, tmp_path):
    """A study that continues keeps its copies; a changed original gets another one."""
    folder = tmp_path / "blur-1"
    first = corrupted_copies(dataset, "blur", 1, folder)
    times = [one.image_path.stat().st_mtime_ns for one in first]
    again = corrupted_copies(dataset, "blur", 1, folder)
    assert [one.image_path.stat().st_mtime_ns for one in again] == times
    changed = tmp_path / "changed.png"
    Image.fromarray(np.full((80, 80, 3), 5, np.uint8)).save(changed)
    other = replace(dataset, samples=(replace(dataset[0], image_path=changed),))
    assert (corrupted_copies(other, "blur", 1, folder)[0].image == 5).all()


def test_a_folder_that_cannot_be_written_is_an_error(dataset, tmp_path):
    """The message names the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file"):
        corrupted_copies(dataset, "blur", 1, tmp_path / "file" / "blur-1")
