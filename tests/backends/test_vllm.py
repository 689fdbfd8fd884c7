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
from types import SimpleNamespace

import numpy as np
import pytest
from lvlm_ad_backends.vllm.installation import find_vllm, variables_for

import lvlm_ad
from lvlm_ad.backend import Picture, Request
from lvlm_ad.errors import FatalError, RejectedError
from lvlm_ad.log import Progress

PICTURE = Picture.from_pixels(np.zeros((32, 32, 3), np.uint8))
QUESTION = Request((PICTURE,), "Is it broken?", {"format": "text", "n_regions": 3})


def alive(pid):
    """Whether a process runs; one that has ended but is still listed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_end(pids, seconds=30):
    """Whether processes end within some seconds."""
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, pids))


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_it_starts_asks_and_ends_a_server(backend, seen):
    """The server answers nobody else, is warmed up once, knows pictures by their digests, and leaves nothing behind."""
    one = backend()
    assert seen() == ([], []), "nothing starts before the first question"
    answers = [one.answer(QUESTION), one.answer(QUESTION)]
    assert [answer.text for answer in answers] == ["image anomaly score: 0.4; region 1: 0.4."] * 2
    assert answers[0].usage.input_tokens == 52
    (started,), (warm_up, first, _) = seen()
    given, variables = started["arguments"], started["environment"]
    assert given[given.index("--host") + 1] == "127.0.0.1"
    assert given[given.index("--generation-config") + 1] == "vllm"
    assert given[given.index("--load-format") + 1] == "safetensors", "never a pickle"
    assert variables["VLLM_API_KEY"] not in " ".join(given)
    assert variables["VLLM_NO_USAGE_STATS"] == variables["DO_NOT_TRACK"] == "1"
    assert warm_up["max_tokens"] == 2
    assert warm_up["logprobs"]
    assert first["messages"][0]["content"][0]["uuid"] == PICTURE.digest
    assert first["temperature"] == 0
    assert not first.keys() & {"seed", "structured_outputs", "response_format", "logprobs", "skip_special_tokens"}
    assert Path(started["memory"]).exists()
    one.close()
    assert all_end(started["pids"], 1)
    assert not Path(started["memory"]).exists()


def test_vllm_gets_no_modules_of_this_python(backend, seen, tmp_path, monkeypatch):
    """PYTHONPATH may name packages for this Python; vLLM's own Python does not see them, the same Python does."""
    (tmp_path / "json.py").write_text("raise ImportError('a module for another Python')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    find_vllm.cache_clear()
    assert backend().answer(QUESTION).outcome == "ok"
    assert "PYTHONPATH" not in seen()[0][0]["environment"]
    assert variables_for(Path(sys.executable).with_name("python3"))["PYTHONPATH"] == str(tmp_path)


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


def test_a_log_that_cannot_be_written_is_one_clear_line(backend, seen, tmp_path):
    """No server is started whose log nobody could read."""
    one = backend()
    one._log = tmp_path
    with pytest.raises(FatalError, match=r"log .* cannot be written: Is a directory"):
        one.answer(QUESTION)
    assert seen() == ([], [])


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


def test_the_next_bench_of_a_study_may_start_it(backend, tmp_path):
    """The end of a bench cancels a start; a bench after it, which has the same server, starts it anew."""
    one = backend()
    one.cancel_start()
    session = SimpleNamespace(
        progress=Progress(),
        plan=SimpleNamespace(config=SimpleNamespace(out=tmp_path)),
        chat_detector=lambda backend, _: backend,
    )
    one.make_detector(session, SimpleNamespace(preset=SimpleNamespace(name="tiny")))
    assert one.answer(QUESTION).outcome == "ok"


def test_answers_under_way_do_not_delay_the_end(backend, seen):
    """After a second Ctrl-C the server is ended, although it would wait for its answers; the questions fail."""
    one, failed = backend("slow"), []

    def ask():
        with pytest.raises(FatalError, match="The model was closed"):
            one.answer(QUESTION)
        failed.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: len(seen()[1]) > 1)
    began = time.monotonic()
    one.close()
    thread.join(10)
    assert failed
    assert time.monotonic() - began < 15, "not the twenty seconds that a server gets otherwise"
    assert all_end(seen()[0][0]["pids"], 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "mode"), [("lvlm-ad", "stuck"), ("lvlm-ad", ""), ("supervisor", ""), ("server", "")]
)
def test_a_killed_process_takes_the_others_with_it(backend, scripted_vllm, served_model, seen, victim, mode):
    """After kill -9 of lvlm-ad, of the supervisor or of the server no process and no shared memory is left."""
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
    wait_for(lambda: not Path(seen()[0][0]["memory"]).exists(), 30)


class Notes(Progress):
    """Keeps the notes of a bench."""

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.mark.slow
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
