"""Models in this process: the real classes and processors, with tiny random weights."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from io import BytesIO
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Picture, Request
from lvlm_ad.errors import ConfigError, FatalError, RejectedError
from lvlm_ad.text2seg import parse, read

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "transformers", "accelerate")),
        reason="the extra 'local' (torch, transformers, accelerate) is not installed",
    ),
]

MODELS = ("llava", "qwen2_5_vl", "qwen3_vl", "internvl", "smolvlm", "idefics3", "gemma3")
needs_xgrammar = pytest.mark.skipif(find_spec("xgrammar") is None, reason="the extra 'constrain' is not installed")


@pytest.fixture
def backend(tiny_lvlm):
    """Build a backend on a tiny model; all are closed at the end."""
    from lvlm_ad_backends.transformers import TransformersBackend, TransformersOptions

    built = []

    def build(name="llava", **options):
        folder = tiny_lvlm(name) if isinstance(name, str) else name
        settings = {"max_tokens": 24, "device": "cpu", **options}
        built.append(TransformersBackend(TransformersOptions(model=str(folder), **settings)))
        return built[-1]

    yield build
    for one in built:
        one.close()


def question(number, n_regions=5, **options):
    """A question whose picture and text depend on its number."""
    pixels = np.random.default_rng(number).integers(0, 255, (96 + 40 * (number % 3), 128, 3), dtype=np.uint8)
    text = f"Question {number}. " + "Is there any defect? " * (1 + number % 4)
    return Request((Picture.from_pixels(pixels),), text, {"format": "text", "n_regions": n_regions, **options})


def ask_all(backend, requests):
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(backend.answer, requests))


@pytest.mark.parametrize("name", MODELS)
def test_batched_answers_equal_single_answers(backend, name):
    """In float32 without sampling, neither the other questions of a batch nor the padding change an answer."""
    requests = [question(number) for number in range(6)]
    single, batched = backend(name, batch_size=1), backend(name, batch_size=6)
    alone = [single.answer(request) for request in requests]
    together = ask_all(batched, requests)
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert [answer.usage for answer in together] == [answer.usage for answer in alone]
    assert (single.statistics.batches, batched.statistics.batches) == (6, 1)
    assert len({answer.text for answer in alone}) > 1


@pytest.mark.parametrize("name", MODELS)
def test_a_question_without_pictures_is_answered(backend, name):
    """With withhold=image there may be none; the answer depends on the text alone, in a batch as by itself."""
    requests = [Request((), f"What is wrong with part {number}?") for number in range(3)]
    asked = backend(name, batch_size=3)
    together = ask_all(asked, requests)
    assert [answer.text for answer in together] == [asked.answer(request).text for request in requests]
    assert all(answer.usage.input_tokens < 100 for answer in together)


def test_several_threads_prepare_at_once(backend):
    """Questions of different lengths, prepared by several threads at once, give the tensors that one thread gives."""
    model, _ = backend("qwen2_5_vl")._start()
    batches = [[question(number + at) for at in range(2)] for number in range(12)]
    one_by_one = [model.prepare(batch).inputs for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        at_once = [prepared.inputs for prepared in pool.map(model.prepare, batches)]
    for one, other in zip(one_by_one, at_once, strict=True):
        assert one.keys() == other.keys()
        assert all(one[name].equal(other[name]) for name in one)


def test_a_batch_decides_nothing_about_what_is_drawn(backend):
    """With a temperature, an answer depends on question and seed, not on the batch."""
    requests = [question(number) for number in range(5)]
    alone = [backend(batch_size=1, temperature=1.0).answer(request).text for request in requests]
    together = ask_all(backend(batch_size=5, temperature=1.0), requests)
    assert [answer.text for answer in together] == alone
    other = ask_all(backend(batch_size=5, temperature=1.0, seed=1), requests)
    assert all(one.text != two for one, two in zip(other, alone, strict=True))


def test_draws_follow_the_probabilities():
    """Over many streams, sampled tokens follow the softmax at the temperature."""
    import torch
    from lvlm_ad_backends.transformers.decoding import Recorder, Sampler

    logits, temperature, rows = torch.tensor([2.0, 1.0, 0.0, -1.0]), 0.7, 20_000
    requests = [Request((), str(number)) for number in range(rows)]
    record, before, places = Recorder(), torch.zeros(rows, 1), logits.repeat(rows, 1)
    draw = Sampler(temperature, 3, requests, torch.device("cpu"), record)
    scores = draw(before, record(before, places))
    drawn = scores.argmax(dim=-1)
    shares = torch.bincount(drawn, minlength=4) / rows
    # What was drawn is written down, with its own probability.
    assert record.steps[0][0][:, -1].equal(drawn)
    assert record.steps[0][1][:, -1].numpy() == pytest.approx(
        torch.log_softmax(logits, dim=-1)[drawn].numpy(), abs=1e-6
    )
    assert shares.numpy() == pytest.approx(torch.softmax(logits / temperature, dim=-1).numpy(), abs=0.012)


def test_only_the_new_tokens_are_the_answer(backend, tiny_lvlm, tmp_path):
    """The answer is the new text without special tokens; its outcome and its tokens are right."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = shutil.copytree(tiny_lvlm("llava"), tmp_path / "llava")
    request = question(1)
    # Random weights never end by themselves: a token that they write late for the first time is made one that ends.
    written, _ = backend(folder, max_tokens=12)._start()[0].generate(backend(folder)._start()[0].prepare([request]))
    late = max(written[0].ids, key=written[0].ids.index)
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": [2, late]}))
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    image = Image.open(BytesIO(request.images[0].data)).convert("RGB")
    parts = [{"type": "image", "image": image}, {"type": "text", "text": request.text}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        add_generation_prompt=True,
    )
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=200, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    expected = processor.decode(output[:-1], skip_special_tokens=True)
    whole = backend(folder, max_tokens=200).answer(request)
    assert (whole.text, whole.outcome, whole.detail) == (expected.rstrip("\ufffd"), "ok", "stop")
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (inputs["input_ids"].shape[1], len(output))
    most = len(output) - 1
    assert 1 < most < 12
    cut = backend(folder, max_tokens=most).answer(request)
    assert (cut.outcome, cut.detail, cut.usage.output_tokens) == ("truncated", "length", most)
    assert whole.text.startswith(cut.text)
    assert whole.seconds > 0


