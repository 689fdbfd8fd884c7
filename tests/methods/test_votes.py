"""Tests of lvlm_ad.methods.votes: several answers about the same regions, and their mean."""

import random
from statistics import fmean, stdev, variance

import numpy as np
import pytest

from lvlm_ad.backend import Answer
from lvlm_ad.errors import ConfigError
from lvlm_ad.methods.regions import NumberedRegions
from lvlm_ad.methods.votes import Votes, VotesOptions
from lvlm_ad.presets import load_prompt
from lvlm_ad.prompts.marks import place_numbers
from lvlm_ad.regions.shapes import Region


def votes(**options):
    """The method with these options."""
    return Votes(VotesOptions(**options))


@pytest.mark.parametrize("vary", ["repeat", "paraphrase", "renumber"])
def test_the_first_question_is_that_of_regions_and_the_others_differ(region_view, drive, vary):
    """The first question has the key under which the method regions stores its answer; all have different keys."""
    view = region_view()
    _, (asked,) = drive(votes(votes=5, vary=vary), view, lambda _: "image anomaly score: 0.5.")
    _, ((alone,),) = drive(NumberedRegions(), view, lambda _: "image anomaly score: 0.5.")
    assert asked[0].key({}) == alone.key({})
    assert len({request.key({}) for request in asked}) == votes(votes=5).most_questions(view) == 5


def test_answers_are_averaged_and_their_spread_is_kept(region_view, drive):
    """A region that a usable answer does not name counts as 0 in it."""
    texts = iter(["image anomaly score: 0.2.", "image anomaly score: 0.6; region 3: 0.9.", "image anomaly score: 0.7."])
    finding, _ = drive(votes(), region_view(), lambda _: next(texts))
    assert finding.image == pytest.approx(0.5)
    assert [(one.number, pytest.approx(one.score)) for one in finding.shapes] == [(3, 0.3)]
    assert finding.spread == pytest.approx(stdev([0.2, 0.6, 0.7]))
    assert (finding.status, finding.notes) == ("ok", ())


def test_the_mean_is_over_usable_answers(region_view, drive):
    """Refused and unreadable answers are named and left out of the mean; one usable answer has no spread."""
    answers = iter([Answer("", "refused"), Answer("image anomaly score: 0.6."), Answer("well")])
    finding, _ = drive(votes(), region_view(), lambda _: next(answers))
    assert (finding.image, finding.status, finding.spread) == (0.6, "partial", None)
    assert [note.partition(":")[0] for note in finding.notes] == ["Answer 1 of 3", "Answer 3 of 3"]
    finding, _ = drive(votes(), region_view(), lambda _: Answer("", "refused"))
    assert (finding.image, finding.status, finding.shapes) == (None, "refused", ())


def test_repeated_questions_are_numbered(region_view, drive):
    """Repetitions differ in one option alone, which the first question has not."""
    _, (asked,) = drive(votes(), region_view(), lambda _: "image anomaly score: 0.5.")
    assert [request.options.get("repeat") for request in asked] == [None, 1, 2]
    assert len({(request.text, request.images) for request in asked}) == 1


def test_renumbered_regions_get_their_own_scores(region_view, drive):
    """A model that finds the same place under any number gives each vote the same finding."""
    view = region_view()
    centre = tuple(view.regions.positions()[10])
    method = votes(votes=4, vary="renumber")
    numberings = [view.regions.renumbered(vote.numbers or range(1, 17)) for vote in method._votes(view)]
    texts = iter(
        f"image anomaly score: 0.8; region {1 + np.flatnonzero(regions.membership[:, regions.cells[centre]])[0]}: 0.8."
        for regions in numberings
    )
    finding, _ = drive(method, view, lambda _: next(texts))
    assert [(shape.number, pytest.approx(shape.score)) for shape in finding.shapes] == [(11, 0.8)]
    named = {tuple((box.top, box.left) for box in place_numbers(regions, 7)) for regions in numberings}
    assert len(named) == 4


