"""Models on vLLM: the setting ``engine``, what identifies them, what is refused, and how the log is read."""

import json
import os
import sys
from pathlib import Path

import pytest
from lvlm_ad_backends.vllm import VllmBackend, VllmOptions
from lvlm_ad_backends.vllm.command import check_model, tensor_parallel
from lvlm_ad_backends.vllm.installation import Installation, find_vllm, visible_gpus
from lvlm_ad_backends.vllm.logs import last_line, reason

from lvlm_ad.backend import Request
from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError
from lvlm_ad.plugins import find_model
from lvlm_ad.presets import load_model, preset_names, validated

QUESTION = Request((), "Is it broken?")


def test_the_engine_is_a_setting(served_model):
    """A preset of transformers runs on vLLM, with the same options; other models have no such setting."""
    model, known = find_model("qwen3-vl-8b", {"engine": "vllm"})
    assert (model.plugin.cls, model.preset.plugin, model.label) == (VllmBackend, "vllm", "vllm")
    assert model.preset.options["model"] == "Qwen/Qwen3-VL-8B-Instruct"
    assert model.preset.convention == "qwen3_1000"
    assert {"engine", "gpu_memory"} <= known
    other = find_model("qwen3-vl-8b", {})[0]
    assert (other.preset.plugin, other.label) == ("transformers", "")
    assert find_model("transformers", {"engine": "vllm", "model": str(served_model)})[0].preset.plugin == "vllm"
    assert "engine" not in find_model("gpt-4o", {})[1]
    with pytest.raises(ConfigError, match=r"engine is transformers or vllm; got 'vlm'. Did you mean 'vllm'"):
        find_model("qwen3-vl-8b", {"engine": "vlm"})


def test_every_preset_of_transformers_suits_vllm():
    """Its options are options of vLLM too, so that the engine is the only thing to change."""
    presets = [load_model(name) for name in preset_names("models")]
    shared = [one for one in presets if one.backend == "transformers"]
    assert len(shared) > 20
    for preset in shared:
        validated(VllmOptions, {**preset.options, "model": "a/b"}, preset.name)


def test_a_preset_file_names_the_engine(tmp_path):
    """A preset of the user's own chooses the engine, and the command line another."""
    file = tmp_path / "mine.toml"
    file.write_text('backend = "transformers"\nengine = "vllm"\nmodel = "a/b"\n')
    assert find_model(str(file), {})[0].preset.plugin == "vllm"
    assert find_model(str(file), {"engine": "transformers"})[0].preset.plugin == "transformers"


def test_identity_is_what_decides_an_answer(backend, served_model):
    """Weights, their type and the options of an answer belong to it; where and how fast it runs does not."""
    same = [backend(), backend(gpu_memory=0.5, gpus=2, batch_size=8, timeout=9)]
    assert same[0].identity() == same[1].identity()
    assert same[0].identity()["dtype"] == "float32"
    assert same[0].identity()["model"] == served_model.name
    others = [
        {"max_model_len": 4096},
        {"dtype": "bfloat16"},
        {"processor": {"max_pixels": 1}},
        {"chat": {"enable_thinking": False}},
        {"quantize": "4bit"},
        {"arguments": ["--enforce-eager"]},
    ]
    identities = [json.dumps(backend(**options).identity()) for options in ({}, *others)]
    assert len(set(identities)) == len(identities)


def test_environment_names_both_environments(backend):
    """The manifest says which vLLM computed, with which torch and transformers, and where."""
    versions = {"vllm": "0.32.0+cpu", "vllm_torch": "2.13.0+cpu", "vllm_transformers": "5.19.0"}
    assert backend().environment() == {"device": "cpu", **versions}


def test_what_vllm_would_compute_wrongly_is_refused(backend, served_model, seen):
    """On a CPU, a model whose picture tokens attend both ways; anywhere, an architecture that vLLM does not know."""
    config = served_model / "config.json"
    config.write_text(json.dumps({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}))
    both_ways = backend()
    for ask in (both_ways.identity, lambda: both_ways.answer(QUESTION)):
        with pytest.raises(LvlmAdError, match=r"attend to each other in both directions.* Set engine=transformers"):
            ask()
    config.write_text(json.dumps({"architectures": ["Qwen2_5_VLForConditionalGeneratio"], "model_type": "x"}))
    with pytest.raises(
        FatalError, match=r"does not know Qwen2_5_VLForConditionalGeneratio, .*'Qwen2_5_VLForConditionalGeneration'"
    ):
        backend().answer(QUESTION)
    assert seen() == ([], []), "nothing was started"


def test_attention_both_ways_is_served_on_a_gpu():
    """The same model is served by a build for CUDA; Gemma 4 says for each size which it is."""
    gpu = Installation(Path("vllm"), Path(sys.executable), (("vllm", "0.33.0"),))
    options = VllmOptions(model="m", arguments=["--hf-overrides", "{}"])
    check_model({"model_type": "gemma3"}, options, gpu)
    cpu = Installation(Path("vllm"), Path(sys.executable), (("vllm", "0.32.0+cpu"),))
    check_model({"model_type": "gemma4", "text_config": {"use_bidirectional_attention": None}}, options, cpu)
    with pytest.raises(ConfigError, match="both directions"):
        check_model({"model_type": "gemma4", "text_config": {"use_bidirectional_attention": "vision"}}, options, cpu)