def test_a_character_that_was_cut_in_two_is_left_out(backend):
    """An answer whose last token is the first byte of a character ends before it, as with the engines that wait."""
    import torch
    from lvlm_ad_backends.transformers.model import Output

    model, _ = backend()._start()
    ids = model._tokenizer.encode("0.9 µ", add_special_tokens=False)
    assert model._tokenizer.decode(ids[:-1]) == "0.9 \ufffd"
    likely = torch.tensor(ids)[:, None], torch.full((len(ids), 1), -0.1)
    texts = [model.answer(Output(some, likely, length=9, seconds=0.1)).text for some in (ids, ids[:-1])]
    assert texts == ["0.9 µ", "0.9 "]


@needs_xgrammar
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
@pytest.mark.parametrize("n_regions", [0, 1, 12])
def test_a_held_answer_can_always_be_read(backend, name, n_regions):
    """A forced answer has the format, existing regions, and scores in [0, 1], whatever the model."""
    from lvlm_ad.backend.formats import answer_pattern

    held = backend(name, constrain=True, max_tokens=400)
    for answer in ask_all(held, [question(number, n_regions) for number in range(4)]):
        assert answer.outcome == "ok"
        assert re.fullmatch(answer_pattern(n_regions), answer.text)
        assert answer.text.isascii()
        scores = parse(answer.text, n_regions)
        assert scores.usable
        assert set(scores.regions) <= set(range(1, n_regions + 1))


