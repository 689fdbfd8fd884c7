"""The seam of methods in a bench, behind a real endpoint: keys, money, restarts, records and what a method sees."""

import json
import threading
from contextlib import ExitStack

import pytest

from lvlm_ad.backend import Capabilities
from lvlm_ad.datasets import load_dataset
from lvlm_ad.engines import LocalEngine
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate import RunConfig, dry_run, resolve
from lvlm_ad.evaluate.session import Session
from lvlm_ad.evaluate.views import Views, asked_model
from lvlm_ad.methods.regions import region_request
from lvlm_ad.regions import divide
from lvlm_ad.runs import read_run

BOLT = ("bolt",)
"""Six images are enough."""

ROUNDS = '''
from lvlm_ad.backend import Request
from lvlm_ad.methods import Finding, Method, MethodOptions
from lvlm_ad.methods.regions import read_regions, region_request

class Rounds(Method):
    """The question about regions, then two at once about what was answered."""

    class Options(MethodOptions):
        calm: bool = False

    prompt, placeholders = "", ("n_regions", "pictures")

    def most_questions(self, view):
        return 3

    def is_usable(self, answer, view):
        return "score" in answer.text

    def why_not(self, model):
        return "it is too small" if model.name == "gpt-4o" else ""

    def inspect(self, view):
        first = yield region_request(view)
        second, third = yield [Request((), f"{number}: {first.text}", {"in": view.seed}) for number in (1, 2)]
        return read_regions(third, view.regions, view)
'''


@pytest.fixture
def rounds(tmp_path):
    """The path of a method that asks one question, and then two at once."""
    path = tmp_path / "rounds.py"
    path.write_text(ROUNDS)
    return str(path)


def is_later(body):
    """Whether a request is of the second round, which shows no picture."""
    content = body["messages"][0]["content"]
    return isinstance(content, str) or all(part["type"] == "text" for part in content)


def test_a_conversation_that_failed_goes_on_where_it_stopped(bench, endpoint, rounds):
    """What was answered is kept, counted and paid for once; the same command asks only what is missing."""
    bad = (500, {"error": {"message": "down"}}, {})
    scores = iter(range(1, 7))

    def reply(body):
        if is_later(body):
            return "image anomaly score: 0.1." if "0.1." in json.dumps(body) else bad
        return f"image anomaly score: 0.{next(scores)}."

    endpoint.reply = reply
    prices = {"price_input": 1, "price_output": 1}
    failed = bench(method=rounds, categories=BOLT, settings=prices)
    record = next(one for one in failed.predictions if one.status == "failed")
    assert (record.image_score, len(record.steps), record.steps[0].outcome) == (None, 1, "ok")
    assert [failed.metrics["answers"][name] for name in ("ok", "failed")] == [1, 5]
    usage = failed.metrics["usage"]
    assert (usage["questions"], usage["cost_usd"]) == (8, pytest.approx(usage["spent_usd"]))
    assert usage["spent_usd"] > 0
    asked = len(endpoint.asked)
    endpoint.reply = lambda body: "image anomaly score: 0.25; region 2: 0.75." if is_later(body) else bad
    whole = bench(method=rounds, categories=BOLT, settings=prices)
    assert len(endpoint.asked) == asked + 10
    assert all(is_later(body) for body in endpoint.asked[asked:])
    record = next(one for one in whole.predictions if one.id == record.id)
    assert (record.image_score, record.regions, record.steps[-1].key) == (0.25, {2: 0.75}, record.key)
    assert record.input_tokens == sum(step.input_tokens for step in record.steps)
    assert whole.metrics["usage"]["questions"] == 18
    assert whole.metrics["usage"]["spent_usd"] == pytest.approx(whole.metrics["usage"]["cost_usd"] * 10 / 18)
    assert read_run(whole.dir).predictions == whole.predictions


def test_a_limit_in_money_ends_a_conversation_in_the_middle(bench, endpoint, rounds):
    """Images beyond the limit are unasked; with a higher one the same command asks what is missing, nothing twice."""
    price = {"price_input": 100, "price_output": 100}
    poor = bench(method=rounds, categories=BOLT, max_cost=0.5, settings=price)
    assert 0 < poor.metrics["usage"]["spent_usd"] <= 0.5
    assert poor.metrics["answers"]["unasked"] > 0
    rich = bench(method=rounds, categories=BOLT, max_cost=50, settings=price)
    assert (rich.metrics["answers"]["ok"], len(endpoint.asked)) == (6, 18)


def test_several_questions_are_under_way_at_once(bench, endpoint, rounds):
    """Both questions of a round arrive before either is answered."""
    both = threading.Barrier(2)

    def reply(body):
        if is_later(body):
            both.wait(20)
        return "image anomaly score: 0.5."

    endpoint.reply = reply
    run = bench(method=rounds, categories=BOLT, limit=1, concurrency=2)
    assert run.metrics["answers"]["ok"] == run.metrics["answers"]["total"]


