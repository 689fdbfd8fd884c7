"""Reads runs, groups those that can be compared, ranks and writes them; needs no model, GPU or key."""

from lvlm_ad.leaderboard.board import Board, Entry, Group, make_board
from lvlm_ad.leaderboard.formats import FORMATS, HEADERS, cells, plain, read_json, usd

__all__ = ["FORMATS", "HEADERS", "Board", "Entry", "Group", "cells", "make_board", "plain", "read_json", "usd"]
