"""The method whose answers name cells of a grid."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Answer
from lvlm_ad.methods.cells import Cells
from lvlm_ad.prompts import MarkStyle, draw_grid
from lvlm_ad.regions import divide


def cells(**options):
    return Cells(Cells.Options(**options))


@pytest.mark.parametrize(
    ("names", "phrase", "example"),
    [
        ("chess", "the letter of its column, from A at the left to F at the right", "A2: 0.9; B2: 0.7."),
        ("rc", "its row, from 1 at the top to 3 at the bottom, and its column", "(2, 1): 0.9; (2, 2): 0.7."),
    ],
)
def test_the_question_explains_the_names(make_view, talk, names, phrase, example):
    """Rows, columns and how cells are named stand in the question, and its example can be read."""
    method = cells(cell_rows=3, cell_columns=6, cell_names=names)
    request, finding = talk(method, make_view(prompt="cells"), Answer(f"image anomaly score: 0.9; {example}"))
    assert "3 rows and 6 columns" in request.text
    assert phrase in request.text
    assert request.text.endswith(example)
    assert "$" not in request.text
    assert [(cell.row, cell.column, cell.score) for cell in finding.shapes] == [(2, 1, 0.9), (2, 2, 0.7)]
    assert (finding.image, finding.status) == (0.9, "ok")


@pytest.mark.parametrize(("names", "first"), [("chess", "A1"), ("rc", "1, 1")])
def test_marks_are_drawn_only_if_asked_for(make_view, talk, photo, names, first):
    """Without marks the picture is sent as it is; with them it bears grid and names, and the question says so."""

    def sent(request):
        return np.asarray(Image.open(BytesIO(request.images[-1].data)).convert("RGB"))

    plain, _ = talk(cells(cell_names=names), make_view(photo, prompt="cells"), Answer("A1"))
    marked, _ = talk(cells(cell_names=names, marks=True), make_view(photo, prompt="cells"), Answer("A1"))
    np.testing.assert_array_equal(sent(plain), photo)

    def name(row, column):
        return f"{'ABCDEFGH'[column - 1]}{row}" if names == "chess" else f"{row}, {column}"

    assert name(1, 1) == first
    np.testing.assert_array_equal(sent(marked), draw_grid(photo, 8, 8, MarkStyle(), name))
    assert ("Think of the picture" in plain.text, "White lines" in plain.text) == (True, False)
    assert ("Think of the picture" in marked.text, "White lines" in marked.text) == (False, True)


def test_an_answer_that_names_no_cell_says_so(make_view, talk):
    """The words that the question asks for in place of cells make an answer complete."""
    request, finding = talk(cells(), make_view(prompt="cells"), Answer("image anomaly score: 0.1; there are none."))
    assert 'write "there are none"' in request.text
    assert (finding.image, finding.shapes, finding.status) == (0.1, (), "ok")


@pytest.mark.parametrize("names", ["chess", "rc"])
def test_an_echo_of_the_question_names_no_cell(make_view, talk, names):
    """A model that repeats the question says nothing about a cell or the image."""
    _, finding = talk(cells(cell_names=names), make_view(prompt="cells"), lambda request: Answer(request.text))
    assert (finding.image, finding.shapes) == (None, ())


def test_the_best_answer_is_that_of_the_same_grid(make_view):
    """Each cell with a defect has the fraction that is defective as score, as the division of that grid pools it."""
    mask = np.random.default_rng(0).random((448, 672)) < 1e-4
    view = make_view(prompt="cells")
    finding = cells(cell_rows=5, cell_columns=9).best_finding(view, mask)
    grid = divide(view.image, "grid", grid_rows=5, grid_columns=9, min_area=0)
    pooled = grid.pool(mask.astype(float)).reshape(5, 9)
    best = np.zeros((5, 9))
    for cell in finding.shapes:
        best[cell.row - 1, cell.column - 1] = cell.score
    np.testing.assert_allclose(best, pooled, atol=1e-15)
    assert 0 < (best > 0).sum() < 45
    assert finding.image == 1
