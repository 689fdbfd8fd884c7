"""Columns of the accuracies of multiple-choice questions; they lead the tables that have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvlm_ad.leaderboard.choice_values import ACCURACY, SUBTASKS
from lvlm_ad.leaderboard.columns import percent
from lvlm_ad.leaderboard.metric_columns import MetricColumn
from lvlm_ad.metrics.choices import DETECTION

__all__ = ["CHOICES"]

_HEADS: Mapping[str, tuple[str, str]] = {
    "choice_detection": ("Detection", "detec-\ntion"),
    "choice_defect_class": ("Defect class", "defect\nclass"),
    "choice_localization": ("Localization", "local-\nization"),
    "choice_description": ("Description", "descr-\niption"),
    "choice_analysis": ("Analysis", "analy-\nsis"),
    "choice_object_class": ("Object class", "object\nclass"),
    "choice_object_analysis": ("Object analysis", "object\nanaly."),
}
"""Column of a subtask -> its heading, and that in the terminal."""


def _column(name: str, head: str, terminal_head: str, about: str, **fields: Any) -> MetricColumn:
    return MetricColumn(name, head, terminal_head, percent, about=about, **fields)


CHOICES: Mapping[str, MetricColumn] = {
    ACCURACY: _column(
        ACCURACY,
        "Accuracy",
        "accu-\nracy",
        "right answers, an answer without a choice being wrong; mean over sources of the mean over their subtasks",
        bracketed=True,
    ),
    "choice_left_out": _column(
        "choice_left_out", "Left out", "left\nout", "the same, but answers without a choice are left out", drop=18
    ),
    "choice_published": _column(
        "choice_published",
        "As published",
        "as\npubl.",
        "the same by the script of the data set's authors, which also loses the record after such an answer",
        drop=17,
    ),
    "choice_unread": _column(
        "choice_unread",
        "No choice",
        "no\nchoice",
        "share of answers that choose no option: unclear, refused or cut off",
        drop=16,
    ),
    **{
        name: _column(
            name,
            head,
            short,
            "mean of the accuracies on normal and on anomalous images; other subtasks: accuracy"
            if SUBTASKS[name] == DETECTION
            else "",
            drop=10,
        )
        for name, (head, short) in _HEADS.items()
    },
}
"""Columns of multiple-choice questions by name."""
