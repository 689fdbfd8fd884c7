"""The same rows in every format: terminal, Markdown, CSV, JSON, LaTeX and HTML."""

import csv
import html
import io
import json
import re
import shutil
import subprocess
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from lvlm_ad.cli.terminal import print_board
from lvlm_ad.leaderboard import COLUMNS, FORMATS, NUMBERS, cells, chosen_columns, make_board, usd
from lvlm_ad.leaderboard.columns import INTERVALS, MARKS, OWN_MAPS, RANKS, REFERENCE_ROWS
from lvlm_ad.report.board_page import board_page
from lvlm_ad.runs import METRIC_NAMES


def terminal(board, width=140):
    """The leaderboard as a terminal of this width shows it."""
    out = io.StringIO()
    print_board(board, Console(file=out, width=width))
    return out.getvalue()


def test_every_column_is_in_every_format(make_run):
    """A column of the list needs no second place."""
    board = make_board([make_run("a"), make_run("b")])
    markdown, latex, shown = FORMATS["md"](board), FORMATS["tex"](board), terminal(board)
    page = re.sub(r"</?span[^>]*>", "", board_page(board))
    for column in COLUMNS:
        assert f"| {column.head} |" in markdown
        head = re.escape(column.head.replace("#", r"\#"))
        assert re.search(rf" {head} (&|\\\\)", latex), column.head
        assert f">{column.head}</th>" in page
        assert all(line in shown for line in column.terminal_head.split("\n"))


def test_every_format_has_every_row(make_run, make_reference_row):
    """Reference and published rows included, in the same order; the headings of sections stand before their rows."""
    board = make_board([make_run("alpha", 0.7, dataset="visa"), make_reference_row("oracle", 1.0, dataset="visa")])
    for text in (*(FORMATS[form](board) for form in FORMATS), terminal(board)):
        places = [re.search(rf"\b{name}\b", text).start() for name in ("alpha", "oracle", "GPT-4V-AD", "WinCLIP")]
        assert places == sorted(places)
    for text in (FORMATS["md"](board), FORMATS["tex"](board), terminal(board)):
        assert text.index("alpha") < text.index("reference rows") < text.index("oracle") < text.index("published")
        assert "70.0" in text


def test_csv_and_json_have_the_same_numbers(make_run):
    """Fractions with their intervals; empty or null where undefined."""
    mean = {"pixel_ap": None, "interval": {"image_auroc": [0.6, 0.8]}}
    runs = [make_run("a", 0.35, mean=mean), make_run("c", 0.3), make_run("b", 0.9, dataset="mvtec")]
    board = make_board(runs)
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](board))))
    groups = json.loads(FORMATS["json"](board))["groups"]
    entries = [(group, entry) for group in groups for entry in group["entries"]]
    for row, (group, entry) in zip(rows, entries, strict=True):
        texts = {"group": group["title"], "model": entry["name"], "kind": entry["kind"], "run": entry["run"]}
        low, high = entry["rank"] or (None, None)
        texts["rank"] = "" if low is None else str(low) if low == high else f"{low}-{high}"
        numbers = {"rank_low": low, "rank_high": high, "coverage": entry["coverage"], **entry["metrics"]}
        numbers["difference"] = entry["difference"]
        numbers["difference_low"], numbers["difference_high"] = entry["difference_interval"] or (None, None)
        numbers |= {name: entry[name] for name in ("cost_usd", "usd_per_image", "usd_per_point")}
        for name in METRIC_NAMES:
            numbers[f"{name}_low"], numbers[f"{name}_high"] = entry["intervals"].get(name, (None, None))
        assert {name: float(row[name]) if row[name] else None for name in numbers} == numbers
        assert row == {**row, **texts, "notes": "; ".join(entry["notes"])}
        assert row.keys() == {*texts, *numbers, "notes"}
    assert (rows[0]["image_auroc"], rows[0]["pixel_ap"], rows[0]["rank"]) == ("0.35", "", "1-2")


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140])
def test_a_narrow_terminal_keeps_names_and_the_metric_that_ranks(make_run, width):
    """Other columns are left out and named; no line is longer than the terminal."""
    board = make_board([make_run("gpt-4o-2024-08-06", 0.5), make_run("a local model", 0.25)], "pixel_aupro")
    lines = terminal(board, width).splitlines()
    assert max(map(len, lines)) <= width
    for name, value in (("gpt-4o-2024-08-06", "50.0"), ("a local model", "25.0")):
        assert sum(name in line and value in line for line in lines) == 1
    heads = next(line for line in lines if "Model" in line)
    left_out = re.search(r"No room here for: (.*?);", " ".join(lines))
    assert "PRO" in heads
    assert heads.split()[-2:] == ["image", "point"] if left_out is None else "USD/point" in left_out[1]
    assert left_out is None or "PRO" not in left_out[1]


