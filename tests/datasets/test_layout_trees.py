"""Miniature trees of published data sets: right ones are read, and what is wrong with damaged ones is reported."""

import runpy
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.datasets import check_dataset, load_dataset
from lvlm_ad.datasets.questions import QUESTION_TYPES
from lvlm_ad.datasets.readers import READERS, recognized
from lvlm_ad.errors import ConfigError
from lvlm_ad.presets import Protocol, load_prompt
from lvlm_ad.prompts import Questioner

TOOL = Path(__file__).resolve().parents[3] / "shared" / "tools" / "mk_layouts.py"
NAMES = {
    "mvtec_loco": "loco",
    "autovi": "autovi",
    "btad": "btad",
    "mpdd": "mpdd",
    "dtd_synthetic": "dtd-synthetic",
    "goodsad": "goodsad",
    "ksdd": "ksdd",
    "ksdd2": "ksdd2",
    "dagm": "dagm",
    "bmad": "bmad",
    "yes_no": "yes-no",
    "head_ct": "head-ct",
    "kaputt": "kaputt",
    "mmad": "mmad",
    "mvtec_ad_2": "mvtec-ad-2",
    "real_iad": "real-iad",
    "real_iad_d3": "real-iad-d3",
    "real_iad_variety": "real-iad-variety",
    "meta_json": "meta-json",
    "meta_jsonl": "meta-json",
}
"""Name of a data set in the trees' expectations -> its name here."""
REFUSED_WITH_A_SHOT = {"mmad_no_templates"}
"""Trees that can be read, but have no image to show as a reference."""


@cache
def tool():
    """What the script that writes the trees defines."""
    return runpy.run_path(str(TOOL))


def makers():
    """Name what writes trees; each writes a right one and damaged ones of one data set."""
    return list(tool()["MAKERS"]) if TOOL.is_file() else ["absent"]


@pytest.fixture(scope="module", params=makers())
def trees(shared, request, tmp_path_factory):
    """Write the trees of one maker; return their folder and what is expected of each."""
    assert shared
    folder = tmp_path_factory.mktemp("trees")
    return folder, tool()["make"](folder, [request.param])


@contextmanager
def named(tree):
    """Say of which tree an assertion failed."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"The tree: {tree}")
        raise


def relative(root, path):
    """Return a file's path in the tree."""
    return path.resolve().relative_to(root.resolve()).as_posix()


def check_numbers(dataset, expected, root):
    """Compare a data set with what a tree holds."""
    labels = {relative(root, one.image_path): int(one.label) for one in dataset}
    assert labels == expected["labels"]
    assert (len(dataset), sum(labels.values())) == (expected["n"], expected["bad"])
    kinds = {category: sorted(names) for category, names in dataset.defects.items() if names}
    assert kinds == {category: names for category, names in expected["defects"].items() if names}
    assert {name: len(paths) for name, paths in dataset.references.items() if paths} == expected["references"]
    if "validation" in expected:
        assert {name: len(paths) for name, paths in dataset.validation.items()} == expected["validation"]
    if "lighting" in expected:
        assert Counter(one.tags["lighting"] for one in dataset) == expected["lighting"]
    if "references_by_image" in expected:
        assert {len(one.references) for one in dataset} == {expected["references_by_image"]}
    if "samples" in expected:
        parts = {}
        for one in dataset:
            parts[one.part] = max(parts.get(one.part, 0), int(one.label))
        assert {part.rpartition("/")[2]: label for part, label in parts.items()} == expected["samples"]


def check_questions(dataset, expected, root):
    """Compare questions and an image's own references with what a tree holds."""
    if "questions" not in expected:
        return
    questions = [one for sample in dataset for one in sample.questions]
    assert len(questions) == expected["questions"]
    assert len({one.type for one in questions} & set(QUESTION_TYPES)) == expected["types"]
    letters = {relative(root, one.image_path): [asked.right_letter for asked in one.questions] for one in dataset}
    assert all(letter in letters[image] for image, letter in expected.get("letters", {}).items())
    for one in dataset:
        source, category = one.category.split("/")
        home = "MVTec-AD" if source == "DS-MVTec" else source
        names = [f"{home}/{category}/train/good/{number}.png" for number in ("000", "001")]
        assert [relative(root, path) for path in one.references] in (names, [])


