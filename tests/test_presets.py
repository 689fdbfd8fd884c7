import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.plugins import build, find_model, load_plugin, plugin_names
from lvlm_ad.presets import (
    Price,
    load_model,
    load_prompt,
    load_protocol,
    parse_settings,
    preset_names,
    published_rows,
)
from lvlm_ad.runs import METRIC_NAMES


def test_every_preset_of_the_package_is_valid():
    """Each protocol, prompt and model preset loads, has a description, and its plugin takes its options."""
    assert preset_names("prompts") == ["class", "general", "json", "reason", "types"]
    for name in preset_names("protocols"):
        assert load_protocol(name, {}).description
    for name in preset_names("prompts"):
        assert load_prompt(name).description
    for name in preset_names("models"):
        preset = load_model(name)
        plugin = load_plugin(preset.kind, preset.plugin)
        assert preset.description
        assert set(preset.options) <= set(plugin.Options.model_fields)


def test_the_paper_protocol_has_the_published_settings():
    """768 x 768, 60 segments, compactness 20, areas from 600 to 120,000, borders of 1 px, numbers of 10 px on grey."""
    paper = load_protocol("paper", {})
    assert (paper.image_size, paper.n_segments, paper.compactness) == (768, 60, 20.0)
    assert (paper.min_area, paper.max_area) == (600, 120_000)
    assert (paper.border_width, paper.number_size, paper.number_style) == (1, 10, "grey")


def test_published_rows_are_those_of_the_papers():
    """GPT-4V-AD and WinCLIP on both data sets, each with its source."""
    rows = {(row["model"], row["dataset"]): row for row in published_rows()}
    assert rows["GPT-4V-AD", "mvtec"]["image_auroc"] == 77.1
    assert rows["GPT-4V-AD", "visa"]["pixel_auroc"] == 76.6
    assert rows["WinCLIP (zero-shot)", "visa"]["pixel_aupro"] == 56.8
    assert len(rows) == 4
    for row in rows.values():
        assert row["source"]
        assert set(row) - {"model", "dataset", "source"} <= set(METRIC_NAMES)


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
    with pytest.raises(ConfigError, match=r"protocol default, setting image_size: .*16; got 3"):
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
    with pytest.raises(ConfigError, match="either a backend or a baseline; it names none"):
        find_model(str(tmp_path / "none.toml"), {})


def test_an_unknown_price_is_unknown():
    """Without a price or a count the cost is None, never 0."""
    assert Price().cost(10, 0, 10) is None
    assert Price(price_input=1.0).cost(10, 0, 10) is None
    assert Price(price_input=1.0, price_output=2.0).cost(None, None, 10) is None
    assert Price(price_input=1.0, price_output=2.0).cost(10**6, None, 10**6) == 3.0


def test_plugins_are_found_by_entry_point():
    """The backends and baselines of this repository are among those installed."""
    assert {"openai", "scripted"} <= set(plugin_names("backend"))
    assert {"chance", "contrast", "oracle"} <= set(plugin_names("baseline"))
