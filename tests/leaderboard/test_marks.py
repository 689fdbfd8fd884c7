"""Marks of rows whose scores or places mean something else than those of most rows."""

from dataclasses import replace

import pytest

from lvlm_ad.leaderboard import make_board


@pytest.mark.parametrize(
    ("found", "mark", "note"),
    [
        ({"usable": 9, "binary": 9}, " [binary]", "balanced accuracy"),
        ({"usable": 9, "binary": 8}, "", ""),
        ({"usable": 9, "binary": 2, "probability": 9}, " [P(yes)]", "probability of yes"),
        ({"usable": 9, "binary": 6, "probability": 3, "text": 6}, " [P(yes), 3 of 9]", "the other 6 answers"),
        ({"usable": 9, "binary": 9, "text": 9}, " [words]", "read from the text"),
        ({"usable": 60, "with_places": 60, "not_convention": 2}, "", ""),
        (
            {"usable": 60, "with_places": 60, "not_convention": 3},
            " [convention in doubt]",
            "3 of 60 answers with places cannot be of the convention gemini_1000",
        ),
    ],
)
def test_marks_follow_from_what_was_found(make_run, found, mark, note):
    """The mark stands behind the name, its meaning among the notes; 5 % of the answers put a convention in doubt."""
    run = make_run("a", method={"name": "boxes", "convention": {"name": "gemini_1000"}})
    (entry,) = make_board([replace(run, metrics={**run.metrics, "findings": found})]).groups[0].entries
    assert entry.name == f"a (boxes){mark}"
    assert note in "; ".join(entry.notes)