def refusal_with_a_shot(dataset):
    """Say why one reference image cannot be shown."""
    with pytest.raises(ConfigError) as refused:
        Questioner(dataset, Protocol(shots=1), load_prompt("score"), seed=0)
    Questioner(dataset, Protocol(shots=0), load_prompt("score"), seed=0)
    return str(refused.value)


def check_masks(dataset, expected, root):
    """Compare masks, and the defects in them, with what a tree holds."""
    masks = {relative(root, one.image_path): one.mask for one in dataset if one.mask_path is not None}
    assert {name: int(mask.sum()) for name, mask in masks.items()} == expected["masks"]
    for one in dataset:
        channels = expected.get("channels", {}).get(relative(root, one.image_path))
        if channels is not None:
            found = [[part.value, int(part.mask.sum()), part.saturation] for part in one.channels]
            assert found == (channels if one.types.thresholds else [[*part[:2], None] for part in channels])
            assert np.array_equal(np.logical_or.reduce([part.mask for part in one.channels]), one.mask)


def check_tree(folder, tree, expected):
    """Read a tree, or find what is wrong with it."""
    name, root = NAMES[expected["loader"]], folder / expected["root"]
    report = check_dataset(name, root)
    errors = [one.message for one in report.problems if one.severity == "error"]
    warnings = [one.message for one in report.problems if one.severity == "warning"]
    if expected["ok"] or expected["severity"] == "warning":
        assert not errors
        check_numbers(report.dataset, expected, root)
        check_masks(report.dataset, expected, root)
        check_questions(report.dataset, expected, root)
        assert load_dataset(name, root).fingerprint == report.dataset.fingerprint
    elif tree in REFUSED_WITH_A_SHOT:
        assert not errors
        errors = [refusal_with_a_shot(report.dataset)]
    elif expected.get("found_by") == "check":
        check_numbers(report.dataset, expected, root)
    if not errors and tree not in REFUSED_WITH_A_SHOT:
        # Loading counts images without a mask in a note of its own.
        told = [one for one in warnings if "no masks, though other categories" not in one]
        assert set(told) <= set(load_dataset(name, root).remarks)
    for split, counts in expected.get("splits", {}).items():
        unlabelled = load_dataset(name, root, split=split.replace("_", "-"))
        assert Counter(one.category for one in unlabelled) == counts
        assert not any(one.is_labelled or one.label or one.mask is not None for one in unlabelled)
    if not expected["ok"]:
        reported = errors if expected["severity"] == "error" else warnings
        assert any(all(word in message for word in expected["names"]) for message in reported), errors + warnings


def test_a_tree_is_read_or_its_damage_reported(trees):
    """Counts, labels, masks and references are those of the tree; what is wrong with it is named."""
    folder, expected_of = trees
    for tree, expected in expected_of.items():
        if expected["loader"] in NAMES:
            with named(tree):
                check_tree(folder, tree, expected)


def test_another_root_of_a_tree_gives_the_same_images(trees):
    """The folder around a data set, and one category's, are read as the data set and as a part of it."""
    folder, expected_of = trees
    for tree, expected in expected_of.items():
        if "also_from" in expected:
            also, _, what = expected["also_from"].partition(":")
            root, name = folder / expected["root"], NAMES[expected["loader"]]
            ids = [one.id for one in load_dataset(name, root)]
            part = f"{Path(also).name}/" if what else ""
            with named(tree):
                assert [one.id for one in load_dataset(name, folder / also)] == [
                    one for one in ids if one.startswith(part)
                ]


def test_a_tree_is_recognized_by_its_folder_alone(trees):
    """``--data`` alone says which data set an unmistakable tree is, and never takes it for another.

    No reader takes the tree of a data set that it does not read.
    """
    folder, expected_of = trees
    for tree, expected in expected_of.items():
        name, found = NAMES.get(expected["loader"]), recognized(folder / expected["root"])
        with named(tree):
            assert found in {name, None}
            # Data of MVTec's layout has been read by its folders since before lists were read.
            if name and expected["ok"] and READERS[name].fits is not None and tree != "meta_mvtec":
                assert found == name
