"""Which model to take: rounds, budget, candidates, and the command."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.evaluate import RunConfig
from lvlm_ad.leaderboard import usd
from lvlm_ad.studies import Recommendation, RecommendOptions, price_recommend, recommend
from lvlm_ad.studies.recommend_candidates import models_at_hand, served_models
from lvlm_ad.studies.recommend_rounds import round_sizes
from tests.studies.conftest import write

PRICED = {"price_input": 1, "price_output": 1, "image_tokens": "fixed 500"}
GOOD = {**PRICED, "sharpness": 0.5}
OTHER = {**GOOD, "own": 0.11}
"""As good, but with answers of its own: models with the same options share theirs."""
BLIND = {**PRICED, "sharpness": 0.0, "points": False}


def options_of(config, budget):
    """Return the options of the command for a configuration."""
    settings = [part for name, value in config.settings.items() for part in ("--set", f"{name}={value}")]
    models = [part for name in config.models for part in ("-m", name)]
    return [*models, "--data", str(config.data), "--out", str(config.out), "--budget", str(budget), *settings]


def test_the_blind_model_leaves_and_the_good_one_is_taken(models, asked):
    """A model that sees nothing leaves as soon as that is sure; the same call again asks nothing and says the same."""
    config = replace(models(blind=BLIND, good=GOOD), max_cost=10.0)
    found = recommend(config)
    assert (found.choice, found.sure, found.stop, found.complete) == ("good-regions", True, "decided", True)
    blind, good = found.candidates
    assert (blind.images, blind.left_in_round) == (40, 2)
    assert blind.reason == "surely worse than good-regions"
    assert good.images == 40
    assert good.loss == 0.0
    assert found.spent_usd == pytest.approx(80 * good.usd_per_image.value, rel=0.01)
    assert found.full_run_usd == pytest.approx(40 * good.usd_per_image.value)
    assert len(asked()) == 80
    folder = config.out / "studies" / found.name
    assert Recommendation.model_validate_json((folder / "recommend.json").read_text()) == found
    assert all((folder / one.run / "run.json").is_file() for one in found.candidates)
    again = recommend(config)
    assert len(asked()) == 80
    assert (again.sentence.split(").")[0], again.spent_usd) == (found.sentence.split(").")[0], 0.0)


def test_equal_models_are_asked_about_all_images(models):
    """Without certainty all images are asked, the sentence says that it is not sure, and the cheaper is taken."""
    config = replace(models(dear={**GOOD, "price_input": 2}, cheap=GOOD), max_cost=10.0)
    found = recommend(config)
    assert (found.choice, found.sure, found.stop) == ("cheap-regions", False, "images")
    assert [one.images for one in found.rounds] == [20, 40]
    assert "not sure: at 95 % another one may be better by up to" in found.sentence
    assert found.asked == 80


def test_the_budget_holds_over_all_rounds(models, asked):
    """No question is asked that could exceed the budget; less than the first round costs is refused."""
    config = models(one=GOOD, two=OTHER)
    first = price_recommend(replace(config, max_cost=1.0))
    assert (first["to_ask"], first["rounds"], len(asked())) == (40, [20, 40], 0)
    with pytest.raises(ConfigError, match="more than the budget of"):
        recommend(replace(config, max_cost=0.001))
    assert asked() == []
    budget = 1.3 * 40 * 0.00102
    found = recommend(replace(config, max_cost=budget))
    assert found.stop == "budget"
    assert found.spent_usd <= budget
    assert 40 < found.asked < 80
    assert not found.complete


UNRULED = {"price_input": 1, "price_output": 1, "sharpness": 0.5}
"""A price, but no rule for the tokens of pictures: what an image costs is unknown before it is asked about."""


def test_all_candidates_are_asked_alike_where_prices_are_learned(models, asked):
    """The budget holds, and each candidate is asked about as many images, although no forecast knew the cost."""
    each = 0.00102
    config = replace(models(first={**UNRULED, "price_input": 3}, second={**UNRULED, "own": 0.11}), max_cost=0.11)
    found = recommend(config)
    assert (found.stop, found.rounds[0].images) == ("budget", 20)
    assert found.spent_usd <= 0.11
    counts = [one.images - one.unasked for one in found.candidates]
    assert counts[0] == counts[1] > 20
    assert found.spent_usd == pytest.approx(counts[0] * 4 * each, rel=0.05)
    assert len(asked()) == sum(counts)
    again = recommend(replace(config, max_cost=0.5))
    now, whole = usd(again.spent_usd), usd(again.spent_usd + found.spent_usd)
    assert f"{now} USD spent now, {whole} USD with the answers stored before" in again.sentence


def test_a_first_round_that_turns_out_too_dear_is_refused_after_a_few_images(models, asked):
    """Four images of each candidate teach the price; the message says what they cost."""
    config = models(one=UNRULED, two={**UNRULED, "own": 0.11})
    with pytest.raises(ConfigError, match=r"than the budget of 0.02 USD, of which 0.008\d* were spent to learn"):
        recommend(replace(config, max_cost=0.02))
    assert len(asked()) == 8


def test_the_budget_holds_for_first_questions_too(models, asked):
    """A model that has not answered yet is taken to be as dear as the dearest answer of the others."""
    config = models(**{f"m{at}": {**UNRULED, "own": 0.1 + at / 100} for at in range(4)})
    with pytest.raises(ConfigError, match="The first round"):
        recommend(replace(config, max_cost=0.0055))
    assert len(asked()) == 5


def test_a_limit_that_cuts_a_round_is_not_completion(models, lvlm_ad_command):
    """Without token counts the cost is unknown, not 0; what was not asked is said, and the exit status is 3."""
    config = models(one={**GOOD, "counts": False}, two={**OTHER, "counts": False})
    done = lvlm_ad_command("recommend", *options_of(config, 0.1), "--json")
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert (found["stop"], found["complete"], found["spent_usd"]) == ("budget", False, None)
    unasked = [one["unasked"] for one in found["candidates"]]
    assert sum(unasked) > 0
    assert found["asked"] == sum(one["images"] for one in found["candidates"]) - sum(unasked)
    assert "times, at an unknown cost; a full run" in found["sentence"]
    assert "images were not asked about" in done.stderr


def test_a_failing_candidate_leaves(models):
    """A model that cannot be asked leaves with its reason, whatever its place; the others are compared."""
    config = replace(models(broken={**GOOD, "forbidden": "image"}, good=GOOD, blind=BLIND), max_cost=10.0)
    found = recommend(config)
    assert (found.choice, found.sure, found.complete) == ("good-regions", True, False)
    assert "this model does not take such a question" in found.candidates[0].reason
    assert found.candidates[0].left_in_round == 1
    assert "except perhaps broken-regions, which could not be compared" in found.sentence
    config = replace(models(broken={**GOOD, "forbidden": "image"}, worse={**GOOD, "forbidden": "image"}), max_cost=1.0)
    with pytest.raises(ConfigError, match="No candidate is left to ask"):
        recommend(config, RecommendOptions(name="all-fail"))


def test_an_unknown_price_stays_unknown(models):
    """Of models of this machine without a price the better one is taken, at a full price that is unknown, not 0."""
    config = replace(models(blind={"plugin": "Local", "sharpness": 0.0}, good={"plugin": "Local", "sharpness": 0.5}))
    found = recommend(replace(config, max_cost=1.0))
    assert (found.choice, found.full_run_usd, found.spent_usd) == ("good-regions", None, 0.0)
    assert "set price_per_hour" in found.candidates[1].usd_per_image.reason
    assert found.sentence.endswith("a full run on 40 images: unknown.")


def test_every_method_is_a_candidate(models):
    """Each model is asked with each method; a setting of one method does not disturb the others."""
    config = replace(models(good=GOOD), max_cost=10.0)
    config = replace(config, settings={**config.settings, "zoom_budget": 1})
    price = price_recommend(config, RecommendOptions(("regions", "zoom")))
    assert [one["name"] for one in price["conditions"]] == ["good-regions", "good-zoom"]


def test_what_cannot_be_recommended_is_one_clear_error(models, tmp_path, monkeypatch):
    """One candidate, no budget, one kind of label, a wrong margin, and no model at hand are refused."""
    config = replace(models(good=GOOD), max_cost=1.0)
    with pytest.raises(ConfigError, match=r"has only one, good with method regions. Name another --model"):
        recommend(config)
    with pytest.raises(ConfigError, match="needs a budget"):
        recommend(replace(config, max_cost=None))
    with pytest.raises(ConfigError, match="--margin takes percentage points above 0"):
        recommend(config, RecommendOptions(margin=0.0))
    for number in range(4):
        write(tmp_path / "good-only" / "good" / f"{number}.png", np.full((64, 64, 3), number, np.uint8))
    with pytest.raises(DataError):
        recommend(replace(config, data=tmp_path / "good-only"))
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DASHSCOPE_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("lvlm_ad.studies.recommend_candidates.SERVERS", ())
    with pytest.raises(ConfigError, match="two candidates and has none"):
        recommend(RunConfig(data=config.data, out=config.out, max_cost=1.0))
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    assert [(one.model, one.why) for one in models_at_hand()] == [("gemini", "GEMINI_API_KEY is set")]


class Serving(BaseHTTPRequestHandler):
    """Lists one model, and answers anything else with what is no list."""

    def do_GET(self):
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"data": [{"id": "mine"}]}' if self.path == "/v1/models" else b"[" * 5000)

    def log_message(self, *_):
        """Say nothing."""


def test_a_server_is_asked_what_it_serves():
    """Its models are listed; nonsense, or no server at all, is no model."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Serving)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert served_models(f"{url}/v1") == ["mine"]
        assert served_models(f"{url}/other") == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert served_models(f"{url}/v1") == []


