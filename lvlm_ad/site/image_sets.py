"""Sets of images: a data set is one, and of data sets of users' own each set of categories is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.readers import READERS
from lvlm_ad.leaderboard.conditions import longer

if TYPE_CHECKING:
    from lvlm_ad.leaderboard import Group

__all__ = ["dataset_title", "image_sets"]

_TITLES = {"demo": "Demo", "folder": "Images of a folder", "meta-json": "Images listed in meta.json"}
"""Data sets that are not published, by their names."""

_OWN_LAYOUTS = ("folder", "meta-json")
"""Layouts of users' own images: the name says nothing about what they show."""

_MOST_NAMES = 3
"""Categories that a title names; more are counted."""


def image_sets(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """Return for each table the key of its set of images and the set's title.

    The key of a data set is its name. Users' own images with other categories are another set, and so are those with
    the same categories if the whole of them was measured and differs.

    Example:
        >>> from lvlm_ad.leaderboard import Group
        >>> both = {"dataset": "folder", "dataset_fingerprint": "0", "whole_test_split": True}
        >>> image_sets([Group("", {**both, "categories": [one]}, ()) for one in ("bolt", "nut")])
        [('folder bolt', 'Images of bolt'), ('folder nut', 'Images of nut')]
    """
    keys = [_key(group.conditions) for group in groups]
    whole_splits: dict[str, set[str]] = {}
    for key, group in zip(keys, groups, strict=True):
        if group.conditions["whole_test_split"]:
            whole_splits.setdefault(key, set()).add(group.conditions["dataset_fingerprint"])
    titles: dict[str, tuple[str, str]] = {}
    for at, group in enumerate(groups):
        title, images = _title(group.conditions), group.conditions["dataset_fingerprint"][:8]
        if group.conditions["dataset"] in _OWN_LAYOUTS and len(whole_splits.get(keys[at], ())) > 1:
            keys[at] += f" {images}"
        titles.setdefault(keys[at], (title, f"{title}, images {images}"))
    short, long = zip(*titles.values(), strict=True) if titles else ((), ())
    distinct = dict(zip(titles, longer(short, long), strict=True))
    return [(key, distinct[key]) for key in keys]


def _key(conditions: Mapping[str, Any]) -> str:
    name: str = conditions["dataset"]
    return f"{name} {', '.join(sorted(conditions['categories']))}" if name in _OWN_LAYOUTS else name


def _title(conditions: Mapping[str, Any]) -> str:
    if conditions["dataset"] not in _OWN_LAYOUTS:
        return dataset_title(conditions["dataset"])
    names = sorted(conditions["categories"])
    more = len(names) - _MOST_NAMES
    return f"Images of {', '.join(names[:_MOST_NAMES])}{f' and {more} more' if more > 0 else ''}"


def dataset_title(name: str) -> str:
    """Return what sentences call a data set.

    Example:
        >>> dataset_title("mvtec"), dataset_title("demo"), dataset_title("ours")
        ('MVTec AD', 'Demo', 'ours')
    """
    if name in _TITLES:
        return _TITLES[name]
    return READERS[name].title if name in READERS else name
