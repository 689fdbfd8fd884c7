"""What a label in a list of images means: normal, anomalous, or the kind of defect."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import cache
from typing import NamedTuple

_GOOD = frozenset(
    (
        *("good", "normal", "ok", "okay", "pass", "passed", "accept", "accepted", "negative", "neg", "nominal"),
        *("healthy", "intact", "flawless", "conforming", "compliant", "io", "i.o", "in order", "gut"),
        *("0", "0.0", "false", "no", "n", "nondefective", "undamaged"),
    )
)
_BAD = frozenset({"1", "1.0", "abnormal", "anomalous", "anomaly", "bad", "defect", "defective", "true"})
"""Words for anomalous that name no kind: the kind is "bad"."""
_ALSO_BAD = frozenset(
    (
        *("anormal", "anomalies", "damaged", "defects", "fail", "failed", "fault", "faults", "faulty", "flawed", "ko"),
        *("n.i.o", "ng", "nio", "nok", "noncompliant", "nonconforming", "out of order", "outlier", "pos", "positive"),
        *("reject", "rejected", "y", "yes"),
    )
)
"""Other words for anomalous: each is its own kind."""
_NOT = frozenset({"no", "not", "non", "without", "un", "n"})
_SPLITS = frozenset({"test", "testing", "train", "training", "val", "valid", "validation"})
"""Words that name a part of the data set beside the label, as in "normal_test"."""
_NO_LABEL = frozenset({"", "none", "null", "nan", "na", "n/a", "unknown", "unlabeled", "unlabelled", "?", "tbd"})
_NORMAL = frozenset({"good", "normal", "ok", "okay"})
_NUMBER = re.compile(r"[+-]?\d*\.?\d+(e[+-]?\d+)?")
_ALIKE = 0.8
"""Similarity, from 0 to 1, at which one word may be a mistyped form of the other."""


class Label(NamedTuple):
    """The meaning of a label."""

    kind: str  # "good", "bad" or the kind of defect; "" if it is unclear
    is_known: bool  # whether it is one of the words for normal and anomalous


@cache
def read_label(word: str) -> Label:
    """Return what a label means. Any word may name a kind of defect, unless it looks like one that means "normal".

    Example:
        >>> [read_label(word).kind for word in ("OK", "normal_test", "defect-free", "1", "not good", "deep scratch")]
        ['good', 'good', 'good', 'bad', 'not good', 'deep scratch']
        >>> [read_label(word).kind for word in ("nomal", "good?", "-1", "0.5", "unknown")]
        ['', '', '', '', '']
    """
    lower = word.strip().casefold().rstrip(".")
    plain = " ".join(re.split(r"[\s_-]+", lower)).strip()
    # In "normal_test", the word beside the part of the data set is the label.
    bare = " ".join(part for part in plain.split() if part not in _SPLITS)
    first, _, rest = bare.partition(" ")
    if _NUMBER.fullmatch(lower) and lower not in _GOOD | _BAD:
        return Label(word if lower.isdigit() else "", is_known=False)
    is_free = bare.endswith("free") and bare.removesuffix("free").strip() in _BAD | _ALSO_BAD
    if bare in _GOOD or is_free or (first in _NOT and rest in _BAD | _ALSO_BAD):
        return Label("good", is_known=True)
    if bare in _BAD:
        return Label("bad", is_known=True)
    if bare in _ALSO_BAD or (first in _NOT and rest in _GOOD):
        return Label(word, is_known=True)
    return Label("" if _is_unclear(bare) else word, is_known=False)


def names_normal(folder: str) -> bool:
    """Return whether a folder's name says that it holds normal images; a number may be that of a kind of defect.

    Example:
        >>> [names_normal(name) for name in ("OK", "defect-free", "test_normal", "0", "bent")]
        [True, True, True, False, False]
    """
    return read_label(folder).kind == "good" and not _NUMBER.fullmatch(folder)


def _is_unclear(plain: str) -> bool:
    """Return whether a word says nothing, or resembles a word for normal."""
    alike = any(SequenceMatcher(None, plain, one).ratio() >= _ALIKE for one in ("good", "normal"))
    return alike or plain in _NO_LABEL or not _NORMAL.isdisjoint(re.findall(r"\w+", plain))