def test_intervals_are_shown_by_their_ends(make_run):
    """In whole percent, but "100" means exactly 100: a shown end never hides a difference in rank."""
    top = make_run("top", 1.0, mean={"interval": {"image_auroc": [1.0, 1.0]}})
    second = make_run("second", 0.95, mean={"interval": {"image_auroc": [0.846, 0.9996]}})
    board = make_board([top, second])
    shown = [cells(entry, "image_auroc")[2] for entry in board.groups[0].entries]
    assert shown == ["100.0 (100\u2013100)", "95.0 (85\u201399.9)"]
    assert r"95.0} {\scriptsize 85--99.9}" in FORMATS["tex"](board)


def test_a_narrow_interval_is_seen_to_have_a_width(make_run):
    """A decimal shows what whole percent would hide."""
    run = make_run("a", 0.149, mean={"interval": {"image_auroc": [0.1463, 0.1519]}})
    (entry,) = make_board([run]).groups[0].entries
    assert cells(entry, "image_auroc")[2] == "14.9 (14.6\N{EN DASH}15.2)"


def test_ranges_of_ranks_are_written_with_a_dash(make_run):
    """In every format that is read, with the number of rows that are compared and what a range means."""
    board = make_board([make_run("a", 0.9), make_run("b", 0.9), make_run("c", 0.5)])
    texts = [terminal(board, 400), FORMATS["md"](board), html.unescape(board_page(board)), FORMATS["tex"](board)]
    for text in texts:
        assert len(re.findall("1(?:\N{EN DASH}|--)2(?: |<)", text)) == 2
        assert "3 rows are ranked together" in text
        assert "the row is second, third or fourth best" in " ".join(text.split())


def test_differences_to_the_best_row_are_shown(make_run):
    """With signs and an interval in whole percentage points; a row alone needs no such column in a terminal."""
    board = make_board([make_run("a", 0.9), make_run("b", 0.5)])
    shown = re.search(r"-40\.0 \(-\d+ to -\d+\)", terminal(board, 400))[0]
    assert shown in FORMATS["md"](board)
    assert shown.split(" ", 1)[1].strip("()") in board_page(board)
    assert "best" not in terminal(make_board([make_run("a")])).split("rows")[0]


def test_what_is_in_a_table_is_explained(make_run, make_reference_row, make_own_map):
    """Intervals, ranks, reference rows and own maps; each only where the table has them."""
    without = make_board([make_run("a", mean={"interval": {}})])
    assert not any(text in FORMATS["md"](without) for text in (INTERVALS, RANKS, REFERENCE_ROWS, OWN_MAPS))
    every = make_board([make_run("a"), make_run("c"), make_own_map("b"), make_reference_row("oracle")])
    for text in (INTERVALS, RANKS, REFERENCE_ROWS, OWN_MAPS):
        assert text in FORMATS["md"](every)
        assert text in html.unescape(board_page(every))
    assert "95 % interval" in terminal(every)


def test_best_and_second_are_marked(make_run, make_reference_row):
    """Among ranked rows only, alike if printed alike; undefined values and a row that is ranked alone have no mark."""
    runs = [make_run("a", 0.7, mean={"pixel_ap": None}), make_run("b", 0.9, mean={"pixel_ap": None})]
    runs += [make_run("c", 0.7, mean={"pixel_ap": None, "pixel_auroc": 0.89999})]
    text = FORMATS["tex"](make_board([*runs, make_reference_row("oracle", 1.0)]))
    assert (text.count(r"\textbf{90.0}"), text.count(r"\underline{70.0}")) == (7, 11)
    assert r"\textbf{100.0}" not in text
    assert r"{--}" not in text
    assert MARKS in text
    alone = FORMATS["tex"](make_board(runs[:1]))
    assert not any(mark in alone for mark in (r"\textbf", MARKS))


def test_only_columns_that_are_shown_are_explained(make_run):
    """A reader does not look for a column that is not there."""
    board = make_board([make_run("a", 0.9)])
    assert "USD/point:" in FORMATS["md"](board)
    chosen = FORMATS["md"](board, chosen_columns("image_auroc"))
    assert "USD/" not in chosen
    assert "To best" not in chosen


def test_a_terminal_marks_best_and_second_alone(make_run, make_reference_row):
    """Bold is the best value of a column, underlined the second; a line says so where a terminal can show it."""
    board = make_board([make_run("a", 0.7), make_run("b", 0.9), make_reference_row("oracle", 1.0)])
    out = io.StringIO()
    print_board(board, Console(file=out, width=140, force_terminal=True, color_system="standard"))
    marked = {code: re.findall(rf"\x1b\[{code}m([^\x1b]*)", out.getvalue()) for code in (1, 4)}
    assert {code: [text.split()[0] for text in texts] for code, texts in marked.items()} == {
        1: ["90.0"] * 7,
        4: ["70.0"] * 7,
    }
    assert MARKS in out.getvalue()
    assert MARKS not in terminal(board)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\u2013"), (0.0, "0.00"), (12.345, "12.35"), (0.0123, "0.012"), (0.1572625, "0.16"), (3e-8, "0.00000003")],
)
def test_amounts_have_two_digits(value, text):
    """However small they are."""
    assert usd(value) == text


