"""What a local model brings with it, and what of that may decide its answers."""

import json
import shutil
from importlib.util import find_spec

import pytest

from lvlm_ad.backend import Picture, Request
from lvlm_ad.errors import ConfigError, FatalError, RejectedError

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "transformers", "accelerate")),
        reason="the extra 'local' (torch, transformers, accelerate) is not installed",
    ),
]


@pytest.fixture
def folder(tiny_lvlm, tmp_path):
    """A copy of a tiny LLaVA that a test may change."""
    return shutil.copytree(tiny_lvlm("llava"), tmp_path / "llava")


@pytest.fixture
def backend():
    """Build a backend on a folder; all are closed at the end."""
    from lvlm_ad_backends.transformers import TransformersBackend, TransformersOptions

    built = []

    def build(folder, **options):
        built.append(TransformersBackend(TransformersOptions(model=str(folder), device="cpu", **options)))
        return built[-1]

    yield build
    for one in built:
        one.close()


@pytest.fixture
def request_(photo):
    """A question with a picture."""
    return Request((Picture.from_pixels(photo[:96, :128]),), "Is there any defect?", {"n_regions": 3})


def settings_of(folder, **values):
    path = folder / "generation_config.json"
    held = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**held, **values}))


def test_a_models_own_generation_settings_change_nothing(backend, folder, request_):
    """Penalties, forbidden tokens, sampling, a time limit, several sequences: the answer is as without them."""
    plain = backend(folder, max_tokens=30).answer(request_)
    settings_of(
        folder,
        no_repeat_ngram_size=2,
        encoder_repetition_penalty=5.0,
        repetition_penalty=3.0,
        suppress_tokens=list(range(20, 60)),
        exponential_decay_length_penalty=[1, 5.0],
        max_time=0.001,
        do_sample=True,
        temperature=2.0,
        num_return_sequences=3,
        stop_strings=["e"],
        return_dict_in_generate=True,
        forced_eos_token_id=2,
    )
    again = backend(folder, max_tokens=30).answer(request_)
    assert (again.text, again.outcome, again.usage) == (plain.text, plain.outcome, plain.usage)


def test_tokens_that_end_an_answer_are_the_models_own(backend, folder, request_):
    """Each end token of the generation settings ends an answer; a damaged settings file is an error."""
    answer = backend(folder, max_tokens=12).answer(request_)
    first = backend(folder, max_tokens=1).answer(request_)
    assert answer.outcome == "truncated"
    model = backend(folder, max_tokens=12)
    token = model._start()[0].generate(model._start()[0].prepare([request_]))[0][0].ids[0]
    settings_of(folder, eos_token_id=[2, token])
    ended = backend(folder, max_tokens=12).answer(request_)
    assert ended.usage.output_tokens == 1
    assert ended.outcome != "truncated" == first.outcome
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(FatalError, match=r"generation_config\.json"):
        backend(folder).answer(request_)


def test_scores_that_are_no_numbers_are_no_answer(backend, folder, request_):
    """A model with NaN weights rejects each question, with and without a forced format."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    weights = {name: value * float("nan") if "norm" in name else value for name, value in weights.items()}
    save_file(weights, path, {"format": "pt"})
    options = [{}] if find_spec("xgrammar") is None else [{}, {"constrain": True}]
    for option in options:
        with pytest.raises(RejectedError, match=r"scores are not numbers as torch\.float32"):
            backend(folder, **option).answer(request_)


def test_a_question_that_does_not_fit_is_rejected(backend, folder, request_):
    """A question that leaves no room for the longest answer in the model's context is rejected, not cut."""
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 300
    (folder / "config.json").write_text(json.dumps(config))
    assert backend(folder, max_tokens=5).answer(request_).usage.input_tokens > 200
    with pytest.raises(RejectedError, match=r"answer of up to 200 do not fit into the 300 of the model"):
        backend(folder, max_tokens=200).answer(request_)


def test_code_of_a_model_is_part_of_what_it_is(backend, folder):
    """Edited code is another model; a processor that needs code names the option trust_remote_code."""
    before = backend(folder).identity()["weights"]
    (folder / "processing_x.py").write_text("x = 1\n")
    changed = backend(folder).identity()["weights"]
    (folder / "processing_x.py").write_text("x = 2\n")
    assert len({before, changed, backend(folder).identity()["weights"]}) == 3
    path = folder / "processor_config.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps({**held, "auto_map": {"AutoProcessor": "processing_x.X"}, "processor_class": "X"}))
    with pytest.raises((ConfigError, FatalError), match="set trust_remote_code=true"):
        backend(folder).answer(Request((), "hello"))


def test_a_folder_has_no_revision(backend, folder):
    """A revision together with a folder is an error."""
    with pytest.raises(ConfigError, match="has no revisions"):
        backend(folder, revision="main").identity()


def test_a_batchs_seconds_are_shared(backend, folder, photo):
    """The seconds of all answers of a batch add up to the device's busy time."""
    from concurrent.futures import ThreadPoolExecutor

    asked = backend(folder, max_tokens=8, batch_size=4)
    requests = [Request((Picture.from_pixels(photo[:96, :128]),), f"Question {n}", {}) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(asked.answer, requests))
    total = sum(answer.seconds for answer in answers)
    assert 0 < total <= asked.statistics.busy
    assert asked.statistics.batches < 8


def test_another_models_size_is_not_the_presets(folder):
    """A preset's parameter count and revision go with its model, so that a small folder is not refused for its size."""
    from lvlm_ad.plugins import build, find_model

    model, _ = find_model("qwen2.5-vl-72b", {"model": str(folder), "device": "cpu"})
    assert "parameters" not in model.preset.options
    built = build(model)
    assert built.needs() == ""
    assert built.environment()["device"] == "cpu"
    built.close()


def test_what_costs_nothing_is_not_held_back(lvlm_ad_command, small_data, tiny_lvlm):
    """A local model is free: a dry run shows no cost and no time, and --max-cost 0 allows its questions."""
    asked = ("bench", "--model", "transformers", "--no-frame", "--data", small_data, "--limit", 1, "--json")
    asked = (*asked, "--set", f"model={tiny_lvlm('llava')}", "--set", "device=cpu", "--set", "max_tokens=15")
    (forecast,) = json.loads(lvlm_ad_command(*asked, "--dry-run").stdout)["forecast"]
    assert forecast["cost_usd"] == forecast["at_most_usd"] == 0.0
    assert forecast["output_tokens"] == 2 * 15
    assert forecast["seconds"] is None
    done = lvlm_ad_command(*asked, "--max-cost", 0)
    (run,) = json.loads(done.stdout)["runs"]
    assert run["metrics"]["answers"]["unasked"] == 0
    assert run["metrics"]["usage"]["cost_usd"] == 0.0
    (forecast,) = json.loads(lvlm_ad_command(*asked, "--limit", 2, "--dry-run").stdout)["forecast"]
    assert forecast["seconds"] > 0
