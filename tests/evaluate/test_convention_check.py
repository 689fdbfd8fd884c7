import json

import pytest

from lvlm_ad import evaluate
from lvlm_ad.errors import ConfigError

MODEL = '''
import json
from io import BytesIO
import numpy as np
from PIL import Image
from lvlm_ad.backend import Backend, BackendOptions

class Options(BackendOptions):
    model: str = "m"
    writes: str = "thousandths"
    log: str = ""

class Sees(Backend):
    """Finds the square in the picture's own pixels, and writes its sides in its own way."""

    Options = Options

    def answer(self, request):
        with open(self.options.log, "a") as log:
            log.write("asked\\n")
        pixels = np.asarray(Image.open(BytesIO(request.images[-1].data)).convert("RGB"))
        height, width = pixels.shape[:2]
        rows, columns = np.nonzero(pixels[..., 1] < 100)
        x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        across, down = width, height
        if self.options.writes == "pixels of its own":  # no side above 1568, as Claude's
            shrink = min(1, 1568 / max(width, height))
            across, down = shrink * width, shrink * height
        if self.options.writes.endswith("thousandths"):
            across = down = 1000
        x1, x2, y1, y2 = x1 * across / width, x2 * across / width, y1 * down / height, y2 * down / height
        if self.options.writes == "nothing" or (self.options.writes == "wide ones" and width < height):
            return "[]"
        if self.options.writes.startswith("y first"):
            x1, y1, x2, y2 = y1, x1, y2, x2
        return json.dumps([{"box_2d": [round(x1), round(y1), round(x2), round(y2)], "label": "red square"}])
'''


@pytest.fixture
def check(tmp_path):
    """Check a model that writes in this way, with these settings; returns the check and how often it was asked."""
    file, log = tmp_path / "sees.py", tmp_path / "log"
    file.write_text(MODEL)

    def check(writes, **settings):
        log.write_text("")
        values = {"writes": writes, "log": str(log), **settings}
        config = evaluate.RunConfig(models=str(file), method="boxes", settings=values, out=tmp_path / "out")
        return evaluate.check_convention(config), log.read_text().count("asked")

    check.file = file
    return check


@pytest.mark.parametrize(
    ("writes", "convention"),
    [
        ("y first, thousandths", "gemini_1000"),
        ("pixels of its own", "claude_1568"),
    ],
)
def test_a_convention_that_the_model_keeps_holds(check, writes, convention):
    """On wide and on tall pictures every square is found, and no other convention fits better."""
    found, asked = check(writes, convention=convention)
    assert (found.verdict, found.others, asked) == ("holds", {}, 4)
    assert min(one.iou for one in found.pictures) > 0.95
    assert {(size[0] > size[1]) for size in (one.size for one in found.pictures)} == {True, False}


@pytest.mark.parametrize(
    ("writes", "convention", "fits"),
    [
        ("y first, thousandths", "qwen3_1000", "gemini_1000"),
        ("pixels of its own", "sent_pixels", "claude_1568"),
        ("pixels", "qwen25_seen_1280", "sent_pixels"),
    ],
)
def test_a_convention_that_the_model_does_not_keep_is_found_out(check, writes, convention, fits):
    """Another order, range or size is noticed, and the convention that would fit is named; nothing is rescaled."""
    found, _ = check(writes, convention=convention)
    assert found.verdict == "does not hold"
    assert found.iou < 0.9
    assert found.others[fits] > 0.95


def test_without_boxes_nothing_is_known(check):
    """A model that sees nothing is no evidence against its convention."""
    found, _ = check("nothing", convention="sent_pixels")
    assert (found.verdict, found.others, found.iou) == ("open", {}, 0.0)


def test_where_a_model_sees_nothing_its_convention_stays_open(check):
    """Boxes on the wide pictures alone may be right by chance; a picture without a box does not count as wrong."""
    found, _ = check("wide ones", convention="sent_pixels")
    assert (found.verdict, found.others, found.iou) == ("open", {}, 1.0)


def test_a_model_without_a_convention_cannot_be_checked(check):
    """The error says what to set."""
    with pytest.raises(ConfigError, match="--set convention=NAME"):
        check("pixels")


def test_only_chat_models_write_coordinates(tmp_path):
    """A baseline is refused."""
    config = evaluate.RunConfig(models="contrast", method="boxes", out=tmp_path)
    with pytest.raises(ConfigError, match="contrast is no chat model"):
        evaluate.check_convention(config)


def test_the_command(check, lvlm_ad_command, tmp_path):
    """``models NAME --check`` says what it found, and its exit status; stored answers are read, not asked for again."""
    settings = ("--set", f"log={tmp_path / 'log'}", "--set", "writes=thousandths", "--out", tmp_path / "out")
    name, log = check.file, tmp_path / "log"
    for _ in range(2):
        good = lvlm_ad_command("models", name, "--check", "--set", "convention=qwen3_1000", *settings)
        assert good.returncode == 0, good.stderr
        assert "The convention qwen3_1000 holds: mean IoU 1.00." in good.stdout
    assert log.read_text().count("asked") == 4
    bad = lvlm_ad_command("models", name, "--check", "--set", "convention=percent_100", "--json", *settings)
    assert bad.returncode == 2
    found = json.loads(bad.stdout)
    assert found["verdict"] == "does not hold"
    assert found["others"]["qwen3_1000"] > 0.95
    assert len(found["pictures"]) == 4
