"""From the day on which a provider removes a model, its preset asks the successor that it names, and says so."""

from datetime import date, timedelta

import pytest

from lvlm_ad.plugins import build, end_in_words, find_model, whom_it_asks
from lvlm_ad.presets import load_model

END = date(2027, 1, 14)
BEFORE = END - timedelta(days=1)
KEYLESS = {"api_key_env": ""}


def identity(name, day, **settings):
    """What a stored answer of a model is found by, as of a day."""
    backend = build(find_model(name, KEYLESS | settings, today=day)[0])
    backend.close()
    return backend.identity()


def test_until_that_day_nothing_changes():
    """gpt-4v asks what gpt-4o asks, under the same key."""
    model, _ = find_model("gpt-4v", {}, today=BEFORE)
    assert (model.former, model.label, model.preset.options["model"]) == (None, "", "gpt-4o")
    assert identity("gpt-4v", BEFORE) == identity("gpt-4o", BEFORE)
    assert whom_it_asks(model, BEFORE) == (
        "asks gpt-4o at https://api.openai.com/v1; the provider removes this model on 2027-01-14, and gpt-4v then asks "
        "gpt-6-luna."
    )


def test_from_that_day_on_the_successor_is_asked():
    """Everything but the name is the successor's: options, prices, convention, key; the label tells the rows apart."""
    model, _ = find_model("gpt-4v", {}, today=END)
    luna = load_model("gpt-6-luna")
    assert model.preset == luna.model_copy(update={"name": "gpt-4v"})
    assert (model.label, model.former.options["model"]) == ("gpt-6-luna", "gpt-4o")
    assert identity("gpt-4v", END) == identity("gpt-6-luna", END) != identity("gpt-4v", BEFORE)
    assert whom_it_asks(model, END) == (
        "asks gpt-6-luna at https://api.openai.com/v1; the provider removed gpt-4o on 2027-01-14 (its stored answers: "
        "--set model=gpt-4o)."
    )


@pytest.mark.parametrize("settings", [{"model": "gpt-4o"}, {"base_url": "http://127.0.0.1:9/v1"}], ids=str)
def test_a_user_who_names_the_model_or_the_endpoint_gets_it(settings):
    """The stored answers of the removed model stay within reach, and a server of one's own may still have it."""
    model, _ = find_model("gpt-4v", settings, today=END)
    assert (model.former, model.preset.options["model"]) == (None, "gpt-4o")
    assert identity("gpt-4v", END, **settings) == identity("gpt-4v", BEFORE, **settings)
    removed = "the provider removed this model on 2027-01-14"
    assert end_in_words(model, END) == (removed if "model" in settings else "")


def test_a_preset_without_a_successor_keeps_its_model():
    """gpt-5 has none: it is asked in vain, and the first line says why."""
    model, _ = find_model("gpt-5", {}, today=END)
    assert (model.former, model.preset.options["model"]) == (None, "gpt-5")
    assert end_in_words(model, END) == "the provider removed this model on 2026-12-11"
