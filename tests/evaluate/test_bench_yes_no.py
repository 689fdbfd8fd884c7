"""A bench of yes-no behind a real HTTP endpoint on the loopback interface, with the probabilities of tokens."""

import math

import pytest
from sklearn.metrics import roc_auc_score

from lvlm_ad.evaluate.verify import verify_runs
from lvlm_ad.runs import read_run

RUN = {"method": "yes-no", "concurrency": 1}


def logprob(token, p, **top):
    """An entry of ``logprobs.content``: a token with its probability, and those of others."""
    others = [{"token": text, "logprob": math.log(q), "bytes": None} for text, q in top.items()]
    return {"token": token, "logprob": math.log(p), "bytes": None, "top_logprobs": others}


@pytest.fixture
def probable(endpoint, completion):
    """An endpoint that is ever surer of yes: its n-th answer has P(yes) = n / 20, a tenth of the mass elsewhere."""

    def reply(_):
        p = 0.9 * len(endpoint.asked) / 20
        word = "Yes" if p > 0.45 else "No"
        first = logprob(word, max(p, 0.9 - p), Yes=p, No=0.9 - p, Maybe=0.1)
        return 200, completion(f"{word}.", logprobs={"content": [first, logprob(".", 1.0)]}), {}

    endpoint.reply = reply
    return endpoint


def test_the_image_score_is_the_probability_of_yes(bench, probable):
    """Image AUROC is that of P(yes), pixel metrics are undefined with the reason, and stored answers give the same.

    The probability of yes and no together is recorded with each answer, and verified.
    """
    run = bench(**RUN)
    assert all((body["logprobs"], body["top_logprobs"]) == (True, 20) for body in probable.asked)
    records = read_run(run.dir).predictions
    assert sorted(record.image_score for record in records) == pytest.approx([n / 20 for n in range(1, 13)], abs=1e-5)
    assert {record.source for record in records} == {"probability"}
    assert [record.mass for record in records] == pytest.approx([0.9] * len(records), abs=1e-5)
    aurocs = [
        roc_auc_score([one.label for one in records if one.category == name], scores)
        for name in sorted({one.category for one in records})
        if (scores := [one.image_score for one in records if one.category == name])
    ]
    assert run.metrics["mean"]["image_auroc"] == pytest.approx(sum(aurocs) / len(aurocs))
    assert run.metrics["mean"]["pixel_auroc"] is None
    assert "the method gives no map" in run.metrics["mean"]["undefined"]["pixel_auroc"]
    asked = len(probable.asked)
    again = bench(**RUN)
    assert len(probable.asked) == asked
    assert [one.image_score for one in read_run(again.dir).predictions] == [one.image_score for one in records]
    assert verify_runs([read_run(run.dir)])[1] == []


def test_without_probabilities_the_words_count(bench, endpoint):
    """An endpoint that lists no probabilities gives 1 or 0, and the record says that they come from the text."""
    endpoint.reply = lambda _: "Yes." if len(endpoint.asked) % 2 else "No."
    records = read_run(bench(**RUN).dir).predictions
    assert {(record.image_score, record.source) for record in records} == {(1.0, "text"), (0.0, "text")}
