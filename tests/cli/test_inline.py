"""Pictures in terminals that can draw them."""

import base64
import re

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.cli.inline import _written, show_picture

DATA = base64.b64encode(bytes(range(256)) * 50).decode()


def test_kitty_gets_the_picture_in_parts():
    """Parts of at most 4,096 bytes; the first says what it is, the last that it is the last; together they are it."""
    text = _written(DATA, {"TERM": "xterm-kitty"})
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert parts[0][0] == "a=T,f=100,m=1"
    assert [keys for keys, _ in parts[1:]] == ["m=1"] * (len(parts) - 2) + ["m=0"]
    assert max(len(part) for _, part in parts) <= 4096
    assert "".join(part for _, part in parts) == DATA


def test_iterm_gets_the_picture_whole():
    """One sequence that ends with a bell."""
    assert _written(DATA, {"TERM_PROGRAM": "iTerm.app"}) == f"\x1b]1337;File=inline=1;width=100%:{DATA}\x07"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TERM": "xterm-256color"},
        {"TERM": "dumb"},
        {"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"},
        {"TERM": "screen-256color", "TERM_PROGRAM": "iTerm.app"},
    ],
)
def test_others_get_nothing(environment):
    """A terminal that is not known to draw would show the bytes as text."""
    assert _written(DATA, environment) == ""


def test_a_pipe_gets_nothing(tmp_path, monkeypatch, capsys):
    """Even with kitty's name in the environment."""
    monkeypatch.setenv("TERM", "xterm-kitty")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    assert show_picture(tmp_path / "a.png") is False
    assert capsys.readouterr().err == ""
