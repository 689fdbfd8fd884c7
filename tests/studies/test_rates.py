"""Figures of study.json that were edited are refused when they are read."""

from pathlib import Path

import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.studies import Study, figures_of

FROZEN = Path(__file__).parents[1] / "data" / "studies"


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        ("grounding", ("methods", 0, "auroc", "value"), 1.7, r"figures.methods.0.auroc .*fraction in 0..1"),
        ("grounding", ("losses", 0, "steps", 0, "lost", "value"), 1.2, r"figures.losses.0.steps.0.lost .*in -1..1"),
        ("grounding", ("methods", 0, "false_share"), -0.5, r"figures.methods.0.false_share "),
        ("stability", ("repeats", "all", "flip_rate", "value"), 1.5, r"figures.repeats.all.flip_rate .*in 0..1"),
        ("stability", ("auroc", "asking"), -0.1, r"figures.auroc.asking "),
        ("stability", ("metrics", "image_auroc", "each"), [0.5, 7.0], r"figures.metrics.image_auroc.each.1 "),
        ("stability", ("factors", 0, "levels", 0, "shift", "value"), -3, r"factors.0.levels.0.shift .*in -1..1"),
        ("stability", ("factors", 0, "excess", "interval"), [0.2, 0.1], r"excess.interval .*lower end comes first"),
        ("stability", ("positions", "numbers"), [1], r"figures.positions .*must be equally long"),
        ("efficiency", ("rows", 0, "image_auroc", "value"), -0.2, r"figures.rows.0.image_auroc .*fraction in 0..1"),
        ("efficiency", ("rows", 0, "image_auroc", "interval"), [0.9, 0.1], r"the lower end comes first"),
    ],
)
def test_edited_figures_are_refused(kind, path, value, message):
    """A number out of its range or an interval that is turned around is one line that names the place."""
    study = Study.read(FROZEN / kind)
    place = study.figures
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(RunError, match=message):
        figures_of(study)
