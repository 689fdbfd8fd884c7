"""Reads runs, groups those that can be compared, ranks and writes them; needs no model, GPU or key."""

from lvlm_ad.leaderboard.board import Board, Entry, Group, make_board
from lvlm_ad.leaderboard.cells import HEADERS, NO_INTERVAL, cells, plain, usd
from lvlm_ad.leaderboard.formats import FORMATS, read_json
from lvlm_ad.leaderboard.outcomes import outcomes
from lvlm_ad.leaderboard.sections import Section, lacks_intervals, sections

__all__ = [
    "FORMATS",
    "HEADERS",
    "NO_INTERVAL",
    "Board",
    "Entry",
    "Group",
    "Section",
    "cells",
    "lacks_intervals",
    "make_board",
    "outcomes",
    "plain",
    "read_json",
    "sections",
    "usd",
]
