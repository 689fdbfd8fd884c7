"""Conventions for coordinates: what a model's numbers are in pixels of the picture as sent."""

import json

import pytest

from lvlm_ad.conventions import Convention, SeenSize, convention_names, load_convention, seen_size
from lvlm_ad.errors import ConfigError


def test_conventions_are_those_of_the_shared_list(shared):
    """Every convention that the cases name has the same fields, but for what is only said in words."""
    listed = json.loads((shared / "specs" / "grounding_conventions.json").read_text())
    for name, fields in listed.items():
        if "range" not in fields:
            assert name not in convention_names()
            continue
        known = load_convention(name)
        del fields["families"]
        for field, value in fields.items():
            stored = getattr(known, field)
            if field == "seen":
                assert {key: getattr(stored, key) for key in value} == value
            else:
                assert (list(stored) if field == "forms" else stored) == value, (name, field)


def test_an_unknown_convention_is_named_with_the_nearest():
    """A wrong name is an error that names what was probably meant."""
    with pytest.raises(ConfigError, match="gemini_1000"):
        load_convention("gemini_100")


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("qwen25_seen", (768, 768), (756, 756)),
        ("qwen25_seen", (896, 896), (896, 896)),
        ("qwen25_seen", (1600, 1200), (1596, 1204)),
        ("qwen25_seen", (4684, 4684), (3584, 3584)),  # exactly the most pixels
        ("qwen25_seen_1280", (1600, 1200), (1148, 840)),
        ("qwen25_seen", (40, 40), (56, 56)),
        ("qwen25_seen", (434, 368), (448, 364)),  # 15.5 patches: halves go to the even number
        ("qwen25_seen", (3, 2000), (28, 1988)),
        ("claude_1568", (896, 896), (896, 896)),
        ("claude_1568", (1920, 1080), (1456, 819)),
        ("claude_1568", (1075, 1520), (924, 1307)),
        ("claude_2576", (3840, 2160), (2576, 1449)),
        ("claude_1568", (5000, 1), (1568, 1)),
        ("padded_1", (800, 400), (800, 800)),
        ("sent_pixels", (847, 783), (847, 783)),
    ],
)
def test_the_seen_size_follows_from_the_sent_one(name, sent, expected):
    """The size after a model's own resizing is that of its makers' code or documentation."""
    assert seen_size(load_convention(name).seen, sent) == expected


@pytest.mark.parametrize("sent", [(3000, 1000), (1571, 1570), (1000, 3000), (2000, 2000), (1569, 30)])
def test_a_picture_for_claude_is_as_large_as_its_limits_allow(sent):
    """The seen size keeps both limits, is never larger than the picture, and one pixel more would break a limit."""
    seen = SeenSize(rule="patches")
    width, height = seen_size(seen, sent)

    def fits(longer, shorter):
        patches = -(-longer // 28), -(-shorter // 28)
        return patches[0] * 28 <= seen.max_edge and patches[0] * patches[1] <= seen.max_patches

    longer, shorter = max(width, height), min(width, height)
    assert fits(longer, shorter)
    assert longer <= max(sent)
    assert longer == max(sent) or not fits(longer + 1, round((longer + 1) * min(sent) / max(sent)))


@pytest.mark.parametrize("name", convention_names())
def test_the_corners_of_the_picture_are_those_of_the_range(name):
    """0 and the whole range are the picture's edges; in a square that pads the picture, they lie outside it."""
    convention, sent = load_convention(name), (800, 400)
    right, bottom = convention.sides(sent)
    bin_shift = 0.5 if convention.centre else 0
    left_top = convention.to_pixels(-bin_shift, -bin_shift, sent)
    right_bottom = convention.to_pixels(right - bin_shift, bottom - bin_shift, sent)
    padding = 200 if name == "padded_1" else 0
    assert left_top == pytest.approx((0, -padding), abs=1e-9)
    assert right_bottom == pytest.approx((800, 400 + padding), abs=1e-9)


def test_a_padded_square_is_padded_by_whole_pixels():
    """Of an odd difference between the sides, the smaller half is in front."""
    assert load_convention("padded_1").to_pixels(0, 0, (401, 400)) == (0.0, 0.0)
    assert load_convention("padded_1").to_pixels(0, 0, (403, 400)) == (0.0, -1.0)


def test_a_convention_without_fields_is_pixels_as_sent():
    """The default convention is x, y in pixels of the picture as sent."""
    assert Convention(name="plain").to_pixels(3, 4, (10, 10)) == (3.0, 4.0)
