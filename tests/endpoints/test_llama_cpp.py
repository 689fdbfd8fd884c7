"""The openai backend against a second server that is not ours: llama.cpp's, with a tiny model of random weights."""

import json
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from math import exp
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.backend import Picture, Request
from lvlm_ad.errors import RejectedError

missing = [name for name in ("xllamacpp", "gguf", "tokenizers") if find_spec(name) is None]
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(bool(missing), reason=f"llama.cpp's server needs {', '.join(missing)}, not installed here"),
]

PICTURE_TOKENS = 256


class Server:
    """A running server.

    Attributes:
        url: where the endpoint is, version included.
    """

    def __init__(self, folder, penalty=1):
        self._log = folder / "server.log"
        script = Path(__file__).parents[1] / "tiny_gguf.py"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(script), str(folder), str(penalty)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        address = self._process.stdout.readline().decode().strip()
        assert address, self._log.read_text(encoding="utf-8", errors="replace")[-3000:]
        self.url = f"{address}/v1"

    def close(self):
        """End it, as often as wanted."""
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture
def server(tmp_path):
    """A running ``Server``."""
    running = Server(tmp_path)
    yield running
    running.close()


@contextmanager
def asking(server, **settings):
    from lvlm_ad_backends.openai import OpenAIBackend, OpenAIOptions

    options = {"base_url": server.url, "api_key_env": "", "detail": "none", "token_parameter": "max_tokens"}
    backend = OpenAIBackend(OpenAIOptions(model="tiny", max_tokens=16, **options, **settings))
    yield backend
    backend.close()


@pytest.fixture
def backend(server):
    """The backend for such servers."""
    with asking(server) as one:
        yield one


def question(number, **options):
    pixels = np.random.default_rng(number).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    return Request((Picture.from_pixels(pixels),), "Is there a defect?", {"format": "text", **options})


def test_probabilities_and_tokens_come_with_an_answer(backend):
    """An answer at temperature 0 begins with the likeliest of twenty tokens; tokens are counted; the limit ends it."""
    answers = [backend.answer(question(number, probabilities=True)) for number in (1, 1, 2, 3)]
    assert answers[0].text == answers[1].text
    for answer in answers:
        assert answer.outcome == "truncated"
        assert (answer.usage.output_tokens, answer.detail) == (16, "length")
        assert PICTURE_TOKENS < answer.usage.input_tokens < PICTURE_TOKENS + 40
        likely = answer.first.alternatives
        assert len(likely) == 20
        assert likely[0] == max(likely, key=lambda one: one[1])
        assert answer.text.lstrip().startswith(answer.first.text.strip())
        assert 0.05 < sum(exp(value) for _, value in likely) <= 1
    assert len({answer.first for answer in answers}) > 1


def test_a_schema_is_kept(backend):
    """An answer to a question with a JSON schema is JSON of this schema, though the weights are random."""
    score = {"type": "object", "properties": {"score": {"enum": [0.25, 0.75]}}, "required": ["score"]}
    answer = backend.answer(question(1, schema=score))
    assert answer.outcome == "ok"
    assert json.loads(answer.text)["score"] in {0.25, 0.75}


def test_a_server_with_a_penalty_of_its_own(backend, tmp_path):
    """A server that was started with a penalty on repetition answers otherwise, unless it is told to sample plainly."""
    (tmp_path / "other").mkdir()
    penalising = Server(tmp_path / "other", penalty=1.5)
    requests = [question(number) for number in range(3)]
    with asking(penalising) as silent, asking(penalising, sampling="plain") as plain:
        expected, own, told = ([one.answer(request).text for request in requests] for one in (backend, silent, plain))
    penalising.close()
    assert own != expected
    assert told == expected


def test_a_question_that_is_too_long_is_rejected(backend):
    """A question that the server's context cannot hold is rejected in the server's words, not answered in part."""
    long = Request(question(1).images, "defect " * 9000, {"format": "text"})
    with pytest.raises(RejectedError, match="context"):
        backend.answer(long)


def test_a_bench_is_asked_once(lvlm_ad_command, server, small_data):
    """Every picture is answered and read; the same command after the server's end needs no server and ends alike."""

    def bench():
        done = lvlm_ad_command(
            *(
                "bench",
                "--model",
                "llama.cpp",
                "--set",
                f"base_url={server.url}",
                "--set",
                "model=tiny",
                "--prompt",
                "json",
            ),
            *("--set", "max_tokens=400", "--dataset", "folder", "--data", small_data, "--category", "bolt"),
            *("--limit", 2, "--no-reference-rows", "--json"),
        )
        assert done.returncode in {0, 3}, done.stderr
        (run,) = json.loads(done.stdout)["runs"]
        lines = (Path(run["dir"]) / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        return run["metrics"], [json.loads(line) for line in lines]

    metrics, predictions = bench()
    assert metrics["answers"]["total"] == len(predictions) == 2
    for line in predictions:
        # llama.cpp's grammar knows no bounds of a number with a point, and random weights write any.
        assert line["status"] in {"ok", "partial", "unparsable"}
        answer = json.loads(line["text"])
        assert answer.keys() == {"image_anomaly_score", "regions"}
        assert all(1 <= region["region"] <= line["n_regions"] for region in answer["regions"])
    server.close()
    assert bench() == (metrics, predictions)