@needs_xgrammar
def test_a_question_without_a_format_is_answered_freely(backend):
    """In the same batch, one answer is forced into its format, and that to a method without a format is free text."""
    from lvlm_ad.backend import Request

    free = Request(question(1, 5).images, "Where are defects?", {"format": "text"})
    forced = backend("qwen2_5_vl", constrain=True, max_tokens=40)
    held, answer = ask_all(forced, [question(0, 5), free])
    assert held.text.startswith("image anomaly score")
    assert answer.text.strip()
    assert not answer.text.startswith("image")


@needs_xgrammar
def test_a_held_answer_keeps_the_order_of_its_schema(backend):
    """The fields come in the order of the schema, as at an endpoint: a reason may precede its score."""
    fields = {name: {"enum": ["x", "y"]} for name in ("reason", "anomaly")}
    schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    answer = backend("qwen2_5_vl", constrain=True).answer(question(1, format="json", schema=schema))
    assert list(json.loads(answer.text)) == ["reason", "anomaly"]


@needs_xgrammar
def test_a_held_answer_keeps_its_schema(backend):
    """A forced JSON answer follows its own question's schema, also in a batch."""
    from lvlm_ad.prompts.question import answer_schema

    held = backend("qwen2_5_vl", constrain=True, max_tokens=600)
    assert held.capabilities.schema
    counts = [2, 5, 9]
    requests = [question(n, n, format="json", schema=answer_schema(n)) for n in counts]
    for count, answer in zip(counts, ask_all(held, requests), strict=True):
        found = json.loads(answer.text)
        assert set(found) == {"image_anomaly_score", "regions"}
        assert all(1 <= entry["region"] <= count for entry in found["regions"])
        assert parse(answer.text, count).usable


