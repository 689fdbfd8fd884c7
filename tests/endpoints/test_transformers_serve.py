"""The whole command against a server that is not ours: ``transformers serve`` with a tiny model of random weights."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

IMAGE_TOKENS = {"llava": 256, "idefics3": 5 * 64}
"""How many tokens of a question the marked picture is; the words come on top."""


class Server:
    """A model folder served over HTTP by a process of its own.

    Attributes:
        name: which of the tiny models it is.
        model: its folder, the only model name that the server takes.
        url: where the endpoint is, version included.
    """

    def __init__(self, folder, work):
        self.name, self.model = folder.name, str(folder)
        self._log = work / "server.log"
        command = [sys.executable, "-m", "transformers.cli.transformers", "serve", self.model]
        # An empty cache: no model may be found that was not made here, and a cache that does not exist upsets it.
        cache = work / "cache"
        cache.mkdir()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", "0", "--device", "cpu"],
                env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.url = ""

    def wait_until_ready(self, seconds=180):
        """Wait until it has loaded the model and answers; the system chose its port, the log says which."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            address = re.search(r"running on (http://127\.0\.0\.1:\d+)", self.log)
            if address and _answers(f"{address[1]}/health"):
                self.url = f"{address[1]}/v1"
                return
            time.sleep(0.2)
        pytest.fail(f"transformers serve did not come up:\n{self.log[-3000:]}")

    @property
    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def answered(self):
        """How many questions it has answered."""
        return self.log.count('"POST /v1/chat/completions HTTP/1.1" 200')

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def server(request, tiny_lvlm, tmp_path_factory):
    """A running ``Server`` of the tiny model that the test names."""
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        pytest.skip(f"transformers serve needs {', '.join(missing)}, not installed here")
    running = Server(tiny_lvlm(request.param), tmp_path_factory.mktemp("server"))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.close()


only_llava = pytest.mark.parametrize("server", ["llava"], indirect=True)
each_model = pytest.mark.parametrize("server", list(IMAGE_TOKENS), indirect=True)


@pytest.fixture
def bench(lvlm_ad_command, server):
    """Run ``lvlm-ad bench`` on a data set with the served model, two images a category."""

    def run(data, *more):
        return lvlm_ad_command(
            *("bench", "--model", "gpt-4v", "--no-frame", "--dataset", "folder", "--data", data, "--limit", 2),
            "--json",
            *("--set", f"base_url={server.url}", "--set", f"model={server.model}", "--set", "max_tokens=48"),
            *more,
        )

    return run


def results(done):
    """What a run left: its metrics, and its predictions, one for each image."""
    assert done.returncode in {0, 3}, done.stderr
    assert "Traceback" not in done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    lines = (Path(run["dir"]) / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return run["metrics"], [json.loads(line) for line in lines]


def assert_answered(metrics, predictions, server, n_images):
    """Every image has an answer by the model, whatever it says: picture and words were seen, and tokens are counted."""
    assert len(predictions) == metrics["answers"]["total"] == n_images
    assert metrics["answers"]["failed"] == 0
    for line in predictions:
        assert line["text"]
        assert line["status"] in {"ok", "partial", "unparsable", "truncated"}
        assert line["input_tokens"] > IMAGE_TOKENS[server.name] + 100
        assert 0 < line["output_tokens"] <= 48
    assert metrics["usage"]["input_tokens"] == sum(line["input_tokens"] for line in predictions)
    for category in metrics["categories"].values():
        assert 0 <= category["image_auroc"] <= 1
        assert 0 <= category["pixel_auroc"] <= 1


@each_model
def test_real_images_are_asked_about_once(bench, server, shared):
    """Every real image is answered and measured, and the same command again asks nothing and ends alike."""
    data = shared / "data" / "magnetic_tile"
    if not data.is_dir():
        pytest.skip("the real images of shared/data/magnetic_tile are not there")
    before = server.answered
    metrics, predictions = results(bench(data))
    assert server.answered == before + 2
    assert_answered(metrics, predictions, server, n_images=2)
    assert {line["label"] for line in predictions} == {False, True}
    metrics_again, predictions_again = results(bench(data))
    assert server.answered == before + 2
    assert predictions_again == predictions
    assert metrics_again["answers"] == metrics["answers"]
    assert metrics_again["categories"] == metrics["categories"]


@each_model
def test_a_schema_does_not_hinder_a_server_that_ignores_it(bench, server, small_data):
    """The prompt that sends a JSON schema is answered too, in the model's own noise."""
    metrics, predictions = results(bench(small_data, "--category", "bolt", "--prompt", "json"))
    assert_answered(metrics, predictions, server, n_images=2)


@only_llava
def test_the_user_hears_that_a_schema_is_ignored(bench, small_data):
    """A server that takes a JSON schema and answers in other words is named as one that ignores the schema."""
    done = bench(small_data, "--category", "bolt", "--prompt", "json")
    assert "accepts a JSON schema but ignores it" in done.stderr


@only_llava
def test_a_cut_off_answer_is_truncated(bench, small_data):
    """An answer that the limit of tokens cuts off is truncated; one that ends by itself is not."""
    metrics, predictions = results(bench(small_data, "--category", "bolt", "--set", "max_tokens=5"))
    assert [(line["status"], line["output_tokens"]) for line in predictions] == [("truncated", 5)] * 2
    assert metrics["answers"]["truncated"] == 2
    metrics, _ = results(bench(small_data, "--category", "bolt"))
    assert metrics["answers"]["truncated"] == 0


@only_llava
def test_a_wrong_model_name_is_told(bench, server, small_data):
    """The server's reason for refusing a model that it does not serve reaches the user, and no answer is made up."""
    before = server.answered
    done = bench(small_data, "--category", "bolt", "--set", "model=another", "--set", "max_retries=0")
    assert done.returncode in {2, 3}
    assert "pinned" in done.stderr
    assert "Traceback" not in done.stderr
    assert server.answered == before
