import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvlm_ad.asking.cost import image_tokens, text_tokens
from lvlm_ad.errors import ConfigError

RULES = (
    "tiles 85 170",
    "patches 32 1.62 6144 2048",
    "patches 32 1.2 2500 2048",
    "patches 32 1 1536",
    "squares 28 4784 2576",
    "squares 28 1568 1568",
    "grid 28 4 16384",
    "grid 32 64 16384",
    "crops 258 384",
    "fixed 1120",
)
sides = st.integers(1, 9000)
rules = st.sampled_from(RULES)


@pytest.mark.parametrize(
    ("rule", "size", "detail", "tokens"),
    [
        # OpenAI's vision guide of 2024 (quoted at v2ex.com/t/1044688): the three examples for gpt-4-vision-preview.
        ("tiles 85 170", (1024, 1024), "high", 765),
        ("tiles 85 170", (2048, 4096), "high", 1105),
        ("tiles 85 170", (4096, 8192), "low", 85),
        # OpenAI's vision guide of 2026: examples for gpt-5.4 with detail high.
        ("patches 32 1.2 2500 2048", (1024, 1024), "high", 1229),
        ("patches 32 1.2 2500 2048", (2048, 2048), "high", 3000),
        # The same guide, earlier in 2026: patches before the multiplier, under a budget of 1,536.
        ("patches 32 1 1536", (1024, 1024), "high", 1024),
        ("patches 32 1 1536", (1800, 2400), "high", 1452),
        # Measured at the endpoint (Hugging Face data set JOHNISKING/image-token-cost), which caps patches alone.
        ("patches 32 1.2 2500", (4032, 3024), "high", 2942),
        ("patches 32 1.2 2500", (2560, 1440), "high", 2931),
        ("patches 32 1.2 10000", (4032, 3024), "high", 11868),
        # Anthropic's vision guide of 2026, its table of sizes, standard and high resolution.
        ("squares 28 1568 1568", (200, 200), "high", 64),
        ("squares 28 1568 1568", (1000, 1000), "high", 1296),
        ("squares 28 1568 1568", (1092, 1092), "high", 1521),
        ("squares 28 1568 1568", (1920, 1080), "high", 1560),
        ("squares 28 1568 1568", (2000, 1500), "high", 1564),
        ("squares 28 1568 1568", (3840, 2160), "high", 1560),
        ("squares 28 4784 2576", (1920, 1080), "high", 2691),
        ("squares 28 4784 2576", (2000, 1500), "high", 3888),
        ("squares 28 4784 2576", (3840, 2160), "high", 4784),
        # Google's page on image understanding: 960 x 540 is cut by 360 into 3 x 2.
        ("crops 258 384", (384, 384), "high", 258),
        ("crops 258 384", (960, 540), "high", 6 * 258),
        # Google's page on media resolution: Gemini 3 by default.
        ("fixed 1120", (960, 540), "high", 1120),
        # At 768 x 768, as both protocols send pictures, no rule shrinks: four tiles, 28 x 28 squares, 24 x 24 patches.
        ("tiles 2833 5667", (768, 768), "high", 25_501),
        ("squares 28 4784 2576", (768, 768), "high", 784),
        ("patches 32 1.62 6144 2048", (768, 768), "high", 934),
        # By hand from smart_resize in the image processor that Qwen publishes with transformers: enlarged to the least
        # of four, 27.4 cells a side, 27.5 (to the even number), 68.6 and 38.6, shrunk to the most.
        ("grid 28 4 16384", (28, 28), "high", 4),
        ("grid 28 4 16384", (768, 768), "high", 27 * 27),
        ("grid 28 4 16384", (770, 770), "high", 28 * 28),
        ("grid 28 4 16384", (1920, 1080), "high", 69 * 39),
        ("grid 28 4 16384", (8000, 8000), "high", 128 * 128),
    ],
)
def test_examples_of_the_providers(rule, size, detail, tokens):
    """The examples on the providers' pages come out."""
    assert image_tokens(rule, *size, detail) == tokens


def test_only_tiles_know_low_detail():
    """Detail "low" costs the base alone; "auto" and "none" cost as much as "high"; other rules do not differ."""
    assert image_tokens("tiles 85 170", 5000, 300, "low") == 85
    for detail in ("auto", "none"):
        assert image_tokens("tiles 85 170", 5000, 300, detail) == image_tokens("tiles 85 170", 5000, 300)
    for rule in RULES[1:]:
        assert image_tokens(rule, 640, 480, "low") == image_tokens(rule, 640, 480)


@given(rules, sides, sides)
def test_a_picture_always_costs_something(rule, width, height):
    """Tokens are at least 1, never more than the rule's limit, and the same for the turned picture."""
    tokens = image_tokens(rule, width, height)
    assert tokens == image_tokens(rule, height, width)
    most = {
        "tiles": 85 + 170 * 8,
        "patches 32 1.62": 9954,
        "patches 32 1.2": 3000,
        "patches 32 1 ": 1536,
        "squares 28 4784": 4784,
        "squares 28 1568": 1568,
        "grid": 16_384,
        "crops": 258 * 72,
        "fixed": 1120,
    }
    assert 1 <= tokens <= next(limit for start, limit in most.items() if rule.startswith(start))


@pytest.mark.parametrize(
    "rule",
    [
        "",
        " ",
        "tile 85 170",
        "tiles",
        "tiles 85",
        "tiles 85 170 1",
        "tiles 85 x",
        "tiles 85 -170",
        "tiles 85 0",
        "tiles 8.5 170",
        "tiles ٨٥ 170",
        "tiles 85 99999999999",
        "patches 32 1.2",
        "patches 32 nan 2500",
        "patches 32 1e3 2500",
        "patches 32 1/2 2500",
        "patches 32 0.0 2500",
        "squares 28 4784",
        "grid 28 64 4",
        "crops 258",
        "fixed many",
        "fixed 1.5",
        "FIXED 1",
    ],
)
def test_a_malformed_rule(rule):
    """It is an error of one line that lists the known forms."""
    with pytest.raises(ConfigError, match=r"tiles BASE TILE; patches SIZE.*squares.*grid.*crops.*fixed N") as caught:
        image_tokens(rule, 768, 768)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_an_error(text):
    """Any text is a rule or gives this error."""
    try:
        tokens = image_tokens(text, 300, 200)
    except ConfigError:
        return
    assert tokens >= 1


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
def test_a_picture_has_pixels(size):
    """A side below one is a programming error."""
    with pytest.raises(ValueError, match="at least one pixel"):
        image_tokens("fixed 1", *size)


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("x" * 4000, 1000)])
def test_text_is_a_quarter_of_its_characters(text, tokens):
    """Rounded up; nothing for nothing."""
    assert text_tokens(text) == tokens
