from time import process_time

import pytest

from lvlm_ad.backend import Answer
from lvlm_ad.text2seg.places.cells import read_cells


def read(text, naming="chess", outcome="ok", *, scored=True, grid=(8, 8)):
    """Image score, {(row, column): score}, status and flags of an answer."""
    found = read_cells(Answer(text, outcome), *grid, naming, scored=scored)
    assert len(found.notes) >= len(set(found.flags))
    return found.image, {(cell.row, cell.column): cell.score for cell in found.shapes}, found.status, found.flags


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        pytest.param("B3: 0.8; c4 = 0.6", {(3, 2): 0.8, (4, 3): 0.6}, id="names with scores"),
        pytest.param("- **B3**: 0.8\n- C4 (0.6)", {(3, 2): 0.8, (4, 3): 0.6}, id="a list"),
        pytest.param("B3, B4 and C5: 0.7", {(3, 2): 0.7, (4, 2): 0.7, (5, 3): 0.7}, id="several share a score"),
        pytest.param("B3\u2013C4: 80 %", {(3, 2): 0.8, (3, 3): 0.8, (4, 2): 0.8, (4, 3): 0.8}, id="a rectangle"),
        pytest.param("C4-B3: 0.5", {(3, 2): 0.5, (3, 3): 0.5, (4, 2): 0.5, (4, 3): 0.5}, id="its corners in any order"),
        pytest.param("row 2, column 3: 0.5; column D, row 1: 0.4", {(2, 3): 0.5, (1, 4): 0.4}, id="in words"),
        pytest.param("B3 is 0.8 and C4 has a score of 0.6", {(3, 2): 0.8, (4, 3): 0.6}, id="in a sentence"),
        pytest.param("B3: deep scratch, 0.8", {(3, 2): 0.8}, id="the defect before the score"),
        pytest.param("B3: 8e-1, C4: 0.6", {(3, 2): 0.8, (4, 3): 0.6}, id="powers of ten"),
        pytest.param("B3: 0,8, C4: 0,6", {(3, 2): 0.8, (4, 3): 0.6}, id="decimal commas"),
        pytest.param("B3 0.8; C4, 60%", {(3, 2): 0.8, (4, 3): 0.6}, id="without a sign"),
        pytest.param("R3C2: 0.8; (row 4, column 3): 0.6", {(3, 2): 0.8, (4, 3): 0.6}, id="short and long words"),
        pytest.param('{"cells": [["B3", 0.8], ["C4", 0.6]]}', {(3, 2): 0.8, (4, 3): 0.6}, id="pairs"),
        pytest.param('{"cells": [{"cell": "B3", "score": "80%"}]}', {(3, 2): 0.8}, id="entries"),
        pytest.param('[{"row": 3, "col": "B", "confidence": 0.8}]', {(3, 2): 0.8}, id="row and column"),
        pytest.param('```json\n{"B3": 0.8, "c4": {"score": 0.6}}\n```', {(3, 2): 0.8, (4, 3): 0.6}, id="keys"),
        pytest.param(
            '{"cell": "B3", "score": 0.8}\n{"cell": "C4", "score": 0.6}', {(3, 2): 0.8, (4, 3): 0.6}, id="lines"
        ),
    ],
)
def test_the_ways_to_name_a_cell(text, cells):
    """A cell's name, its score and the image score are read in any of the usual forms."""
    assert read(f"image anomaly score: 0.9; {text}") == (0.9, cells, "ok", ())


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("(1, 4): 0.8; [2, 3]: 0.5", {(1, 4): 0.8, (2, 3): 0.5}),
        ("1, 4: 0.8; 2,3: 0.5", {(1, 4): 0.8, (2, 3): 0.5}),
        ('{"cells": [[1, 4, 0.8], [2, 3, 0.5]]}', {(1, 4): 0.8, (2, 3): 0.5}),
        ("(1, 4), (2, 3): 0.5", {(1, 4): 0.5, (2, 3): 0.5}),
        ("(1, 1) to (2, 2): 0.5", {(1, 1): 0.5, (1, 2): 0.5, (2, 1): 0.5, (2, 2): 0.5}),
        ('{"cells": [{"cell": [1, 4], "score": 0.8}, {"cell": "2, 3", "score": 0.5}]}', {(1, 4): 0.8, (2, 3): 0.5}),
        ('{"cells": [{"cell": "(1, 4)", "score": 0.8}]}', {(1, 4): 0.8}),
    ],
)
def test_cells_named_by_two_numbers(text, cells):
    """The row comes first, and both count from 1."""
    assert read(f"image anomaly score: 0.9; {text}", "rc") == (0.9, cells, "ok", ())


