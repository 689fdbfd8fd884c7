"""The managed server with the real vLLM, on a tiny model; skipped where no vLLM is found.

One server for all tests, as a start takes minutes on a small machine. A build for CPUs will do: LVLM_AD_TEST_VLLM=PATH
names its program, unless it is beside this Python or on the PATH.
"""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from lvlm_ad_backends.vllm import VllmBackend, VllmOptions

from lvlm_ad.backend import Picture, Request
from lvlm_ad.backend.formats import answer_pattern
from lvlm_ad.children import program_path
from lvlm_ad.errors import FatalError, RejectedError

PROGRAM = os.environ.get("LVLM_AD_TEST_VLLM") or program_path("vllm")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(PROGRAM is None, reason="no vLLM: set LVLM_AD_TEST_VLLM to its program"),
]

SCHEMA = {
    "type": "object",
    "properties": {"image_anomaly_score": {"enum": [0, 0.5, 1]}},
    "required": ["image_anomaly_score"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def served(tiny_lvlm):
    """A backend whose server runs."""
    backend = VllmBackend(
        VllmOptions(
            model=str(tiny_lvlm("qwen2_5_vl")),
            vllm=PROGRAM,
            max_tokens=64,
            max_model_len=4096,
            constrain=True,
            arguments=["--enforce-eager"],
        )
    )
    try:
        backend.answer(question(0))
        yield backend
    finally:
        backend.close()


def question(number, **options):
    """A question whose picture and text depend on its number."""
    pixels = np.random.default_rng(number).integers(0, 255, (96 + 40 * (number % 3), 128, 3), dtype=np.uint8)
    text = f"Question {number}. " + "Is there any defect? " * (1 + number % 4)
    return Request((Picture.from_pixels(pixels),), text, {"format": "text", **options})


def of_session(pid):
    """The processes of a session that run: pid and command line."""
    rows = subprocess.run(["ps", "-eo", "pid,sid,stat,args"], capture_output=True, text=True, check=True).stdout
    split = [row.split(None, 3) for row in rows.splitlines()[1:]]
    return {int(one[0]): one[3] for one in split if int(one[1]) == pid and "Z" not in one[2]}


def test_a_question_has_the_same_answer_alone_and_among_others(served):
    """Sixteen questions at once are answered as each alone, and each picture is its own."""
    requests = [question(number) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(served.answer, requests))
    assert [served.answer(one).text for one in requests[:3]] == [one.text for one in together[:3]]
    assert len({one.text for one in together}) > 4, "random weights, but they see the picture"
    assert all(one.usage.input_tokens > 30 for one in together)


def test_answers_keep_to_their_format(served):
    """The published format by its grammar, JSON by its schema; other questions stay free."""
    text = served.answer(question(1, n_regions=1)).text
    assert re.fullmatch(answer_pattern(1), text)
    answer = json.loads(served.answer(question(1, n_regions=1, schema=SCHEMA)).text)
    assert answer["image_anomaly_score"] in {0, 0.5, 1}
    assert not re.fullmatch(answer_pattern(1), served.answer(question(1)).text)


def test_probabilities_come_where_they_are_asked_for(served):
    """A question that wants them gets the log-probabilities of the tokens that could have stood there."""
    # Random weights may begin with anything; the grammar makes the answer begin with a word.
    answer = served.answer(question(2, probabilities=True, n_regions=1))
    assert answer.text.startswith(answer.first.text)
    assert len(answer.first.alternatives) >= 10
    assert answer.tokens
    assert all(value <= 0 for token in (answer.first, *answer.tokens) for _, value in token.alternatives)
    assert served.answer(question(2)).tokens == ()


def test_a_question_that_is_too_long_is_rejected(served):
    """Whether the question alone or only with its answer has no room."""
    with pytest.raises(RejectedError, match="maximum context length"):
        served.answer(Request((), "word " * 30000))
    with pytest.raises(RejectedError, match=r"context length|do not fit"):
        served.answer(Request((), "a " * 4040))


def test_nobody_else_is_answered(served):
    """The server listens on this machine only, and wants a key that no process list shows."""
    processes = of_session(served._server._process.pid)
    assert len(processes) >= 3
    assert "--api-key" not in " ".join(processes.values())
    address = f"http://127.0.0.1:{served._server._port}/v1/models"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        opener.open(address)


def test_a_killed_engine_ends_the_server_and_is_fatal(served):
    """As when memory is short: the questions fail with one line, and no process and no shared memory is left."""
    session = served._server._process.pid
    maps = "\n".join(Path(f"/proc/{pid}/maps").read_text() for pid in of_session(session))
    shared = [Path(name) for name in set(re.findall(r"/dev/shm/psm_\w+$", maps, re.MULTILINE))]
    assert any(path.exists() for path in shared)
    (engine,) = [pid for pid, name in of_session(session).items() if "EngineCore" in name]
    os.kill(engine, signal.SIGKILL)
    with pytest.raises(FatalError, match="vLLM ended while it was asked") as caught:
        served.answer(question(100))
    assert "\n" not in str(caught.value)
    assert of_session(session) == {}
    assert not any(path.exists() for path in shared)
    assert Path(served._server.log).exists()
