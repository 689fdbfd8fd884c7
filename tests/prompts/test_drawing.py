"""Tests of lvlm_ad.prompts.drawing: what a picture depends on, and that describing it reads nothing."""

import json
from dataclasses import dataclass, make_dataclass, replace

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.plugins.own import own_class
from lvlm_ad.prompts import Drawing, Marked, MarkStyle, Whole, draw_marks
from lvlm_ad.prompts.drawing import ImageFile, Pixels
from lvlm_ad.regions import Regions, divide


@dataclass(frozen=True, eq=False)
class Turned(Drawing):
    """A drawing of somebody else's."""

    on: Drawing

    def draw(self, images):
        return self.on.draw(images)[::-1]


@pytest.fixture(scope="module")
def regions():
    return divide(np.zeros((96, 96, 3), np.uint8), "grid", grid_rows=3, grid_columns=3, min_area=0)


def test_the_identity_names_every_field(regions):
    """Whatever a picture depends on changes its identity, and the identity is JSON."""
    marked = Marked(regions, MarkStyle())
    others = [
        Whole(),
        replace(marked, style=MarkStyle(border_width=3)),
        replace(marked, black=True),
        replace(marked, numbers=(2, 1, *range(3, 10))),
        replace(marked, on=Pixels(np.zeros((96, 96, 3), np.uint8))),
        replace(marked, on=Pixels(np.ones((96, 96, 3), np.uint8))),
        replace(marked, regions=regions.renumbered((2, 1, *range(3, 10)))),
    ]
    names = {json.dumps(one.identity(), sort_keys=True) for one in [marked, *others]}
    assert len(names) == len(others) + 1
    assert replace(marked, style=MarkStyle()).identity() == marked.identity()


def test_only_a_drawing_with_a_version_can_be_kept():
    """One without a version could have changed since it was kept, and so could what is drawn on it."""
    assert Whole().can_be_kept
    assert not Turned(Whole()).can_be_kept
    assert not Marked(Regions.from_labels(np.ones((2, 2), int)), MarkStyle(), Turned(Whole())).can_be_kept


@dataclass(frozen=True, eq=False)
class Dark(Whole):
    """Draws otherwise than what it inherits from."""

    def draw(self, images):
        return images.image // 2


@dataclass(frozen=True, eq=False)
class Row(Drawing):
    """Drawings beside each other."""

    parts: tuple
    version = 1


def test_a_version_is_not_inherited_and_counts_for_every_drawing_inside():
    """Code of somebody else's may change, wherever its drawing is."""
    assert not Dark().can_be_kept
    assert Row((Whole(), Row((Whole(),)))).can_be_kept
    assert not Row((Whole(), Row((Turned(Whole()),)))).can_be_kept


def test_classes_of_one_name_in_two_files_differ(tmp_path):
    """Drawings of two files of one name, and fields that hold alike values of other classes, are not mixed up."""
    names = set()
    for folder in "ab":
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "mine.py"
        file.write_text("from lvlm_ad.prompts import Drawing\n\n\nclass Mine(Drawing):\n    version = 1\n")
        drawing, _ = own_class(f"{file}:Mine", lambda _: True, "")
        names.add(json.dumps(drawing().identity()))
    assert len(names) == 2
    fields = [make_dataclass(name, ["side"])(1) for name in ("Square", "Circle")]
    assert Row((fields[0],)).identity() != Row((fields[1],)).identity()


def test_marks_are_those_of_draw_marks(regions):
    """Renumbered regions bear their new numbers, and regions of another size are stretched to the picture's."""
    image = np.full((96, 96, 3), 90, np.uint8)
    order = (3, 1, 2, *range(4, 10))
    assert (Marked(regions, MarkStyle(), Pixels(image)).draw(None) == draw_marks(image, regions, MarkStyle())).all()
    renumbered = Marked(regions, MarkStyle(), Pixels(image), numbers=order).draw(None)
    membership = regions.membership[[number - 1 for number in order]]
    assert (renumbered == draw_marks(image, Regions(regions.cells, membership), MarkStyle())).all()
    assert not (renumbered == draw_marks(image, regions, MarkStyle())).all()
    large = np.full((192, 192, 3), 90, np.uint8)
    doubled = Regions(np.kron(regions.cells, np.ones((2, 2), np.int32)), regions.membership)
    assert (Marked(regions, MarkStyle(), Pixels(large)).draw(None) == draw_marks(large, doubled, MarkStyle())).all()


def test_the_identity_of_a_file_is_its_content_and_size(tmp_path):
    """The same pixels in another place are the same image; other pixels or another side are not."""
    image = np.full((40, 50, 3), 90, np.uint8)
    for name, shade in (("a", 0), ("b", 0), ("c", 1)):
        Image.fromarray(image + np.uint8(shade)).save(tmp_path / f"{name}.png")
    first, same, other = (ImageFile(tmp_path / f"{name}.png", None, 96) for name in "abc")
    assert first.identity() == same.identity()
    assert first.identity() != other.identity()
    assert first.identity() != ImageFile(tmp_path / "a.png", None, 48).identity()
    assert (first.original.shape, first.image.shape) == ((40, 50, 3), (96, 96, 3))