def test_renumbering_spreads_a_preference_for_a_number(region_view, drive):
    """A model that always names region 1 accuses four places of a quarter each, not one of everything."""
    text = "image anomaly score: 0.8; region 1: 0.8."
    finding, _ = drive(votes(votes=4, vary="renumber"), region_view(), lambda _: text)
    assert [one.score for one in finding.shapes] == pytest.approx([0.2] * 4)
    repeated, _ = drive(votes(votes=4), region_view(), lambda _: text)
    assert [(one.number, pytest.approx(one.score)) for one in repeated.shapes] == [(1, 0.8)]


def test_renumbering_depends_on_the_division_alone(region_view):
    """Another seed gives the same numbers, so stored answers are found again."""
    first, other = (
        [vote.numbers for vote in votes(vary="renumber")._votes(region_view(seed=seed))] for seed in ("0/a", "1/b")
    )
    assert first == other


@pytest.mark.parametrize(("k", "shared"), [(2, 0.0), (4, 0.0), (4, 0.5)])
def test_votes_reduce_the_variance_by_its_law(region_view, drive, k, shared):
    """The mean of k answers has the variance (1 + (k - 1) r) / k of one, where r is the correlation of the answers."""
    draw = random.Random(7)
    view, method = region_view(np.zeros((16, 16, 3), np.uint8)), votes(votes=k)
    means, spreads = [], []
    for _ in range(250):
        common = draw.gauss(0, 1)
        scores = [0.5 + 0.08 * (shared**0.5 * common + (1 - shared) ** 0.5 * draw.gauss(0, 1)) for _ in range(k)]
        texts = iter([f"image anomaly score: {score:.6f}." for score in scores])
        finding, _ = drive(method, view, lambda _, texts=texts: next(texts))
        means.append(finding.image)
        spreads.append(finding.spread**2)
    law = (1 + (k - 1) * shared) / k
    assert variance(means) / 0.08**2 == pytest.approx(law, rel=0.2)
    assert fmean(spreads) == pytest.approx((1 - shared) * 0.08**2, rel=0.1)


def test_paraphrases_say_the_same_in_other_words():
    """Each paraphrase names class, regions, references and the format of the answer, and is no copy."""
    texts = [load_prompt(name).text for name in ("class", *VotesOptions().paraphrases)]
    assert len(set(texts)) == 9
    for text in texts:
        assert all(f"${name}" in text for name in ("class_name", "n_regions", "references", "pictures"))
        assert text.endswith("image anomaly score: 0.9; region 1: 0.9; region 3: 0.7.\n")


def test_paraphrases_are_identified_by_what_they_say(tmp_path):
    """Edited prompts make another method; those that no question uses do not count."""
    path = tmp_path / "mine.toml"
    path.write_text('text = "How bad is $class_name? $n_regions"')
    options = {"votes": 2, "vary": "paraphrase", "paraphrases": (str(path), "class-2")}
    before = votes(**options).identity()
    path.write_text('text = "How good is $class_name? $n_regions"')
    after = votes(**options).identity()
    assert before["paraphrases"] == after["paraphrases"] == ["mine"]
    assert before["sentences"] != after["sentences"]
    assert "paraphrases" not in votes(votes=2).identity()


def test_paraphrases_that_do_not_suffice_are_refused(tmp_path):
    """Too few prompts, or one with a placeholder that no vote fills, are errors before anything is asked."""
    with pytest.raises(ConfigError, match="votes=10 with vary=paraphrase needs 9 paraphrases, and there are 8"):
        votes(votes=10, vary="paraphrase")
    path = tmp_path / "kinds.toml"
    path.write_text('text = "Is there $defects in $n_regions?"')
    with pytest.raises(ConfigError, match="'defects'"):
        votes(votes=2, vary="paraphrase", paraphrases=(str(path),))
    with pytest.raises(ConfigError, match="no prompt preset 'klass'"):
        votes(votes=2, vary="paraphrase", paraphrases=("klass",))


def test_the_best_finding_is_that_of_regions(region_view):
    """A model that knows the defects answers the same each time."""
    view, mask = region_view(), np.zeros((96, 96), bool)
    mask[:12, :24] = True
    assert votes().best_finding(view, mask).shapes == (Region(1, 0.5),)
