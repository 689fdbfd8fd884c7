"""A stranger's text, harmless wherever it is shown."""

import csv
import io
import json
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from lvlm_ad.escape import csv_cell, escaped, html, json_text, latex, markdown, visible

ACTING = (
    "\x00\t\r\n\x1b\x7f\x85\x9b\xad\u061c\u200b\u200d\u200f\u2028\u2029\u202e\u2066\u2069\u3164\ufeff\udc80\U000e0041"
)
"""Controls, marks of direction, zero-width characters, line separators, a lone surrogate, a tag."""


@pytest.mark.parametrize("write", [escaped, html, json_text, csv_cell, markdown, latex, lambda text: visible(text, "")])
@pytest.mark.parametrize("character", ACTING, ids=lambda one: f"{ord(one):x}")
def test_what_cannot_be_seen_or_acts_is_shown_by_its_code(write, character):
    """In every format; the letters around it stay, and the result can be written as UTF-8."""
    text = write(f"né{character}xt")
    kept = "\n\t" if write is html else ""
    assert character not in text or character in kept
    assert re.search(r"né.*xt", text, re.DOTALL)
    text.encode()


@pytest.mark.parametrize("text", ["gpt-4o mini", "Ä 漢字 한국어 हिन्दी", "😀 ❤\ufe0f", "e\u0301", "100 % · ±"])
def test_ordinary_text_stays(text):
    """Letters of any script, emoji and accents are no danger."""
    assert visible(text) == escaped(text) == text
    assert json_text(text) == f'"{text}"'


VALUES = st.recursive(st.text() | st.none() | st.integers(), st.lists)


@settings(max_examples=25)
@given(VALUES | st.dictionaries(st.text(), VALUES))
def test_json_reads_as_it_was(value):
    """Whatever is escaped, a reader gets the same value."""
    assert json.loads(json_text(value)) == value


FORMULAS = [
    *("=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n-A1", "  =1", "\xa0=1"),
    *("\uff1d1", "\uff0b1", "\uff0d1", "\uff20x", "\u200b=1", "\u2212A1", "\ufeff@x"),
]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text):
    """Also after spaces and unseen characters, and in full width; a spreadsheet reads the cell as text."""
    assert csv_cell(text).startswith("'")


@pytest.mark.parametrize("value", ["gpt-4o", "-0.5", "-3", "1e-05", "-1e-05", "a=b", "x@y.z", -0.25, 7, None])
def test_numbers_and_names_stay_cells(value):
    """A negative number is no formula, as a number or as text; an undefined value is an empty cell."""
    out = io.StringIO()
    csv.writer(out).writerow([csv_cell(value), "end"])
    assert next(csv.reader([out.getvalue()]))[0] == ("" if value is None else str(value))


MARKS = [
    *("a|b", "*b* _c_ `d` ~~e~~ $x_1$", "<b>x</b> &amp; &lt;", "[a](b) ![c](d)", "# head", "- item", "+ item"),
    *("12. item", "> quote", "====", "---", "http://127.0.0.1:8000/v1", "www.example.org", "me@example.org"),
    *("@team #12 :smile:", "\\"),
]


@pytest.mark.parametrize("text", MARKS)
def test_markdown_shows_a_text_as_written(text):
    """In a cell and in a list: no element, link or heading comes out of it."""
    source = f"| a |\n| --- |\n| {markdown(text)} |\n\n- {markdown(text)}\n"
    page = ET.fromstring(f"<page>{MarkdownIt('commonmark').enable(['table', 'strikethrough']).render(source)}</page>")
    assert {one.tag for one in page.iter()} == {"page", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert [one.text for one in (*page.iter("td"), *page.iter("li"))] == [text, text]


@pytest.mark.parametrize(
    "part", ["e@x.org", " @team", "http://x", "www.x", " :cat:", " $x", " ~x", " !x", " #12", "mailto:m@x"]
)
def test_no_address_name_or_formula_is_left_for_github(part):
    """GitHub looks for these in plain text, outside of CommonMark."""
    assert part not in f" {markdown(part)}"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (r"\input{a}", r"\textbackslash{}input\{a\}"),
        ("a_b^c~d", r"a\_b\textasciicircum{}c\textasciitilde{}d"),
        ("--flag---", "-{}-flag-{}-{}-"),
        ("3 \u2013 4 %", r"3 -- 4~\%"),
        ("?`x\u2028\U0001f600\x7f", r"?\`{}x[U+2028][U+1F600][U+007F]"),
    ],
)
def test_latex_sets_a_text_as_written(text, written):
    """Commands, ligatures and characters that engines lack are written out."""
    assert latex(text) == written
