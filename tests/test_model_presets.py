import datetime as dt
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lvlm_ad.asking.cost import image_tokens
from lvlm_ad.plugins import load_plugin
from lvlm_ad.presets import load_model, preset_names, validated

LOCAL = ("lmstudio", "ollama", "sglang", "vllm")
CHOSEN_BY_THE_USER = ("azure", "openrouter", *LOCAL)
"""Endpoints that serve whatever the user deployed or picks: no model, hence no price and no rule for pictures."""
THINKING = ("claude", "gemini", "gpt-5", "gpt-6-luna")
BY_OPENAI = ("gpt-4.1", "gpt-4o", "gpt-4o-mini", "gpt-4v", "gpt-5", "gpt-6-luna")
ENDPOINTS = ("claude", "gemini", *BY_OPENAI, *CHOSEN_BY_THE_USER)


def text_of(name):
    return (files("lvlm_ad_configs") / "models" / f"{name}.toml").read_text(encoding="utf-8")


def values_of(name):
    return tomllib.loads(text_of(name))


@pytest.mark.parametrize("name", preset_names("models"))
def test_a_preset_loads(name):
    """A preset's plugin accepts its options, and one line describes it."""
    preset = load_model(name)
    validated(load_plugin(preset.kind, preset.plugin).Options, preset.options, name)
    assert preset.description
    assert "\n" not in preset.description
    assert len(preset.description) <= 100


def test_each_endpoint_has_a_preset():
    """The presets that reach an endpoint are those of docs/models.md."""
    assert sorted(ENDPOINTS) == [name for name in preset_names("models") if load_model(name).plugin == "openai"]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_prices_are_complete_and_dated(name):
    """Prices of input and output come together, with their date and source."""
    values = values_of(name)
    priced = "price_input" in values
    assert priced == ("price_output" in values) == ("price_date" in values)
    assert priced == (name not in CHOSEN_BY_THE_USER)
    if not priced:
        assert not [key for key in values if key.startswith("price_")]
        return
    assert values["model"]
    assert dt.date(2026, 1, 1) <= dt.date.fromisoformat(values["price_date"])
    assert 0 < values["price_input"] < values["price_output"]
    assert values.get("price_cached", 0) < values["price_input"]
    assert re.search(r"^# Prices.*/pricing", text_of(name), re.MULTILINE)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_batch_has_a_price_where_it_can_be_had(name):
    """A preset has a batch price exactly if the endpoint takes batches."""
    values = values_of(name)
    assert ("batch" in values["takes"]) == ("price_batch" in values) == (name in BY_OPENAI)
    assert values.get("price_batch", 0.5) == 0.5


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_rule_for_pictures_is_one(name):
    """A preset with a price has a valid rule for pictures, within the range of known models."""
    values = values_of(name)
    assert ("image_tokens" in values) == ("price_input" in values)
    if "image_tokens" in values:
        tokens = image_tokens(values["image_tokens"], 768, 768, values["detail"])
        assert 400 <= tokens <= 30_000
        assert tokens * values["price_input"] / 1e6 < 0.01


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_key_is_named_never_held(name):
    """Each preset names the variable of its key, or none; only Azure's key has another header."""
    values = values_of(name)
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*_API_KEY" if name not in LOCAL else "", values["api_key_env"])
    assert values.get("key_header", "authorization") == ("api-key" if name == "azure" else "authorization")
    assert not re.search(r"sk-|AIza", text_of(name))


@pytest.mark.parametrize("name", ENDPOINTS)
def test_addresses(name):
    """Local servers are on this machine, all others use TLS; only Azure's address is the user's."""
    address = values_of(name).get("base_url")
    if name == "azure":
        assert address == ""
    elif name in LOCAL:
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/v1", address)
    else:
        assert re.fullmatch(r"https://[a-z.]+/[a-z0-9/]+", address)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_only_what_the_endpoint_takes_is_set(name):
    """The temperature is 0 if the endpoint supports one; reasoning models have a larger token limit."""
    values = values_of(name)
    assert values["temperature"] == (0.0 if "temperature" in values["takes"] else "none")
    assert ("temperature" not in values["takes"]) == (name in THINKING)
    assert values["max_tokens"] == (8192 if name in THINKING else 1024)
    assert "reasoning_effort" not in values
    assert ("model" in values) == (name not in CHOSEN_BY_THE_USER)
    assert not {"requests_per_minute", "tokens_per_minute"} & set(values)


def test_gpt_4v_is_gpt_4o():
    """The two presets differ only in their description."""
    one, other = values_of("gpt-4v"), values_of("gpt-4o")
    assert one.pop("description") != other.pop("description")
    assert one == other


def documented():
    """The rows of the tables of docs/models.md by preset: {preset: [cells of each row that names it first]}."""
    rows = {}
    for line in (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`([a-z0-9.-]+)`", cells[0]) if line.startswith("| `") else ():
            rows.setdefault(name, []).append(cells)
    return rows


@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_page_agrees_with_the_preset(name):
    """docs/models.md gives each preset's address, key, what it takes, prices, their date and the cost of a picture."""
    values = values_of(name)
    rows = documented()[name]
    where, takes = rows[:2]
    assert where[1] == ("yours" if name == "azure" else urlsplit(values["base_url"]).netloc)
    assert where[2] == (f"`{values['api_key_env']}`" if values["api_key_env"] else "none")
    assert takes[1:] == [
        "yes" if what in values["takes"] else "no" for what in ("temperature", "seed", "logprobs", "schema", "batch")
    ]
    if "price_input" not in values:
        assert len(rows) == 2
        return
    tokens = image_tokens(values["image_tokens"], 768, 768)
    assert rows[2][1:] == [
        *(str(values.get(f"price_{kind}", "")) for kind in ("input", "cached", "output")),
        "half" if "price_batch" in values else "",
        values["price_date"],
        f"{tokens} tokens, {tokens * values['price_input'] / 1e6:.4f} USD",
    ]
    assert len(rows) == 3


LOCAL_MODELS = tuple(name for name in preset_names("models") if load_model(name).plugin == "transformers")


def test_local_models_are_those_of_the_documentation():
    """docs/local.md gives each preset's name at the hub, its size, and the memory that the loader asks for."""
    table = {}
    for line in (Path(__file__).parents[1] / "docs" / "local.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for place, name in enumerate(re.findall(r"`([a-z0-9.-]+)`", cells[0]) if len(cells) == 5 else ()):
            table[name] = (
                cells[1].split(", ")[0],
                *(float(cell.removesuffix(" GB").split(", ")[-1 if place else 0]) for cell in cells[2:4]),
            )
    assert sorted(table) == sorted(LOCAL_MODELS)
    for name, (hub, billions, memory) in table.items():
        options = load_model(name).options
        assert options["model"].split("/")[0] == hub.split("/")[0]
        assert billions == pytest.approx(options["parameters"], abs=0.051)
        assert memory == pytest.approx(2 * 1.2 * options["parameters"], abs=0.51)


@pytest.mark.parametrize("name", LOCAL_MODELS)
def test_a_local_model_asks_for_nothing_dangerous(name):
    """A preset trusts no remote code, and its description names the licence."""
    preset = load_model(name)
    assert "trust_remote_code" not in preset.options
    assert re.search("licence|Apache 2.0|MIT", preset.description)
