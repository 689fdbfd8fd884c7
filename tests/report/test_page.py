"""Pages hold what strangers wrote as text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvlm_ad.report.page import data_block, number, percent, render, visible


@given(st.text())
def test_data_cannot_end_its_element_and_comes_back_whole(text):
    """No text can close the script element or open another; the browser reads what was written."""
    block = str(data_block({"text": text}))
    assert not set("<>&\u2028\u2029") & set(block)
    assert json.loads(block) == {"text": text}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text,\n\tÄ 漢字 \U0001f600", "plain text,\n\tÄ 漢字 \U0001f600"),
        ("\x1b[31mred\x07\x00", "\u241b[31mred\u2407\u2400"),
        ("abc\u202edef\u2066", "abc\u27e8U+202E\u27e9def\u27e8U+2066\u27e9"),
        ("a\xa0b\x9b", "a b\u27e8U+009B\u27e9"),
        ("\ud800", "\u27e8U+D800\u27e9"),
    ],
)
def test_characters_that_act_are_shown(text, shown):
    """Terminal escapes, marks of direction and lone surrogates become visible; writing stays as it is."""
    assert visible(text) == shown


def test_only_the_pages_own_scripts_may_run():
    """The policy names each script by its hash, allows no other, and nothing from elsewhere."""
    page = render(
        "base.html", ["sortable.js"], title="</title><script>alert(1)</script>", version="0", made="2026-01-01"
    )
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    policy = page.partition('Content-Security-Policy" content="')[2].partition('"')[0]
    assert "default-src &#39;none&#39;" in policy
    assert policy.count("sha256-") == 1
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert "http" not in policy


def test_numbers_are_written_for_readers():
    """Percent with one decimal, thousands set apart, a dash where there is nothing."""
    assert [percent(0.12345), percent(None), number(1234567), number(None)] == ["12.3", "\u2013", "1,234,567", "\u2013"]