@pytest.mark.parametrize(
    ("text", "image", "cells", "status", "flags"),
    [
        ("| Cell | Score |\n|---|---|\n| B3 | 0.8 |\nimage anomaly score: 0.9", 0.9, {(3, 2): 0.8}, "ok", ()),
        ("B3; C4", 1.0, {(3, 2): 1.0, (4, 3): 1.0}, "ok", ()),
        ("- B3\n- C4", 1.0, {(3, 2): 1.0, (4, 3): 1.0}, "ok", ()),
        ("image anomaly score: 0.4; B3", 0.4, {(3, 2): 0.4}, "ok", ()),
        ("B3: 0.8; C4: 0.6", 0.8, {(3, 2): 0.8, (4, 3): 0.6}, "ok", ()),
        ("B3: 1.5", 1.0, {(3, 2): 1.0}, "partial", ("bad_score",)),
        ('{"cells": [{"cell": "B3", "score": "high"}]}', 1.0, {(3, 2): 1.0}, "partial", ("bad_score",)),
        ("Z1: 0.5; B0: 0.6; B9: 0.7; B12345678901234567890: 0.4", None, {}, "unparsable", ("outside_grid",)),
        ("H8-I9: 0.5", 0.5, {(8, 8): 0.5}, "partial", ("outside_grid",)),
        ("B3: 0.8; B3: 0.6", 0.8, {(3, 2): 0.8}, "ok", ("duplicate",)),
        ("B3: 0.8; " * 20, 0.8, {(3, 2): 0.8}, "partial", ("duplicate", "looped")),
        ("(2, 3): 0.5", None, {}, "unparsable", ("not_convention",)),
        ('{"cells": [{"cell": "upper left", "score": 0.5}]}', None, {}, "unparsable", ("bad_shape",)),
        ('{"cells": [{"cell": "B3", "score": 0.8}, {"cell": "B4", "sc', 0.8, {(3, 2): 0.8}, "partial", ("cut",)),
        ('{"cells": []}', 0.0, {}, "ok", ()),
        ('{"cells": null}', 0.0, {}, "ok", ()),
        ("There are no visible defects.", 0.0, {}, "ok", ()),
        ("There is no defect in B3.", 0.0, {}, "ok", ()),
        ("B3: normal", 0.0, {}, "partial", ("negated",)),
        ("B3: no defect; B4: 0.7", 0.7, {(4, 2): 0.7}, "partial", ("negated",)),
        ('[{"cell": "B3", "label": "no defect"}]', 0.0, {}, "partial", ("negated",)),
        ("I can't help with that, sorry.", None, {}, "refused", ()),
        ("Hard to tell.", None, {}, "unparsable", ()),
    ],
)
def test_what_is_wrong_with_an_answer_decides_its_status(text, image, cells, status, flags):
    """Scores that are missing, cells that do not exist, and denials are handled as those of boxes are."""
    assert read(text, scored=False) == (image, cells, status, flags)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("image anomaly score: 0.9; B3", ("no_score",)),
        ("B3: 0.8", ("no_image_score",)),
        ('{"image_anomaly_score": 0.9, "cells": ["B3"]}', ("no_score",)),
        ('{"cells": []}', ("no_image_score",)),
    ],
)
def test_scores_that_were_asked_for_are_missed(text, flags):
    """If the question asks for scores, an answer without them is partial."""
    assert read(text)[2:] == ("partial", flags)


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("image anomaly score: 0.3; A1: 0.3\nOn a closer look:\nimage anomaly score: 0.9; B3: 0.8", {(3, 2): 0.8}),
        ("B3: 0.8; C4: 0.7\noverall image anomaly score: 0.9", {(3, 2): 0.8, (4, 3): 0.7}),
        ('{"cells": [{"cell": "A1", "score": 0.3}]} No: {"cells": [{"cell": "B3", "score": 0.8}]}', {(3, 2): 0.8}),
        ("<think>A1: 0.3</think>B3: 0.8", {(3, 2): 0.8}),
    ],
)
def test_the_last_statement_counts(text, cells):
    """A draft and reasoning are not used."""
    assert read(text)[1] == cells


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("image anomaly score: 0.9; B3: 0.8; B4: 0.", {(3, 2): 0.8}),
        ("image anomaly score: 0.9; B3: 0.8; B1", {(3, 2): 0.8}),
        ("image anomaly score: 0.9; B3: 0.8; B4: 0.75", {(3, 2): 0.8, (4, 2): 0.75}),
        (
            '{"image_anomaly_score": 0.9, "cells": [{"cell": "B3", "score": 0.8}, {"cell": "B4", "score": 0.',
            {(3, 2): 0.8},
        ),
        ('{"image_anomaly_score": 0.9, "cells": [', {}),
    ],
)
def test_what_is_whole_in_a_truncated_answer_is_kept(text, cells):
    """Half a name and half a number are left out."""
    assert read(text, outcome="truncated") == (0.9, cells, "truncated", ())


def test_names_of_a_wide_grid_have_two_letters():
    """AA is the 27th column; where there are fewer columns, two letters are no cell."""
    assert read("AB3: 0.8", grid=(8, 30))[1] == {(3, 28): 0.8}
    assert read("IP67: 0.8", grid=(99, 26))[1] == {}


@pytest.mark.parametrize("part", ["B3, ", "B3-C4: 0.5; ", "row 2, ", "{[(1, ", '["B3", ', "B3:("])
def test_reading_takes_linear_time(part):
    """Tens of thousands of characters of any kind are read in a fraction of a second."""
    start = process_time()
    read_cells(Answer(part * (20_000 // len(part)), "truncated"), 26, 26, "chess")
    assert process_time() - start < 2
