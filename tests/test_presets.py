"""Presets in TOML: the package's own, which agree with the documentation, and the user's."""

import datetime as dt
import os
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lvlm_ad_backends.vllm.installation import find_vllm

from lvlm_ad.asking.cost import image_tokens
from lvlm_ad.children import program_path
from lvlm_ad.conventions import load_convention
from lvlm_ad.errors import ConfigError
from lvlm_ad.plugins import build, find_model, load_plugin, plugin_names
from lvlm_ad.presets import (
    Price,
    load_model,
    load_prompt,
    load_protocol,
    model_preset,
    parse_settings,
    preset_names,
    validated,
)

CONFIGS = Path(__file__).parents[1] / "configs"
LOCAL = ("llama.cpp", "lmstudio", "ollama", "sglang", "vllm")
CHOSEN_BY_THE_USER = ("azure", "openrouter", *LOCAL)
"""Endpoints that serve whatever the user deployed or picks: no model, hence no price and no rule for pictures."""
BY_ANTHROPIC = ("claude", "claude-haiku", "claude-opus")
BY_OPENAI = ("gpt-4.1", "gpt-4o", "gpt-4o-mini", "gpt-4v", "gpt-5", "gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra")
THINKING = (*BY_ANTHROPIC, "gemini", *BY_OPENAI[4:], "qwen")
ENDPOINTS = (*BY_ANTHROPIC, "gemini", "mistral", "qwen", "qwen3-vl-plus", *BY_OPENAI, *CHOSEN_BY_THE_USER)


def test_every_preset_of_the_package_is_valid():
    """Each protocol and prompt loads and has a description."""
    assert {
        "boxes",
        "cells",
        "class",
        "general",
        "json",
        "masks",
        "points",
        "reason",
        "score",
        "types",
        "yes-no",
    } <= set(preset_names("prompts"))
    for name in preset_names("protocols"):
        assert load_protocol(name, {}).description
    for name in preset_names("prompts"):
        assert load_prompt(name).description


@pytest.mark.parametrize("day", ["2027-01-31", dt.date(2027, 1, 31)])
def test_the_end_of_a_model_is_a_day(day):
    """A preset may say when its provider removes the model, as text or as a date of TOML; anything else is an error."""
    assert model_preset({"backend": "openai", "end_of_life": day}).end_of_life == dt.date(2027, 1, 31)
    with pytest.raises(ConfigError, match="end_of_life must be a day such as 2027-01-31; got 'soon'"):
        model_preset({"backend": "openai", "end_of_life": "soon"})


def test_the_paper_protocol_has_the_published_settings():
    """768 x 768, 60 segments, compactness 20, areas from 600 to 120,000, borders of 1 px, numbers of 10 px on grey."""
    paper = load_protocol("paper", {})
    assert (paper.image_size, paper.n_segments, paper.compactness) == (768, 60, 20.0)
    assert (paper.min_area, paper.max_area) == (600, 120_000)
    assert (paper.border_width, paper.number_size, paper.number_style) == (1, 10, "grey")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["a=1", "b=x=y"], {"a": "1", "b": "x=y"}),
        (["u=http://127.0.0.1:80/v1"], {"u": "http://127.0.0.1:80/v1"}),
        (['l=["a", "b"]', 's="a b"'], {"l": ["a", "b"], "s": "a b"}),
        (["empty="], {"empty": ""}),
    ],
)
def test_settings(settings, expected):
    """A value is text, or TOML if it begins like a list, a table or a string."""
    assert parse_settings(settings) == expected


@pytest.mark.parametrize("setting", ["novalue", "=x", "l=[1"])
def test_a_setting_that_is_none(setting):
    """A setting without key or "=", or with broken TOML, is an error that does not quote the value."""
    with pytest.raises(ConfigError, match="--set"):
        parse_settings([setting])


def test_names_are_answered_with_the_nearest():
    """A wrong model, prompt or protocol names the right one."""
    with pytest.raises(ConfigError, match=r"Did you mean .*'gpt-4v'"):
        find_model("gpt4v", {})
    with pytest.raises(ConfigError, match=r"Did you mean 'general'"):
        load_prompt("generel")
    with pytest.raises(ConfigError, match=r"Did you mean 'paper'"):
        load_protocol("papers", {})
    with pytest.raises(ConfigError, match=r"Did you mean 'n_segments'"):
        load_protocol("default", {"n_segment": 3})


def test_values_out_of_range_are_quoted():
    """The error names the field, the accepted values and the given value."""
    with pytest.raises(ConfigError, match=r"protocol default, setting image_size must be 16 or more; got 3"):
        load_protocol("default", {"image_size": 3})


