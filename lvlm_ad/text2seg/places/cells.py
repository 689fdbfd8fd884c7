"""Read the cells of a grid in an answer: ``B3: 0.8; B4-C5: 0.6``, ``(2, 3): 0.5``, ``row 2, column 3``, JSON."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from lvlm_ad.regions.shapes import Cell
from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.json_values import Scalar
from lvlm_ad.text2seg.lexer import Text
from lvlm_ad.text2seg.places.cell_names import CellNames, Naming, Span
from lvlm_ad.text2seg.places.cells_json import CellStatement, cells_in_json
from lvlm_ad.text2seg.places.conclude import Statement, conclude, relevant_text
from lvlm_ad.text2seg.places.nothing import is_negated
from lvlm_ad.text2seg.read import without_text

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer

__all__ = ["Naming", "read_cells"]

_MOST_COPIES = 10
_SCORE = re.compile(
    r"""
    [\s*"'`_)\]]{0,4}
    (?: (?: [:=(|-] | is\b | has\b | with\b | at\b )
        [\s*"'`_:=(|]{0,5} (?: (?!image|overall|row|col) [a-z][a-z\ _-]{0,40} [\s*"'`_:=(,|]{1,5} )?
      | ,?\s (?= [01]?\.[0-9] | [0-9]{1,3}\s?% )
    )
    (?P<score>
        [-+]? (?: (?<![(\[])[01],[0-9]++(?!\s?[:=]) | (?:[0-9]++(?:\.[0-9]++)?+|\.[0-9]++)(?:e-?[0-9]{1,4})?+ ) \s?%?
    )
    (?!\w|,\s?[0-9]) [)\]]{0,2}
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""The score after the name of a cell, perhaps with a word for the defect before it."""
_JOINED = re.compile(r"[\s*\"'`_]{0,4}(?:,|and\b|&|/)[\s*\"'`_]{0,4}(?:and\s)?", re.IGNORECASE)
"""Between two cells that share a score."""
_IMAGE_SCORE = re.compile(r"\b(?:image|overall|picture)\b[\s\w]{0,20}?score", re.IGNORECASE)
_LABEL = re.compile(r"[\s*:=(-]{1,5}([^;,.\n()0-9]{1,60})")
_NEGATION = re.compile(r"\b(?:no|not|none|without|normal|never)\b|n't\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[.;\n]")
_DECIMAL_AT_END = re.compile(r"\.[0-9]+\s?%?\Z")


def read_cells(answer: Answer, rows: int, columns: int, naming: Naming, *, scored: bool = False) -> Finding:
    """Read the cells that an answer names.

    Args:
        answer: what the model answered.
        rows: rows of the grid.
        columns: columns of the grid.
        naming: how cells are named. ``row 2, column 3`` is read either way.
        scored: whether the question asked for an image score and for a score of each cell.

    Returns:
        A finding with cells in the order of the answer, each once, with its highest score. A cell that the grid does
        not have is left out (``outside_grid``). A cell without a score has the image score, 1 if there is none. The
        image score is the one stated, else the highest of a cell, else 0 if the answer says that there is nothing.

    Example:
        >>> from lvlm_ad.backend import Answer
        >>> found = read_cells(Answer("image anomaly score: 0.9; B3: 0.8"), 8, 8, "chess", scored=True)
        >>> found.image, found.shapes
        (0.9, (Cell(row=3, column=2, rows=8, columns=8, score=0.8),))
    """
    if (without := without_text(answer)) is not None:
        return Finding.of(without)
    text = relevant_text(answer)
    names = CellNames(naming, columns)
    truncated = answer.outcome == "truncated"
    found, around = cells_in_json(text, names, truncated=truncated)
    if not found.says_anything:
        found, around = _in_prose(text.text, names, truncated=truncated)
    others = CellNames("rc" if naming == "chess" else "chess", columns)
    if not found.says_anything and _in_prose(text.text, others, truncated=truncated)[0].cells:
        found.flags.add("not_convention")
    cells = _cells_of(found, rows, columns)
    stated = Statement([*cells], found.image, found.empty and not cells, found.flags, around)
    return conclude(answer, stated, scored=scored)


def _cells_of(found: CellStatement, rows: int, columns: int) -> list[tuple[Cell, float | None]]:
    """Return the cells of the grid, each once; flags what is outside or is repeated."""
    spans: dict[Span, float | None] = {}
    copies = 0
    for span, score in found.cells:
        copies += span in spans and span.within(rows, columns) == span
        spans[span] = _higher(spans.get(span), score)
    cells: dict[tuple[int, int], float | None] = {}
    for span, score in spans.items():
        inside = span.within(rows, columns)
        found.flags |= {"outside_grid"} if inside != span else set()
        new = [cell for cell in inside.cells() if cell not in cells]
        copies += inside == span and not new
        for cell in inside.cells():
            cells[cell] = _higher(cells.get(cell), score)
    found.flags |= {"duplicate"} if copies else set()
    found.flags |= {"looped"} if copies > _MOST_COPIES else set()
    return [(Cell(row, column, rows, columns, 0.0), score) for (row, column), score in cells.items()]


def _higher(first: float | None, second: float | None) -> float | None:
    return max((score for score in (first, second) if score is not None), default=None)


def _in_prose(text: str, names: CellNames, *, truncated: bool) -> tuple[CellStatement, str]:
    """Read the cells of the last verdict in a text; an image score opens a verdict.

    Returns:
        What it says, and the text without it.
    """
    openings = [match.start() for match in _IMAGE_SCORE.finditer(text)]
    verdicts: dict[int, CellStatement] = {}
    around: list[str] = []
    group: list[Span] = []
    negated, read_to, stop = False, 0, len(text.rstrip(" .\n"))
    for start, name_end, span in names.found(text):
        score = _SCORE.match(text, name_end)
        end = score.end() if score else name_end
        group.append(span)
        around.append(text[read_to : max(start, read_to)])
        read_to = end
        joined = _JOINED.match(text, end)
        if score is None and joined is not None and names.begins(text, joined.end()):
            continue
        label = None if score else _LABEL.match(text, name_end)
        if label and is_negated(label[1]):
            negated = True
            group = []
            continue
        # "B1" at the end of a text that was cut off may be the beginning of "B12: 0.8".
        half = truncated and end >= stop and not (score and _DECIMAL_AT_END.search(score["score"]))
        if not half and (score is not None or not _is_denied(text, start)):
            verdict = verdicts.setdefault(bisect_right(openings, start), CellStatement())
            verdict.add(group, None if score is None else Scalar(Text.of(score["score"])))
        group = []
    around.append(text[read_to:])
    found = verdicts[max(verdicts)] if verdicts else CellStatement()
    found.flags |= {"negated"} if negated else set()
    found.empty = negated
    return found, " ".join(around)


def _is_denied(text: str, at: int) -> bool:
    """Return whether the clause before a cell without a score takes it back: "no defect in B3"."""
    return _NEGATION.search(_CLAUSE.split(text[max(at - 80, 0) : at])[-1]) is not None
