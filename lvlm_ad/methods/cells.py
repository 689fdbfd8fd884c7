"""Cells: the model names cells of a grid by row and column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from string import Template, ascii_uppercase
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from lvlm_ad.methods.contract import MethodOptions, Places
from lvlm_ad.methods.one_question import OneQuestion
from lvlm_ad.methods.wording import hash_of
from lvlm_ad.prompts import MarkStyle, draw_grid
from lvlm_ad.prompts.drawing import DRAWING_VERSION, Drawing
from lvlm_ad.regions.shapes import Cell
from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.places import read_cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer, Picture
    from lvlm_ad.methods.contract import View
    from lvlm_ad.prompts.drawing import Images

__all__ = ["Cells", "CellsOptions"]

_GRIDS = {
    True: (
        "White lines divide the picture into $rows rows and $columns columns of equal cells, and each cell bears its "
        "name. Lines and names were drawn on the picture afterwards and are no defects."
    ),
    False: "Think of the picture as divided into $rows rows and $columns columns of equal cells.",
}
_NAMES = {
    "chess": (
        "A cell's name is the letter of its column, from A at the left to $last at the right, and the number of its "
        "row, from 1 at the top to $rows at the bottom."
    ),
    "rc": (
        "A cell's name is (row, column): its row, from 1 at the top to $rows at the bottom, and its column, from 1 at "
        "the left to $columns at the right."
    ),
}


class CellsOptions(MethodOptions):
    """Options of ``Cells``."""

    cell_rows: Annotated[int, Field(ge=2, le=26)] = 8
    """Rows of the grid."""
    cell_columns: Annotated[int, Field(ge=2, le=26)] = 8
    """Columns of the grid."""
    cell_names: Literal["chess", "rc"] = "chess"
    """chess: letter of the column, number of the row from the top (B3); rc: row and column from 1, (3, 2)."""
    marks: bool = False
    """Draw the grid and the names on the picture."""


class Cells(OneQuestion):
    """Asks for an image score and for the scores of the cells of a grid that look anomalous.

    The cells are those of the division ``grid`` with as many rows and columns.
    """

    Options: ClassVar[type[MethodOptions]] = CellsOptions
    prompt: ClassVar[str] = "cells"
    placeholders: ClassVar[tuple[str, ...]] = ("grid", "names", "example")
    places: ClassVar[Places] = "cells"

    def identity(self) -> dict[str, Any]:
        """Return the options, and the hash of the sentences that this method adds to the prompt."""
        return {**super().identity(), "sentences": hash_of([_GRIDS, _NAMES])}

    def picture(self, view: View) -> Picture:
        """Return the picture, with grid and names if they are to be drawn."""
        if not self.options.marks:
            return view.picture()
        rows, columns = self._grid
        # In the picture, (3, 2) needs no brackets.
        names = [self._name(row + 1, column + 1).strip("()") for row, column in np.ndindex(rows, columns)]
        return view.picture(Grid(rows, columns, tuple(names), MarkStyle.of(view.protocol)))

    def text(self, view: View) -> str:
        """Return the question."""
        rows, columns = self._grid
        values = {"rows": str(rows), "columns": str(columns), "last": _letter(columns)}
        return view.text(
            grid=Template(_GRIDS[self.options.marks]).substitute(values),
            names=Template(_NAMES[self.options.cell_names]).substitute(values),
            example=f"{self._name(2, 1)}: 0.9; {self._name(2, 2)}: 0.7",
        )

    def read(self, answer: Answer, view: View) -> Finding:  # noqa: ARG002
        """Return the cells."""
        return read_cells(answer, *self._grid, self.options.cell_names, scored=True)

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:  # noqa: ARG002
        """Return each cell with a defective pixel, scored by the fraction of its pixels that are defective."""
        rows, columns = self._grid
        cells = [Cell(row + 1, column + 1, rows, columns, 1.0) for row, column in np.ndindex(rows, columns)]
        scores = [float(mask[cell.mask(*mask.shape)].mean()) for cell in cells]
        found = tuple(replace(cell, score=score) for cell, score in zip(cells, scores, strict=True) if score > 0)
        return Finding(float(bool(found)), found)

    @property
    def _grid(self) -> tuple[int, int]:
        return self.options.cell_rows, self.options.cell_columns

    def _name(self, row: int, column: int) -> str:
        return f"{_letter(column)}{row}" if self.options.cell_names == "chess" else f"({row}, {column})"


@dataclass(frozen=True, eq=False)
class Grid(Drawing):
    """The image with a grid whose cells bear names.

    Attributes:
        rows: rows of the grid.
        columns: its columns.
        names: the name of each cell, row by row.
        style: how borders and names look.
    """

    rows: int
    columns: int
    names: tuple[str, ...]
    style: MarkStyle
    version: ClassVar[int | None] = DRAWING_VERSION

    def draw(self, images: Images) -> NDArray[np.uint8]:
        """Return the image with its grid."""

        def name(row: int, column: int) -> str:
            return self.names[(row - 1) * self.columns + column - 1]

        return draw_grid(images.image, self.rows, self.columns, self.style, name)


def _letter(column: int) -> str:
    return ascii_uppercase[column - 1]
