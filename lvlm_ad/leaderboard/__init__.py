"""Groups runs that can be compared, ranks them, and writes tables. To add a column, see ``columns.py``."""

from lvlm_ad.leaderboard.board import Board, Entry, Group, make_board, outcomes, undefined_notes
from lvlm_ad.leaderboard.columns import COLUMNS, NUMBERS, Column, cells, percent, signed, usd
from lvlm_ad.leaderboard.decision_columns import chosen_columns
from lvlm_ad.leaderboard.formats import FORMATS, writable

__all__ = [
    "COLUMNS",
    "FORMATS",
    "NUMBERS",
    "Board",
    "Column",
    "Entry",
    "Group",
    "cells",
    "chosen_columns",
    "make_board",
    "outcomes",
    "percent",
    "signed",
    "undefined_notes",
    "usd",
    "writable",
]