def test_an_unknown_options_value_is_never_quoted(tmp_path):
    """The value of an unknown option is not quoted: it may be a key."""
    path = tmp_path / "mine.toml"
    path.write_text('backend = "openai"\nmodel = "m"\napi_key = "sk-secret"\n')
    with pytest.raises(ConfigError, match="no setting 'api_key'") as caught:
        build(find_model(str(path), {})[0])
    assert "sk-secret" not in str(caught.value)


def test_files_of_ones_own(tmp_path):
    """Presets may be files; a broken or missing one is named."""
    (tmp_path / "p.toml").write_text("n_segments = 30\n")
    assert load_protocol(str(tmp_path / "p.toml"), {}).n_segments == 30
    (tmp_path / "q.toml").write_text('text = "How bad is this $class_name?"\n')
    assert load_prompt(str(tmp_path / "q.toml")).name == "q"
    (tmp_path / "m.toml").write_text('baseline = "contrast"\n')
    assert find_model(str(tmp_path / "m.toml"), {})[0].preset.name == "m"
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_protocol(str(tmp_path / "bad.toml"), {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_protocol(str(tmp_path / "absent.toml"), {})
    (tmp_path / "none.toml").write_text('description = "x"\n')
    with pytest.raises(ConfigError, match=r"a backend or a baseline.*; it names none"):
        find_model(str(tmp_path / "none.toml"), {})


def test_an_unknown_price_is_unknown():
    """Without a price or a count the cost is None, never 0."""
    assert Price().cost(10, 0, 10) is None
    assert Price(price_input=1.0).cost(10, 0, 10) is None
    assert Price(price_input=1.0, price_output=2.0).cost(None, None, 10) is None
    assert Price(price_input=1.0, price_output=2.0).cost(10**6, None, 10**6) == 3.0


def test_a_date_needs_no_quotes(tmp_path):
    """The day of a price may be a date of TOML."""
    path = tmp_path / "mine.toml"
    path.write_text('backend = "openai"\nprice_date = 2026-11-01\n')
    assert load_model(str(path)).price.price_date == "2026-11-01"


def test_a_machine_costs_its_hours(tmp_path):
    """A local model's answer costs its seconds at the price per hour; an endpoint's answers overlap, so it has none."""
    free = {"price_input": 0, "price_output": 0}
    assert Price(**free).cost(10, None, 10, seconds=3600) == 0.0
    machine = Price(**free, price_per_hour=2.0)
    assert (machine.free, Price(**free).free) == (False, True)
    assert machine.cost(None, None, None, seconds=1800) == 1.0
    assert Price(price_input=1, price_output=2, price_per_hour=2).cost(10**6, None, 10**6, seconds=1800) == 4.0
    (tmp_path / "own.py").write_text("class Own:\n    billed, answer = False, lambda self, request: 'yes'\n")
    assert find_model(str(tmp_path / "own.py"), {"price_per_hour": 2})[0].preset.price.price_per_hour == 2
    with pytest.raises(ConfigError, match="price_per_hour is for a model that runs on this machine"):
        find_model("gpt-4o", {"price_per_hour": 2})


def test_plugins_are_found_by_entry_point():
    """The backends and baselines of this repository are among those installed."""
    assert {"openai", "scripted"} <= set(plugin_names("backend"))
    assert {"chance", "contrast", "oracle"} <= set(plugin_names("baseline"))


def text_of(name):
    return (files("lvlm_ad_configs") / "models" / f"{name}.toml").read_text(encoding="utf-8")


def values_of(name):
    return tomllib.loads(text_of(name))


@pytest.mark.parametrize("name", preset_names("models"))
def test_a_preset_loads(name):
    """A preset's plugin accepts its options, and one line describes it."""
    preset = load_model(name)
    chosen = {"model": "folder"} if name in FOLDERS else {}
    validated(load_plugin(preset.kind, preset.plugin).Options, preset.options | chosen, name)
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
    assert re.search(r"^# Prices.* [a-z.]+\.[a-z]+/[a-z0-9/-]+", text_of(name), re.MULTILINE)


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
        assert re.fullmatch(r"https://[a-z.-]+/[a-z0-9/-]+", address)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_only_what_the_endpoint_takes_is_set(name):
    """The temperature is 0 if the endpoint supports one; models that reason have a larger token limit."""
    values = values_of(name)
    assert values["temperature"] == (0.0 if "temperature" in values["takes"] else "none")
    assert ("temperature" not in values["takes"]) == (name in THINKING)
    assert values["max_tokens"] == (8192 if name in THINKING else 1024)
    assert values.get("reasoning_effort") == ("none" if name == "mistral" else None)
    assert ("model" in values) == (name not in CHOSEN_BY_THE_USER)
    assert not {"requests_per_minute", "tokens_per_minute"} & set(values)


def test_gpt_4v_is_gpt_4o():
    """Until its end, the paper's preset asks gpt-4o; the successor of both is a preset that nobody removes."""
    one, other = values_of("gpt-4v"), values_of("gpt-4o")
    assert one.pop("description") != other.pop("description")
    assert load_model(one.pop("successor")).end_of_life is None
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


MODEL_TYPES = {
    "gemma-3-12b": "gemma3",
    "gemma-3-4b": "gemma3",
    "gemma-3n-e4b": "gemma3n",
    "gemma-4-12b": "gemma4_unified",
    "gemma-4-e4b": "gemma4",
    "glm-4.6v-flash": "glm4v",
    "iad-r1": "qwen2_5_vl",
    "idefics3": "idefics3",
    "internvl3-8b": "internvl",
    "internvl3.5-8b": "internvl",
    "lfm2-vl-3b": "lfm2_vl",
    "llava-1.5-7b": "llava",
    "llava-next": "llava_next",
    "llava-onevision-7b": "llava_onevision",
    "minicpm-v-4.6": "minicpmv4_6",
    "mistral-small-3.1": "mistral3",
    "mistral-small-4": "mistral3",
    "molmo2-8b": "molmo2",
    "pixtral-12b": "llava",
    "qwen2-vl-7b": "qwen2_vl",
    "qwen2.5-vl-3b": "qwen2_5_vl",
    "qwen2.5-vl-72b": "qwen2_5_vl",
    "qwen2.5-vl-7b": "qwen2_5_vl",
    "qwen3-vl-2b": "qwen3_vl",
    "qwen3-vl-30b-a3b": "qwen3_vl_moe",
    "qwen3-vl-4b": "qwen3_vl",
    "qwen3-vl-8b": "qwen3_vl",
    "qwen3.5-4b": "qwen3_5",
    "qwen3.5-9b": "qwen3_5",
    "smolvlm2": "smolvlm",
}
"""Local preset -> the model_type in its config.json."""
VLLM_ONLY = {"llama-4-scout": "Llama4ForConditionalGeneration", "minicpm-v-4.5": "MiniCPMV"}
"""Local preset that transformers cannot run -> its architecture in vLLM."""
FOLDERS = ("iad-r1",)
"""Local presets whose weights are a folder that the user names."""
LOCAL_MODELS = (*MODEL_TYPES, *VLLM_ONLY)


@pytest.mark.parametrize(("backend", "names"), [("transformers", MODEL_TYPES), ("vllm", VLLM_ONLY)])
def test_local_models_are_listed_here(backend, names):
    """Each preset that runs on this machine is in the table of its engine."""
    assert sorted(names) == [name for name in preset_names("models") if load_model(name).backend == backend]


@pytest.mark.heavy
def test_transformers_loads_each_local_model():
    """The installed transformers maps each model_type to a class that answers questions about pictures."""
    mapping = image_text_models()
    assert [name for name, kind in MODEL_TYPES.items() if kind not in mapping] == []


@pytest.mark.heavy
def test_vllm_serves_each_local_model():
    """The vLLM at hand knows the class of every local preset, so that engine=vllm takes each."""
    if (program := os.environ.get("LVLM_AD_TEST_VLLM") or program_path("vllm")) is None:
        pytest.skip("no vLLM: set LVLM_AD_TEST_VLLM to its program")
    mapping, served = image_text_models(), set(find_vllm(Path(program)).architectures())
    classes = {name: mapping[kind] for name, kind in MODEL_TYPES.items()} | VLLM_ONLY
    assert {name: one for name, one in classes.items() if one not in served} == {}


@pytest.mark.heavy
def test_transformers_cannot_run_what_only_vllm_runs():
    """Once the installed transformers can, this fails, and the preset's backend becomes transformers."""
    assert "minicpmv" not in image_text_models()
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    text = {"hidden_size": 32, "intermediate_size": 32, "intermediate_size_mlp": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 8, "pad_token_id": 0}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"projector_input_dim": 32, "projector_output_dim": 32, "vision_output_dim": 32, "image_size": 28}
    config = transformers.Llama4Config(text_config=text | {"num_local_experts": 2}, vision_config=vision)
    model = transformers.AutoModelForImageTextToText.from_config(config)
    with pytest.raises(AttributeError, match="image_outputs"):
        model(input_ids=torch.ones((1, 2), dtype=torch.long))


def image_text_models():
    """Model type -> name of the class, as the installed transformers maps it."""
    auto = pytest.importorskip("transformers.models.auto.modeling_auto")
    return auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


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
    assert sorted(table) == sorted(set(LOCAL_MODELS) - {*FOLDERS})
    for name, (hub, billions, memory) in table.items():
        options = load_model(name).options
        assert options["model"].split("/")[0] == hub.split("/")[0]
        # FP8 weights: half the bytes of the others.
        share = 0.5 if name == "mistral-small-4" else 1
        assert share * billions == pytest.approx(options["parameters"], abs=0.051)
        assert memory == pytest.approx(2 * 1.2 * options["parameters"], abs=0.51)


@pytest.mark.parametrize("name", LOCAL_MODELS)
def test_a_local_model_asks_for_nothing_dangerous(name):
    """A preset trusts no remote code, and its description names the licence."""
    preset = load_model(name)
    assert "trust_remote_code" not in preset.options
    assert re.search("licence|Apache 2.0|MIT", preset.description)


@pytest.mark.parametrize("name", LOCAL_MODELS)
def test_a_local_model_does_not_think(name):
    """Where a model can be told not to think, its preset tells it, and says so; its answer has 512 tokens."""
    preset = load_model(name)
    assert preset.options.get("chat", {}) in ({}, {"enable_thinking": False}, {"reasoning_effort": "none"})
    assert ("chat" in preset.options) == ("without thinking" in preset.description)
    assert preset.options["max_tokens"] == (1024 if name in FOLDERS else 512)


def test_a_convention_belongs_to_the_model(tmp_path):
    """It is dropped with the model for which it holds; where the user's replaces it, the question states the user's."""
    path = tmp_path / "m.toml"
    path.write_text('backend = "openai"\nmodel = "m"\nconvention = "unit_1"\n[prompts]\nboxes = "boxes-short"\n')

    def found(**settings):
        preset = find_model(str(path), settings)[0].preset
        return preset.convention, preset.state_convention, preset.prompts

    assert found() == found(convention="unit_1") == ("unit_1", False, {"boxes": "boxes-short"})
    assert found(model="n") == ("", False, {})
    assert found(model="n", convention="qwen3_1000") == ("qwen3_1000", False, {})
    assert found(convention="sent_pixels") == ("sent_pixels", True, {"boxes": "boxes-short"})
    assert found(convention="sent_pixels", state_convention="false") == ("sent_pixels", False, {"boxes": "boxes-short"})
    assert "convention" not in find_model("oracle", {})[1]


def test_a_preset_whose_weights_the_user_names_keeps_its_prompt():
    """IAD-R1 is asked its makers' own question, whatever its folder is called."""
    preset = find_model("iad-r1", {"model": "folder"})[0].preset
    assert (preset.options["model"], preset.prompts) == ("folder", {"yes-no": "yes-no-iad-r1"})
    assert load_prompt("yes-no-iad-r1").text.strip() == "${references}Are there any defects in the test image?"


@pytest.mark.parametrize("name", preset_names("models"))
def test_a_preset_names_a_convention_that_exists_and_says_where_it_is_documented(name):
    """A preset that names a model names a convention, with its source in a comment; that of a server does not."""
    preset = load_model(name)
    comments = [line for line in (CONFIGS / "models" / f"{name}.toml").read_text().split("\n") if line.startswith("# ")]
    if preset.kind == "baseline" or not preset.options.get("model"):
        assert preset.convention == ""
        return
    load_convention(preset.convention)
    assert any(line.startswith("# Boxes") for line in comments)
    assert not (preset.state_convention and preset.prompts)
    for prompt in preset.prompts.values():
        load_prompt(prompt)


def test_the_page_names_each_convention():
    """The table in docs/models.md has the convention of each preset of a chosen model, and says which are stated."""
    page = (CONFIGS.parent / "docs" / "models.md").read_text().partition("## How a model writes places")[2]
    rows = [line for line in page.partition("*Stated in the question*")[0].split("\n") if line.startswith("| `")]
    for preset in map(load_model, preset_names("models")):
        if preset.convention:
            (row,) = [row for row in rows if f"`{preset.name}`" in row]
            assert row.startswith(f"| `{preset.convention}`"), preset.name
            assert ("| stated in the question |" in row) == preset.state_convention, preset.name