def test_a_strangers_name_does_no_harm(make_run):
    """Markup, HTML, terminal escapes, formulas and LaTeX in a model's name stay text in every format."""
    name = "=<b>x</b>|\x1b[31m`rm`\\input{/etc/passwd}_$&%#\u202e"
    board = make_board([make_run(name)])
    texts = {form: FORMATS[form](board) for form in ("md", "tex", "csv")} | {"terminal": terminal(board)}
    for text in texts.values():
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    assert "<b>" not in texts["md"] + board_page(board)
    assert r"\|" in texts["md"]
    assert r"\input" not in texts["tex"]
    assert r"\_\$\&\%\#" in texts["tex"]
    (row,) = csv.DictReader(io.StringIO(texts["csv"]))
    assert row["model"].startswith("'=<b>"), "a spreadsheet runs what begins with ="


def test_markdown_renders_as_the_table_it_is(make_run, make_reference_row):
    """Each cell, whatever a name contains, arrives as written in a renderer's HTML, and no other element."""
    from markdown_it import MarkdownIt

    runs = [make_run("a|b*c*_d_`e`<b>f</b>&amp;[g](h)\\", 0.7), make_run("b", 0.9), make_reference_row("oracle", 1.0)]
    board = make_board(runs)
    page = ET.fromstring(f"<page>{MarkdownIt('commonmark').enable('table').render(FORMATS['md'](board))}</page>")
    rows = [["".join(cell.itertext()) for cell in row] for row in page.iter("tr")]
    shown = [cells(entry, board.sort) for entry in board.groups[0].entries]
    heading = ["", "reference rows", *[""] * len(NUMBERS)]
    assert rows == [[column.head for column in COLUMNS], *shown[:2], heading, shown[2]]
    allowed = {"page", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "em", "ul", "li"}
    assert {element.tag for element in page.iter()} <= allowed


def test_a_long_name_leaves_room_in_latex(make_run):
    """Its middle is left out: the table is scaled to the page, and names often differ at their end."""
    text = FORMATS["tex"](make_board([make_run(f"{'n' * 400}-{end}") for end in "ab"]))
    assert "n" * 29 not in text
    assert {f"...{'n' * 12}-a", f"...{'n' * 12}-b"} <= set(re.findall(r"\.\.\.n+-\w", text))


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here: apt-get install texlive-latex-base")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_the_table_compiles(make_run, make_reference_row, tmp_path, columns):
    """With LaTeX and the two packages that it needs, whatever a name contains; it fits the page."""
    wild = 'a_b & c% $x$ #1 {y} ~ ^ \\z <t> | " ± é · µ \u2764 \u6f22 \u2013 \u201cq\u201d ß Ż \ufb01 \x1b'
    long = {"model": "w" * 400, "base_url": "http://127.0.0.1:8000/" + "v" * 200}
    runs = [make_run(wild, 0.7), make_run("b", 0.9, model={"identity": long}), make_run("n" * 400, dataset="mvtec")]
    board = make_board([*runs, make_reference_row("chance", dataset="mvtec")])
    packages = rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}"
    (tmp_path / "t.tex").write_text(f"{packages}\n{FORMATS['tex'](board)}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_a_note_of_all_rows_appears_once(make_run):
    """Rows keep only the notes of their own."""
    missing = {"n_with_truth": 7}
    (group,) = make_board(
        [make_run("a", 0.9, mean=missing), make_run("b", 0.7, mean=missing, answers={"refused": 2})]
    ).groups
    notes = group.notes()
    assert notes[0] == (-1, "all rows", "pixel metrics of the 7 images whose ground truth is known")
    assert [name for _, name, _ in notes[1:]] == ["b"]
    assert "7 images" not in notes[1][2]


def test_what_several_rows_share_is_said_once(make_run, make_reference_row):
    """A note of all rows that are no reference rows, and why rows are not ranked; a note of one row stays its own."""
    noted = {"notes": ["asked twice"]}
    runs = [make_run("one", 0.9, model=noted), make_run("two", 0.8, model={"notes": ["asked twice", "its own"]})]
    own_map = {"prompt": "", "division": "", "model": {"row": "dense", **noted}}
    runs += [make_run(name, 0.7, **own_map) for name in ("map-a", "map-b")]
    runs.append(make_reference_row("chance"))
    (group,) = make_board(runs).groups
    reason = group.reason
    assert reason
    assert [(name, note) for _, name, note in group.notes()] == [
        ("all but reference rows", "asked twice"),
        ("all that are not ranked", reason),
        ("two", "its own"),
    ]
    page = board_page(make_board(runs))
    assert page.count(reason) == 1 + page.count(f'data-words="{reason}')
    assert f"not ranked: {reason}</th>" in page
    assert page.count("asked twice") == 1 + len(re.findall('data-words="[^"]*asked twice', page))


def test_a_reason_of_one_row_stands_in_that_row(make_run, make_own_map):
    """Rows that are not ranked for different reasons each have their own below the name."""
    runs = [make_run("one", 0.9), make_own_map("map"), make_run("none", 0.0, mean={"image_auroc": None})]
    board = make_board(runs)
    assert board.groups[0].reason == ""
    found = re.findall(r'data-sort="([^"]+)">[^<]*<span class="why">([^<]+)<', board_page(board))
    assert {name for name, _ in found} == {"map (dense)", "none"}