def test_as_many_gpus_as_divide_the_attention_heads():
    """Of eight GPUs, four for 28 heads (seven would not divide the other layers), eight for 32, one where none fits."""
    assert [tensor_parallel({"num_attention_heads": heads}, 8) for heads in (28, 32, 31)] == [4, 8, 1]
    both = {"text_config": {"num_attention_heads": 32}, "vision_config": {"num_heads": 12}}
    assert [tensor_parallel(both, gpus) for gpus in (8, 3, 1)] == [4, 2, 1]


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put a program nvidia-smi on the PATH that prints what it is given, and forget what was found before."""

    def install(text, status=0):
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\ncat <<"END"\n{text}\nEND\nexit {status}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        visible_gpus.cache_clear()

    yield install
    visible_gpus.cache_clear()


def test_gpus_and_their_memory_are_seen(nvidia_smi, monkeypatch):
    """nvidia-smi is asked; CUDA_VISIBLE_DEVICES may hide all of them."""
    nvidia_smi("NVIDIA L4, 20000\nNVIDIA L4, 24000")
    assert [(gpu.name, gpu.free >> 20) for gpu in visible_gpus()] == [("NVIDIA L4", 20000), ("NVIDIA L4", 24000)]
    visible_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == ()


@pytest.fixture
def built_for_cuda(scripted_vllm):
    """Make the scripted vLLM a build for CUDA."""
    (file,) = scripted_vllm.parents[1].glob("lib/*/site-packages/vllm-*/METADATA")
    text = file.read_text()
    file.write_text(text.replace("+cpu", ""))
    find_vllm.cache_clear()
    yield
    file.write_text(text)
    find_vllm.cache_clear()


@pytest.mark.usefixtures("built_for_cuda")
def test_a_build_for_cuda_needs_a_gpu_with_room(backend, nvidia_smi):
    """No GPU, or too little memory, is said before anything is downloaded; several GPUs are named in the manifest."""
    nvidia_smi("No devices were found", 6)
    with pytest.raises(ConfigError, match="needs an NVIDIA GPU, and nvidia-smi shows none"):
        backend()
    nvidia_smi("NVIDIA L4, 20000\nNVIDIA L4, 20000")
    with pytest.raises(ConfigError, match="needs about 173 GB as bfloat16, and cuda has 42 GB free"):
        backend(parameters=72)
    with pytest.raises(ConfigError, match="needs about 43 GB as 4bit, and cuda has 42 GB free"):
        backend(parameters=72, quantize="4bit")
    one = backend(parameters=8)
    assert one.environment()["device"] == "cuda: NVIDIA L4 x 2"
    assert one.needs() == "19 GB of 42 GB free on cuda"
    assert one.identity()["dtype"] == "bfloat16"


def test_no_vllm_is_one_line(tmp_path, monkeypatch):
    """Without vLLM the line says how to get it; a program of another kind is named."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"neither beside this Python nor on the PATH: pip install 'lvlm-ad\[vllm"):
        VllmBackend(VllmOptions(model="m"))
    for wrong in ("none", "python3", "."):
        with pytest.raises(ConfigError, match="is not a program that can be run; set vllm to the folder"):
            VllmBackend(VllmOptions(model="m", vllm=tmp_path / wrong))
    with pytest.raises(ConfigError, match="it is empty; name the folder"):
        validated(VllmOptions, {"model": "m", "vllm": ""}, "model")


@pytest.mark.parametrize("named", [".", "bin", "bin/python", "bin/python3", "bin/vllm"])
def test_an_environment_is_named_by_its_folder_its_python_or_its_program(named, scripted_vllm):
    """Each of them leads to the same program, and to the Python that runs it."""
    found = find_vllm(scripted_vllm.parents[1] / named)
    assert (found.program, found.version) == (scripted_vllm, "0.32.0+cpu")
    assert found.python == scripted_vllm.with_name("python3")


def test_the_address_is_ours():
    """Arguments that would open the server to others, or show its key, are refused."""
    for argument in ("--host", "--port=80", "--api-key=x"):
        with pytest.raises(ConfigError, match="is set by lvlm-ad: nobody else may ask the server"):
            validated(VllmOptions, {"model": "m", "arguments": [argument]}, "model")


@pytest.mark.parametrize(
    ("text", "last", "why"),
    [
        ("", "", ""),
        ("\x1b[36m(APIServer pid=3)\x1b[0m INFO 11-29 10:00:00 [a.py:1] Loading\x1b[K\r\n----\n", "Loading", ""),
        ("Loading shards:  10%\rLoading shards:  90%\r", "Loading shards:  90%", ""),
        ("\x1b]0;title\x07(Worker pid=3) ERROR 11-29 10:00:00 [w.py:1] No \x1b[31mroom\n", "No room", "No room"),
        (
            "KeyError: 'a'\nRuntimeError: Engine core initialization failed. See\n",
            "RuntimeError: Engi",
            "KeyError: 'a'",
        ),
        (
            "(Worker pid=3) a.AssertionError\nRuntimeError: Engine core initialization failed.\n",
            "Runt",
            "AssertionError",
        ),
        (
            "ValueError: Needs one of: \n(1) a file \n(2) two files.\n\nEnd\n",
            "End",
            "ValueError: Needs one of: (1) a file (2) two files",
        ),
    ],
)
def test_the_log_is_read_without_escapes(tmp_path, text, last, why):
    """The last line shows how far the start is, the last exception that is no consequence of another why it ended."""
    log = tmp_path / "log"
    log.write_bytes(text.encode())
    assert last_line(log).startswith(last)
    assert (last_line(log) == "") == (last == "")
    assert reason(log) == why
