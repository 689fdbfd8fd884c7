"""CSV, LaTeX, page and terminal show the numbers of study.json, and no other."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.report.study_page import study_page, write_study
from lvlm_ad.studies import STUDY_FORMATS, Study, figures_of, study_values, tables_of
from lvlm_ad.studies.values import KINDS

FROZEN = Path(__file__).parents[1] / "data" / "studies"
IN_NAMES = {"k", "level", "condition", "kind"}
"""Fields whose value names a part and is no figure."""

pytestmark = pytest.mark.parametrize("kind", sorted(KINDS))


def numbers(value, field=""):
    """Every number in the figures of a study.json, as often as it occurs; fields that only name a part left out."""
    if isinstance(value, dict):
        return [one for name, inner in value.items() for one in numbers(inner, name)]
    if isinstance(value, list):
        return [one for inner in value for one in numbers(inner, field)]
    return [float(value)] if isinstance(value, int | float) and field not in IN_NAMES else []


def test_the_csv_has_every_number_once(kind):
    """Values and ends of intervals are those of study.json, with all digits; each line has a name of its own."""
    raw = json.loads((FROZEN / kind / "study.json").read_text())
    # The numbers of the regions are names, too.
    raw["figures"].get("positions", {}).pop("numbers", None)
    rows = list(csv.DictReader(io.StringIO(STUDY_FORMATS["csv"](Study.read(FROZEN / kind)))))
    rows = [row for row in rows if row["figure"] != "positions.numbers"]
    found = [float(row[name]) for row in rows for name in ("value", "low", "high") if row[name]]
    assert sorted(found) == sorted(numbers(raw["figures"]))
    assert len({(row["figure"], row["part"]) for row in rows}) == len(rows)
    assert all(row["n"].isdecimal() for row in rows)


def test_the_tables_show_numbers_of_the_csv(kind):
    """Each cell of a table is a number of study.json; page and LaTeX show its text."""
    study = Study.read(FROZEN / kind)
    known = {one.value for one in study_values(study)}
    page, latex = study_page(study), STUDY_FORMATS["tex"](study)
    tables = tables_of(study)
    assert len(tables) > 2
    for table in tables:
        assert all(len(cells) + 1 == len(table.heads) for _, cells in table.rows)
        for _, cells in table.rows:
            for cell in cells:
                assert cell.value is None or cell.value in known, (table.title, cell)
                assert f'<span class="value">{cell.text}</span>' in page
                assert cell.value is None or cell.text.replace("-", "$-$") in latex
                assert not cell.ends or f'<span class="ends">{cell.ends}</span>' in page
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == len(tables)


def test_damaged_figures_are_one_clear_line(kind):
    """Figures that a study's kind does not have, and kinds of later versions, are refused."""
    study = Study.read(FROZEN / kind)
    with pytest.raises(RunError, match=r"is a study of 'mood'; this version knows .*stability.* Upgrade to read it\."):
        figures_of(study.model_copy(update={"kind": "mood"}))
    with pytest.raises(RunError, match=r"is damaged: study.json: figures\.\w+ "):
        figures_of(study.model_copy(update={"figures": {}}))


def test_a_page_is_written_beside_the_study(kind, tmp_path):
    """The three files replace those of before, even where one was a link to somewhere else."""
    folder = Path(shutil.copytree(FROZEN / kind, tmp_path / "study"))
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (folder / "index.html").symlink_to(outside)
    page = write_study(Study.read(folder), folder)
    assert page.read_text().startswith("<!doctype html>")
    assert outside.read_text() == "mine"
    assert {one.name for one in folder.iterdir()} == {"index.html", "study.csv", "study.json", "study.tex"}
    with pytest.raises(RunError, match="cannot be written"):
        write_study(Study.read(folder), tmp_path / "nowhere")
