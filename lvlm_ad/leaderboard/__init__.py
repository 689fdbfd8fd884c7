"""Groups runs that can be compared, ranks them, and writes tables. To add a column, see ``columns.py``."""

from lvlm_ad.leaderboard.board import Board, Group, make_board
from lvlm_ad.leaderboard.by_model import MethodRow, ModelTable, metrics_by_model, model_tables, model_title
from lvlm_ad.leaderboard.by_model_formats import MODEL_FORMATS
from lvlm_ad.leaderboard.category_formats import CATEGORY_FORMATS
from lvlm_ad.leaderboard.category_table import CategoryTable, category_table, metrics_by_category
from lvlm_ad.leaderboard.columns import COLUMNS, NUMBERS, Column, cells, percent, signed, usd
from lvlm_ad.leaderboard.comparison_table import COMPARISON_FORMATS, compared_metrics, missing_metrics
from lvlm_ad.leaderboard.decision_columns import chosen_columns
from lvlm_ad.leaderboard.entries import Entry, outcomes, undefined_notes
from lvlm_ad.leaderboard.formats import FORMATS, writable
from lvlm_ad.leaderboard.group_table import GROUP_FORMATS, GroupTable, group_tables, metrics_by_group
from lvlm_ad.leaderboard.published_board import published_board
from lvlm_ad.leaderboard.published_columns import chosen_published
from lvlm_ad.leaderboard.published_rows import Filters

__all__ = [
    "CATEGORY_FORMATS",
    "COLUMNS",
    "COMPARISON_FORMATS",
    "FORMATS",
    "GROUP_FORMATS",
    "MODEL_FORMATS",
    "NUMBERS",
    "Board",
    "CategoryTable",
    "Column",
    "Entry",
    "Filters",
    "Group",
    "GroupTable",
    "MethodRow",
    "ModelTable",
    "category_table",
    "cells",
    "chosen_columns",
    "chosen_published",
    "compared_metrics",
    "group_tables",
    "make_board",
    "metrics_by_category",
    "metrics_by_group",
    "metrics_by_model",
    "missing_metrics",
    "model_tables",
    "model_title",
    "outcomes",
    "percent",
    "published_board",
    "signed",
    "undefined_notes",
    "usd",
    "writable",
]