def test_too_little_memory_loses_nothing(backend, monkeypatch):
    """If only three questions fit into memory, all are answered once, with the same answers as alone."""
    import torch
    from transformers import LlavaForConditionalGeneration

    fits, sizes = LlavaForConditionalGeneration.generate, []

    def generate(self, **inputs):
        if len(inputs["input_ids"]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore lines")
        sizes.append(len(inputs["input_ids"]))
        return fits(self, **inputs)

    requests = [question(number) for number in range(20)]
    alone = [backend(batch_size=1).answer(request).text for request in requests]
    monkeypatch.setattr(LlavaForConditionalGeneration, "generate", generate)
    tight = backend(batch_size=16)
    assert [answer.text for answer in ask_all(tight, requests)] == alone
    assert sum(sizes) == 20
    assert tight.statistics.retried >= 2


def test_a_question_for_which_there_is_no_memory_at_all(backend, monkeypatch):
    """A question that does not fit alone ends the run with one clear line."""
    import torch
    from transformers import LlavaForConditionalGeneration

    def generate(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore lines")

    monkeypatch.setattr(LlavaForConditionalGeneration, "generate", generate)
    with pytest.raises(FatalError, match=r"One question alone does not fit .* Tried to allocate 2\.00 GiB\.$"):
        backend(batch_size=4).answer(question(0))


def test_one_bad_question_fails_alone(backend):
    """A picture that cannot be decoded is rejected; the others of its batch are answered."""
    bad = Request((Picture(b"no picture", "image/png", "0"),), "q", {"format": "text", "n_regions": 1})
    asked = backend(batch_size=4)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(asked.answer, request) for request in (question(0), bad, question(1), question(2))]
        with pytest.raises(RejectedError, match="UnidentifiedImageError"):
            answers.pop(1).result(60)
        assert all(answer.result(60).text for answer in answers)


def test_the_identity_is_the_weights(backend, tiny_lvlm, tmp_path):
    """A moved folder is the same model, other weights are another; batch size and attention do not matter."""
    folder = tmp_path / "elsewhere" / "llava"
    shutil.copytree(tiny_lvlm("llava"), folder)
    here = backend().identity()
    assert backend(folder, batch_size=7, attention="eager", parameters=0.001).identity() == here
    assert here["dtype"] == "float32"
    assert str(tmp_path) not in json.dumps(backend(folder).identity())
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert backend(folder).identity() != here
    assert backend(max_tokens=25).identity() != here


def test_what_cannot_be_loaded_is_said_in_one_line(backend, tmp_path):
    """A text model, an unknown type and a model with its own code are clear errors."""
    from transformers import LlamaConfig, LlamaForCausalLM

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = tmp_path / "text"
    LlamaForCausalLM(LlamaConfig(vocab_size=32, **small)).save_pretrained(text)
    with pytest.raises(ConfigError, match=r"is a llama, which transformers .* does not load as a model that answers"):
        backend(text).identity()
    config = json.loads((text / "config.json").read_text())
    (text / "config.json").write_text(json.dumps({**config, "model_type": "brand_new"}))
    with pytest.raises(ConfigError, match="brand_new"):
        backend(text).identity()
    own = {**config, "model_type": "brand_new", "auto_map": {"AutoConfig": "configuration.Own"}}
    (text / "config.json").write_text(json.dumps(own))
    (text / "configuration.py").write_text("raise SystemExit('run without being asked')")
    with pytest.raises(ConfigError, match=r"needs the code that comes with it.*trust_remote_code=true"):
        backend(text).identity()


def test_damaged_or_foreign_weights_are_not_used(backend, tiny_lvlm, tmp_path):
    """Truncated or incomplete weights end the run."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "llava"
    shutil.copytree(tiny_lvlm("llava"), folder)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in sorted(weights) if "vision" in name)
    save_file({name: value for name, value in weights.items() if name != lost}, folder / "model.safetensors")
    with pytest.raises(FatalError, match=r"lacks 1 of the model's weights, such as .*; they would be random\."):
        backend(folder).answer(question(0))
    (folder / "model.safetensors").write_bytes(b"\x10" * 100)
    with pytest.raises(FatalError, match="cannot be loaded: "):
        backend(folder).answer(question(0))


def test_a_batch_size_is_a_number_or_auto(backend):
    """Other batch sizes are refused with the accepted values."""
    for size in (0, -1, "many"):
        with pytest.raises(ValueError, match="it must be auto or a number from 1"):
            backend(batch_size=size)
    assert backend(batch_size="3").capabilities.concurrency == 6


def test_without_a_chat_template_nothing_is_asked(backend, tiny_lvlm, tmp_path):
    """Without a chat template every question fails with the same clear error."""
    folder = tmp_path / "llava"
    shutil.copytree(tiny_lvlm("llava"), folder)
    (folder / "chat_template.jinja").unlink()
    asked = backend(folder)
    for _ in range(2):
        with pytest.raises(FatalError, match="holds no chat template"):
            asked.answer(question(0))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "cuda:99"}, "has no cuda|There is no device"),
        ({"device": "toaster"}, "There is no device 'toaster'"),
        ({"parameters": 100_000}, r"needs about \d+ GB as float32, and cpu has \d+ GB free"),
        ({"quantize": "4bit"}, "needs a CUDA GPU"),
    ],
)
def test_what_this_machine_lacks_is_said_before_anything_is_fetched(backend, options, says):
    """A missing device or too little memory is an error before the model is looked for."""
    with pytest.raises(ConfigError, match=says):
        backend("llava", **options)


def test_a_model_that_is_not_here(backend, tmp_path, monkeypatch):
    """Offline, the error for a hub name says what to do; that for a folder names the missing file."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"nobody/nothing is not on this machine .* 'hf download nobody/nothing"):
        backend(PurePosixPath("nobody/nothing")).identity()
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        backend(tmp_path).identity()


def bench(command, data, folder, *more, limit=2):
    settings = [f"model={folder}", "max_tokens=40", "device=cpu"]
    return command(
        *("bench", "--model", "transformers", "--no-frame", "--data", data, "--limit", limit, "--json"),
        *(part for setting in settings for part in ("--set", setting)),
        *more,
    )


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_the_whole_bench(lvlm_ad_command, small_data, tiny_lvlm, tmp_path, name):
    """A bench counts random answers by outcome, asks nothing the second time, and records the weights."""
    done = bench(lvlm_ad_command, small_data, tiny_lvlm(name))
    assert done.returncode == 3, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    answers = run["metrics"]["answers"]
    assert (answers["total"], answers["failed"]) == (4, 0)
    usage = run["metrics"]["usage"]
    assert usage["input_tokens"] > 4 * 100
    assert usage["cost_usd"] == 0.0
    assert "Traceback" not in done.stderr
    again = bench(lvlm_ad_command, small_data, tiny_lvlm(name))
    assert "(4 stored" in again.stderr
    manifest = json.loads((tmp_path / run["dir"] / "run.json").read_text())
    assert len(manifest["model"]["identity"]["weights"]) == 64
    assert "torch" in manifest["versions"]


@needs_xgrammar
def test_the_whole_bench_held_to_the_format(lvlm_ad_command, small_data, tiny_lvlm):
    """Every image has a usable answer, also with the JSON prompt."""
    for more in ((), ("--prompt", "json")):
        settings = ("--set", "constrain=true", "--set", "max_tokens=900", "--set", "n_segments=12")
        done = bench(lvlm_ad_command, small_data, tiny_lvlm("qwen2_5_vl"), *settings, *more)
        assert done.returncode == 0, done.stderr
        answers = json.loads(done.stdout)["runs"][0]["metrics"]["answers"]
        assert answers["usable"] == answers["total"] == 4


@pytest.mark.gpu
def test_on_a_gpu(backend):
    """bfloat16 on CUDA: all questions are answered, in batches that grow."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    asked = backend("qwen2_5_vl", device="cuda", batch_size="auto")
    assert asked.identity()["dtype"] == "bfloat16"
    answers = ask_all(asked, [question(number) for number in range(64)])
    assert all(answer.usage.output_tokens for answer in answers)
    assert asked.statistics.batches < 16
    assert read(answers[0], 5).status in {"ok", "partial", "unparsable", "truncated"}


@needs_xgrammar
def test_expected_scores_equal_a_hand_computation_from_the_logits(backend):
    """Expected scores equal those computed by hand from the model's raw scores."""
    import torch

    held = backend("gemma3", constrain=True, max_tokens=60)
    checked = 0
    for number in range(12):
        request = question(number, 0)
        answer = held.answer(request)
        written = re.fullmatch(r"image anomaly score: (0\.[0-9]+)\.", answer.text)
        if written is None:
            continue
        model = held._model
        prepared = model.prepare([request])
        output = model._model.generate(
            **prepared.inputs,
            max_new_tokens=60,
            do_sample=False,
            repetition_penalty=1.0,
            logits_processor=[model._grammars.processor([request])],
            output_logits=True,
            return_dict_in_generate=True,
        )
        new = output.sequences[0, prepared.inputs["input_ids"].shape[1] :].tolist()
        pieces = [model._tokenizer.decode([token]) for token in new]
        point = pieces.index(".")
        space = pieces[point - 1].removesuffix("0")
        if [pieces[point - 1].strip(), *pieces[point + 1 : -2]] != ["0", *written[1][2:]]:
            continue  # several digits in one token: another formula

        def share(place, texts, output=output, model=model):
            """Their probabilities among themselves, from the raw scores alone."""
            ids = [model._tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
            assert all(len(one) == 1 for one in ids)
            return torch.softmax(output.logits[place][0, [one[0] for one in ids]].double(), dim=0).tolist()

        zero, one = share(point - 1, [f"{space}0", f"{space}1"])
        decimals = 0.0
        for place in range(1, len(written[1]) - 1):
            shares = share(point + place, list("0123456789"))
            decimals += sum(p * digit for digit, p in enumerate(shares)) / 10**place
        scores = read(answer, 0, scoring="expected")
        assert scores.image == pytest.approx(one + zero * decimals, abs=1e-5)
        assert scores.image != read(answer, 0).image == float(written[1])
        checked += 1
    assert checked >= 2


def test_the_first_token_has_its_alternatives_and_their_probabilities(backend):
    """The twenty most likely tokens stand beside it, with the probabilities of the step that chose it."""
    import torch

    asked = backend("qwen2_5_vl", max_tokens=4)
    steps = []
    for number in range(6):
        answer = asked.answer(question(number))
        if answer.first is None:
            continue
        model = asked._model
        inputs = model.prepare([question(number)]).inputs
        made = model._model.generate(
            **inputs, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        written = [model._tokenizer.decode([one]) for one in made.sequences[0, inputs["input_ids"].shape[1] :]]
        # Where the answer begins with a part of a character, the first token is not that of the first step.
        step = written.index(answer.first.text)
        assert all("\ufffd" in one for one in written[:step])
        best = torch.log_softmax(made.logits[step][0].float(), dim=-1).topk(20).values.tolist()
        assert sorted((value for _, value in answer.first.alternatives), reverse=True) == pytest.approx(best, abs=1e-5)
        steps.append(step)
    assert 0 in steps


def test_a_repeated_question_is_sampled_anew(backend):
    """With a temperature, the number of the repeat decides the sample; without, all repeats have the same answer."""
    asked = backend(temperature=1.0)
    texts = [asked.answer(question(0, **options)).text for options in ({}, {"repeat": 1}, {"repeat": 2}, {"repeat": 1})]
    assert len(set(texts)) == 3
    assert texts[1] == texts[3]
    greedy = backend()
    assert len({greedy.answer(question(0, **options)).text for options in ({}, {"repeat": 1}, {"repeat": 2})}) == 1


def test_special_tokens_are_kept_on_request(backend):
    """keep_special_tokens=true keeps them in the answer and its tokens, except the end of the turn."""
    import torch
    from lvlm_ad_backends.transformers.model import Output

    texts = {}
    for keep in (True, None):
        model, _ = backend("qwen2_5_vl", keep_special_tokens=keep)._start()
        special = next(token for token in model._tokenizer.all_special_ids if token not in model._ends)
        ids = [special, *model._tokenizer.encode("Yes", add_special_tokens=False), special, *model._ends][:12]
        alternatives = (torch.tensor(ids)[:, None], torch.full((len(ids), 1), -0.1))
        answer = model.answer(Output(ids, alternatives, 1, 1.0))
        texts[keep] = answer.text.strip()
        assert model._tokenizer.decode([special]) in answer.text or not keep
        assert answer.first is not None
        assert answer.text.strip().removeprefix(model._tokenizer.decode([special])).startswith(answer.first.text)
    assert texts[True] == f"{model._tokenizer.decode([special])}Yes{model._tokenizer.decode([special])}"
    assert texts[None] == "Yes"


@needs_xgrammar
@pytest.mark.parametrize("method", ["boxes", "cells", "each", "pairs", "points", "score", "votes", "yes-no", "zoom"])
def test_every_method_asks_a_local_model_in_batches(small_data, tiny_lvlm, tmp_path, monkeypatch, method):
    """Batched answers give the same findings as single ones, also where a method asks several questions or rounds."""
    import lvlm_ad
    from lvlm_ad.runs import read_run

    monkeypatch.chdir(tmp_path)
    settings = {
        "model": str(tiny_lvlm("qwen2_5_vl")),
        "device": "cpu",
        "max_tokens": 60,
        "constrain": True,
        "image_size": 96,
        "grid_rows": 2,
        "grid_columns": 2,
        "division": "grid",
        "min_area": 0,
        **({"convention": "unit_1"} if method in {"boxes", "points"} else {}),
        **({"zoom_budget": 2, "zoom_pieces": 2} if method == "zoom" else {}),
    }

    def records(batch_size):
        (run,) = lvlm_ad.bench(
            models="transformers",
            data=small_data,
            limit=1,
            method=method,
            resamples=0,
            settings={**settings, "batch_size": batch_size},
            reference_rows=False,
            out=tmp_path / str(batch_size),
        )
        return [
            (one.image_score, one.text, one.shapes, one.regions, one.status) for one in read_run(run.dir).predictions
        ]

    alone = records(1)
    assert records(6) == alone
    assert all(text for _, text, *_ in alone)