def test_a_forecast_is_exact_for_the_first_round_and_a_bound_for_others(bench, endpoint, rounds, kept_data, out, grid):
    """Later questions count by the method's bound, at the price of the first one; after the first round exactly."""

    def forecast():
        settings = {**grid, "base_url": endpoint.url, "price_input": 1, "price_output": 1, "image_tokens": "fixed 99"}
        config = RunConfig(
            "gpt-4v", data=kept_data, categories=BOLT, out=out, settings=settings, method=rounds, reference_rows=False
        )
        return dry_run(config)[0]

    before = forecast()
    assert [before[name] for name in ("questions", "stored", "to_ask", "later")] == [18, 0, 18, 12]
    assert before["cost_usd"] < before["at_most_usd"] < 18
    bench(categories=BOLT)
    after = forecast()
    assert [after[name] for name in ("questions", "stored", "to_ask", "later")] == [18, 6, 12, 0]


def test_retry_failed_asks_a_useless_answer_again_and_follows_the_new_one(bench, endpoint, rounds):
    """A stored answer without scores is replaced, and the questions that followed from it are asked anew."""
    endpoint.reply = lambda body: "I see." if not is_later(body) else "image anomaly score: 0.5."
    bench(method=rounds, categories=BOLT, limit=1)
    endpoint.reply = lambda _: "image anomaly score: 0.75."
    asked = len(endpoint.asked)
    run = bench(method=rounds, categories=BOLT, limit=1, retry_failed=True)
    assert len(endpoint.asked) == asked + 3 * len(run.predictions)
    assert {record.image_score for record in run.predictions} == {0.75}


def test_regions_leave_no_trace_of_methods(bench, rounds):
    """The default writes the fields that it wrote before there were methods; another method says which it was."""
    regions, other = bench(categories=BOLT), bench(method=rounds, categories=BOLT, settings={"calm": "true"})
    line = json.loads((regions.dir / "predictions.jsonl").read_text().splitlines()[0])
    assert line.keys().isdisjoint({"shapes", "flags", "source", "spread", "steps", "measures"})
    assert "method" not in json.loads((regions.dir / "run.json").read_text())
    assert "questions" not in regions.metrics["usage"]
    manifest = json.loads((other.dir / "run.json").read_text())
    assert manifest["method"]["name"] == "rounds"
    assert manifest["method"]["options"]["calm"] is True
    assert manifest["config_hash"] != regions.manifest.config_hash
    assert other.dir.name.startswith("gpt-4v-rounds-folder-")
    assert other.manifest.method.options["source"]


def test_a_model_that_a_method_cannot_ask_is_refused_with_the_reason(bench, endpoint, rounds):
    """Before anything is asked, the method says why not."""
    with pytest.raises(ConfigError, match="gpt-4o cannot be inspected with --method rounds, because it is too small"):
        bench(models="gpt-4o", method=rounds)
    assert endpoint.asked == []


def test_settings_of_a_method_are_settings_of_the_bench(bench, rounds):
    """An option that the method does not have is unknown; the nearest name is suggested."""
    with pytest.raises(ConfigError, match=r"no setting 'clam'.*calm"):
        bench(method=rounds, settings={"clam": "true"})


def test_a_view_tells_nothing_of_the_label(kept_data, grid, tmp_path):
    """Images with the same pixels give the same question, whatever their label, name and kind of defect."""
    dataset = load_dataset("folder", kept_data)
    plan = resolve(RunConfig("gpt-4o", settings=grid, reference_rows=False, out=tmp_path), dataset)
    model = plan.models[0]
    session = Session(plan, LocalEngine())
    good, bad = dataset[6], dataset[-1]
    assert (good.category, good.label, bad.label) == (bad.category, False, True)
    regions = divide(good.image, "grid", grid_rows=2, grid_columns=2, min_area=0, max_area=1e9)
    with ExitStack() as stack:
        session.open_stores(stack)
        views = Views(session, model, asked_model(model, Capabilities()))
        seen = [views.view(sample, regions) for sample in (good, bad)]
        requests = [region_request(view, image=good.image) for view in seen]
        assert requests[0] == requests[1]
    for sample, view in zip((good, bad), seen, strict=True):
        told = [view.seed, view.category, view.class_name, view.text(n_regions="4")]
        assert not any(sample.id in text for text in told)
        assert len({*told, sample.defect}) == 5


def test_maps_of_methods_do_not_replace_each_other(bench, rounds, tmp_path):
    """Each method's maps have a folder; a method without places has none, and a note says so."""
    folder = tmp_path / "maps"
    bench(categories=BOLT, limit=1, maps=folder)
    bench(method=rounds, categories=BOLT, limit=1, maps=folder)
    bench(method="score", categories=BOLT, limit=1, maps=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["gpt-4v", "gpt-4v-rounds"]
