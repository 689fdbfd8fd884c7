"""The managed vLLM server: started, asked, watched and ended, with a scripted program in vLLM's place."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from lvlm_ad_backends.vllm import VllmBackend, VllmOptions
from lvlm_ad_backends.vllm.command import check_model, tensor_parallel
from lvlm_ad_backends.vllm.installation import Installation, find_vllm, visible_gpus
from lvlm_ad_backends.vllm.logs import last_line, reason

import lvlm_ad
from lvlm_ad.backend import Picture, Request
from lvlm_ad.errors import ConfigError, FatalError, RejectedError
from lvlm_ad.log import Progress
from lvlm_ad.plugins import find_model
from lvlm_ad.presets import preset_names, validated

PICTURE = Picture.from_pixels(np.zeros((32, 32, 3), np.uint8))
QUESTION = Request((PICTURE,), "Is it broken?", {"format": "text", "n_regions": 3})


def alive(pid):
    """Whether a process runs; one that has ended but is still listed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_end(pids, seconds=15):
    """Whether processes end within some seconds."""
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, pids))


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def backend(scripted_vllm, served_model, tmp_path, monkeypatch):
    """Build a backend on the scripted vLLM; all are closed at the end."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    built = []

    def build(mode="", **options):
        monkeypatch.setenv("SCRIPTED_VLLM", mode)
        settings = {"model": str(served_model), "vllm": scripted_vllm, **options}
        built.append(VllmBackend(validated(VllmOptions, settings, "model")))
        return built[-1]

    yield build
    for one in built:
        one.close()


def test_it_starts_asks_and_ends_a_server(backend, seen):
    """The server answers nobody else, is warmed up once, knows pictures by their digests, and leaves no process."""
    one = backend()
    assert seen() == ([], []), "nothing starts before the first question"
    answers = [one.answer(QUESTION), one.answer(QUESTION)]
    assert [answer.text for answer in answers] == ["image anomaly score: 0.4; region 1: 0.4."] * 2
    assert answers[0].usage.input_tokens == 52
    (started,), (warm_up, first, _) = seen()
    given, variables = started["arguments"], started["environment"]
    assert given[given.index("--host") + 1] == "127.0.0.1"
    assert given[given.index("--generation-config") + 1] == "vllm"
    assert variables["VLLM_API_KEY"] not in " ".join(given)
    assert variables["VLLM_NO_USAGE_STATS"] == variables["DO_NOT_TRACK"] == "1"
    assert warm_up["max_tokens"] == 2
    assert warm_up["logprobs"]
    assert first["messages"][0]["content"][0]["uuid"] == PICTURE.digest
    assert first["temperature"] == 0
    assert not first.keys() & {"seed", "structured_outputs", "response_format", "logprobs", "skip_special_tokens"}
    one.close()
    assert all_end(started["pids"], 1)


def test_options_reach_the_server_and_its_questions(backend, seen):
    """Options of the model go into the command, options of an answer into each question."""
    one = backend(
        chat={"enable_thinking": False},
        processor={"max_pixels": 100352},
        max_model_len=2048,
        batch_size=3,
        constrain=True,
        temperature=0.5,
        seed=4,
        logprobs=5,
        keep_special_tokens=True,
        trust_remote_code=True,
        arguments=["--enforce-eager"],
    )
    schema = {"type": "object"}
    for request in (QUESTION, Request((), "As JSON", {"format": "json", "n_regions": 3, "schema": schema})):
        one.answer(request)
    (started,), (_, text, in_json) = seen()
    given = started["arguments"]
    told = dict(pairwise(given))
    assert json.loads(told["--default-chat-template-kwargs"]) == {"enable_thinking": False}
    assert json.loads(told["--mm-processor-kwargs"]) == {"max_pixels": 100352}
    assert told["--max-model-len"] == "2048"
    assert told["--max-num-seqs"] == "3"
    assert told["--logprobs-mode"] == "processed_logprobs"
    assert "--trust-remote-code" in given
    assert given[-1] == "--enforce-eager"
    assert "region (1|2|3)" in text["structured_outputs"]["regex"]
    assert in_json["response_format"]["json_schema"]["schema"] == schema
    assert "structured_outputs" not in in_json
    assert (text["temperature"], text["seed"], text["top_logprobs"], text["skip_special_tokens"]) == (0.5, 4, 5, False)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("unknown", "did not start: The checkpoint you are trying to load has model type `qwen9_vl` but Transformers"),
        ("core", "Free memory on device cuda:0 .* Set gpu_memory lower, or end what else uses the GPU"),
        ("usage", "did not start: unrecognized arguments: --no-such-thing"),
        ("killed", "status 137; it was killed, perhaps because the machine has too little memory"),
    ],
)
def test_a_server_that_does_not_start_is_one_clear_line(backend, seen, mode, said):
    """The line tells the cause that the log names, and where the log is; the engine is gone; it is not tried again."""
    one = backend(mode)
    with pytest.raises(FatalError, match=said) as caught:
        one.answer(QUESTION)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".log")
    with pytest.raises(FatalError, match=said):
        one.answer(QUESTION)
    (started,), _ = seen()
    assert all_end(started["pids"], 2)


def test_a_server_that_ends_while_it_is_asked_is_fatal(backend, seen):
    """The error is the last cause in the log, and what the server leaves behind is ended."""
    one = backend("dies")
    one.answer(QUESTION)
    with pytest.raises(
        FatalError, match=r"ended while it was asked: OutOfMemoryError: CUDA out of memory. Set max_mod"
    ):
        one.answer(QUESTION)
    assert all_end(seen()[0][0]["pids"], 2)


def test_an_answer_that_the_context_cuts_is_no_answer(backend):
    """VLLM cuts an answer that has no room; such a question is rejected, as by the transformers backend."""
    with pytest.raises(RejectedError, match="a question of 52 tokens and an answer of up to 512 do not fit"):
        backend("cuts").answer(QUESTION)
    assert backend("cuts", max_tokens=12).answer(QUESTION).outcome == "truncated", "that is the limit of the user"


@pytest.mark.parametrize("end", ["cancel_start", "close"])
def test_a_start_can_be_given_up(backend, seen, end):
    """After Ctrl-C a server that still starts is ended, and questions that wait for it fail."""
    one = backend("stuck")
    shown, failed = [], []
    one._doing = shown.append

    def ask():
        with pytest.raises(FatalError) as caught:
            one.answer(QUESTION)
        failed.append(str(caught.value))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: "Loading weights" in shown)
    getattr(one, end)()
    for thread in threads:
        thread.join(20)
    assert len(failed) == 3
    assert shown[-1] == "", "the line of the terminal ends"
    assert all_end(seen()[0][0]["pids"], 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "mode"), [("lvlm-ad", "stuck"), ("lvlm-ad", ""), ("supervisor", ""), ("server", "")]
)
def test_a_killed_process_takes_the_others_with_it(backend, scripted_vllm, served_model, seen, victim, mode):
    """After kill -9 of lvlm-ad, of the supervisor or of the server no process is left, started or starting."""
    code = (
        "import sys\n"
        "from lvlm_ad.backend import Request\n"
        "from lvlm_ad_backends.vllm import VllmBackend, VllmOptions\n"
        "one = VllmBackend(VllmOptions(model=sys.argv[1], vllm=sys.argv[2]))\n"
        "one.answer(Request((), 'Is it broken?'))\n"
        "print('asked', one._server._process.pid, flush=True)\n"
        "one._server._process.wait()\n"
    )
    backend(mode)
    command = [sys.executable, "-c", code, str(served_model), str(scripted_vllm)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        wait_for(lambda: seen()[0])
        server, engine = seen()[0][0]["pids"]
        supervisor = 0 if mode else int(parent.stdout.readline().split()[1])
        os.kill({"lvlm-ad": parent.pid, "supervisor": supervisor, "server": server}[victim], signal.SIGKILL)
        parent.wait(30)
    assert all_end([server, engine])


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
    presets = [find_model(name, {})[0].preset for name in preset_names("models")]
    shared = [one.name for one in presets if one.plugin == "transformers"]
    assert len(shared) > 20
    for name in shared:
        preset = find_model(name, {"engine": "vllm", "model": "a/b"})[0].preset
        validated(VllmOptions, preset.options, name)


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
    with pytest.raises(FatalError, match=r"attend to each other in both directions.* Set engine=transformers"):
        backend().answer(QUESTION)
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
    """Of eight GPUs, seven for 28 heads, eight for 32, four if the vision tower has 12; one where none fits."""
    assert [tensor_parallel({"num_attention_heads": heads}, 8) for heads in (28, 32, 31)] == [7, 8, 1]
    both = {"text_config": {"num_attention_heads": 32}, "vision_config": {"num_attention_heads": 12}}
    assert tensor_parallel(both, 8) == 4
    assert tensor_parallel({}, 1) == 1


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
    nvidia_smi("NVIDIA L4, 24570, 20000\nNVIDIA L4, 24570, 24000")
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
    nvidia_smi("NVIDIA L4, 24570, 20000\nNVIDIA L4, 24570, 20000")
    with pytest.raises(ConfigError, match="needs about 173 GB as bfloat16, and cuda has 42 GB free"):
        backend(parameters=72)
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
    with pytest.raises(ConfigError, match="is not vLLM's program"):
        VllmBackend(VllmOptions(model="m", vllm=tmp_path / "none"))


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
    ],
)
def test_the_log_is_read_without_escapes(tmp_path, text, last, why):
    """The last line shows how far the start is, the last exception that is no consequence of another why it ended."""
    log = tmp_path / "log"
    log.write_bytes(text.encode())
    assert last_line(log).startswith(last)
    assert (last_line(log) == "") == (last == "")
    assert reason(log) == why


def test_a_bench_on_vllm_is_recorded_and_resumed(scripted_vllm, served_model, kept_data, tmp_path, monkeypatch, seen):
    """The log lies in the output folder, the manifest names both environments; stored answers start no server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = {
        "engine": "vllm",
        "vllm": str(scripted_vllm),
        "model": str(served_model),
        "image_size": 64,
        "division": "grid",
    }
    config = {"models": ["transformers"], "data": kept_data, "limit": 4, "out": tmp_path / "out", "settings": settings}
    notes = Notes()
    for _ in range(2):
        runs = lvlm_ad.bench(progress=notes, reference_rows=False, resamples=50, **config)
    (run,) = runs
    manifest = json.loads((run.dir / "run.json").read_text())
    assert manifest["model"]["plugin"] == "vllm"
    assert manifest["versions"]["vllm"] == "0.32.0+cpu"
    assert "Loading" in (tmp_path / "out" / "vllm-transformers.log").read_text()
    started, asked = seen()
    assert len(started) == 1
    assert len(asked) == 1 + 8, "one to warm up"
    assert all_end(started[0]["pids"], 1)
    assert sum("vLLM is ready" in note for note in notes.texts) == 1


class Notes(Progress):
    """Keeps the notes of a bench."""

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)