def test_rounds_double_and_end_with_all_images():
    """Each round has twice as many images; few images are one round."""
    assert round_sizes(10, 1) == [10]
    assert round_sizes(1725, 15) == [60, 120, 240, 480, 960, 1725]


def test_the_command_prints_the_sentence_and_a_table(lvlm_ad_command, models):
    """The sentence comes first; --dry-run asks nothing; --json is recommend.json with its folder."""
    config = models(blind={**BLIND, "price_input": 0.5}, good=GOOD)
    options = options_of(config, 1)
    priced = lvlm_ad_command("recommend", *options, "--dry-run")
    assert "40 to ask" in priced.stdout, priced.stderr
    assert "All rounds (20, 40 images in all) cost about" in priced.stdout
    done = lvlm_ad_command("recommend", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "Take good with method regions (sure at 95 % that no candidate is better by more than 2"
    )
    assert "blind-regions was dropped: surely worse than good-regions." in done.stdout
    found = json.loads(lvlm_ad_command("recommend", *options, "--json").stdout)
    assert found["choice"] == "good-regions"
    assert found["dir"].endswith("recommend-folder")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_recommendation_goes_on(models, asked, lvlm_ad_process, tmp_path):
    """Killed in its first round, the same command asks only what is missing."""
    options = options_of(models(one={**GOOD, "pause": 0.05}, two={**OTHER, "pause": 0.05}), 1)
    process = subprocess.Popen([sys.executable, "-m", "lvlm_ad", "recommend", *options], cwd=tmp_path)
    until = time.monotonic() + 120
    while len(asked()) < 30 and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    done = lvlm_ad_process("recommend", *options)
    assert done.returncode == 0, done.stderr
    assert 80 <= len(asked()) <= 82, "two questions at most were under way when it was killed"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGINT to a child is POSIX's")
def test_an_interruption_says_what_is_known(models, asked, tmp_path):
    """Ctrl-C in the second round ends with what the first one said, and counts what both cost."""
    config = models(one={**GOOD, "pause": 0.1}, two={**OTHER, "pause": 0.1})
    command = [sys.executable, "-m", "lvlm_ad", "recommend", *options_of(config, 1)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while len(asked()) < 44 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert shown.startswith("Take "), shown
    found = Recommendation.model_validate_json(
        (config.out / "studies" / "recommend-folder" / "recommend.json").read_text()
    )
    assert (found.stop, len(found.rounds), found.asked) == ("interrupted", 1, 40)
    assert found.spent_usd == pytest.approx(len(asked()) * 0.00102, rel=0.05)
