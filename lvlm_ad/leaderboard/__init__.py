"""Groups runs that can be compared, ranks them, and writes tables. To add a column, see ``columns.py``."""

from lvlm_ad.leaderboard.board import Board, Group, make_board
from lvlm_ad.leaderboard.columns import COLUMNS, NUMBERS, Column, cells, printable, usd
from lvlm_ad.leaderboard.entries import Entry, outcomes
from lvlm_ad.leaderboard.formats import FORMATS

__all__ = [
    "COLUMNS",
    "FORMATS",
    "NUMBERS",
    "Board",
    "Column",
    "Entry",
    "Group",
    "cells",
    "make_board",
    "outcomes",
    "printable",
    "usd",
]
