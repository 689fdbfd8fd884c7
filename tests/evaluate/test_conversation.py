"""A method is driven by a model's answers, or by known ones, and held to its contract at every step."""

from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad.asking import Asked
from lvlm_ad.backend import Answer, Request
from lvlm_ad.errors import PluginError, TransientError, UnaskedError
from lvlm_ad.evaluate.conversation import Step, converse, look_up, replay
from lvlm_ad.methods import Finding, Method, View
from lvlm_ad.presets import Protocol
from lvlm_ad.regions.shapes import Region

BLANK = np.zeros((8, 8, 3), np.uint8)
VIEW = View(BLANK, BLANK, "bolt", "bolt", None, "seed", Protocol(), str)


class Rounds(Method):
    """Asks one question, then two at once, and keeps the answers."""

    places, needs_regions = "", False
    closed = False

    def most_questions(self, _view):
        return 3

    def inspect(self, _view):
        self.heard = []
        try:
            self.heard.append((yield Request((), "first")))
            self.heard += yield [Request((), f"{self.heard[0].text} a"), Request((), f"{self.heard[0].text} b")]
        finally:
            self.closed = True
        return Finding(0.5, notes=tuple(one.text for one in self.heard))


def echo(requests):
    """Answer each question with its text in capitals."""
    return [Step(one, Asked("key", Answer(one.text.upper()), stored=False, cost=0.0)) for one in requests]


def known(*texts):
    """The answers to these questions."""
    return lambda request: Answer(request.text.upper()) if request.text in texts else None


def test_one_question_gets_an_answer_and_several_get_a_list_in_their_order():
    """Later questions follow from earlier answers; every step is returned."""
    finding, steps = converse(Rounds(), VIEW, echo)
    assert finding.notes == ("FIRST", "FIRST A", "FIRST B")
    assert [one.request.text for one in steps] == ["first", "FIRST a", "FIRST b"]


@pytest.mark.parametrize(("error", "status"), [(TransientError("gone"), "failed"), (UnaskedError("dear"), "unasked")])
def test_a_question_without_an_answer_ends_the_conversation(error, status):
    """The method is closed, and the finding has no score, says why and keeps the steps so far."""
    method = Rounds()

    def ask(requests):
        return [Step(one, None, error) if one.text.endswith("a") else echo([one])[0] for one in requests]

    finding, steps = converse(method, VIEW, ask)
    assert (finding.image, finding.status, finding.notes) == (None, status, (str(error),))
    assert [one.asked is None for one in steps] == [False, True, False]
    assert method.closed


def test_known_answers_lead_as_far_as_they_reach():
    """What is missing of a round could be asked now; what follows it is counted by the method's bound."""
    before = look_up(Rounds(), VIEW, known())
    assert ([one.text for one in before.pending], before.later, before.finding) == (["first"], 2, None)
    halfway = look_up(Rounds(), VIEW, known("first", "FIRST b"))
    assert ([one.text for one in halfway.pending], halfway.later) == (["FIRST a"], 0)
    assert [request.text for request, _ in halfway.answered] == ["first", "FIRST b"]
    whole = look_up(Rounds(), VIEW, known("first", "FIRST a", "FIRST b"))
    assert (whole.finding.image, whole.pending, whole.later) == (0.5, [], 0)


def test_recorded_answers_give_the_same_finding_and_questions():
    """Replayed, a conversation is the one that it was; with too few answers it has no score."""
    finding, steps = converse(Rounds(), VIEW, echo)
    answers = [one.asked.answer for one in steps]
    assert replay(Rounds(), VIEW, answers) == (finding, [one.request for one in steps])
    cut, questions = replay(Rounds(), VIEW, answers[:1])
    assert (cut.image, cut.status, [one.text for one in questions]) == (None, "unasked", ["first"])


def test_a_method_may_ask_nothing():
    """A finding without any question is a finding."""

    class Silent(Method):
        def inspect(self, _view):
            yield from ()
            return Finding(0.1)

    assert converse(Silent(), VIEW, echo) == (Finding(0.1), [])


@pytest.mark.parametrize(
    ("yielded", "returned", "complaint"),
    [
        ([3], None, "yielded 3; it must yield a Request"),
        ([[]], None, r"yielded \[\]; it must yield a Request"),
        ([[Request((), "a"), "b"]], None, "yielded .*; it must yield a Request"),
        ([Request((), "a"), Request((), "b")], None, "asks at least 2 questions .* returned 1"),
        ([[Request((), "a"), Request((), "b")]], None, "asks at least 2 questions .* returned 1"),
        ([], 0.5, "returned float; it must return a Finding"),
        ([], Finding(1.5), r"returned 1.5 as image score; it must be a float in \[0, 1\]"),
        ([], Finding(0.5, (Region(1, 0.5),)), "returned region 1; the image has 0"),
    ],
)
def test_a_method_that_breaks_its_contract_is_named(yielded, returned, complaint):
    """Whatever foreign code yields or returns, the message names the method and what is wrong."""

    class Wrong(Method):
        def inspect(self, _view):
            for one in yielded:
                answer = yield one
                assert answer
            return returned

    with pytest.raises(PluginError, match=f"The method Wrong {complaint}"):
        converse(Wrong(), VIEW, echo)


def test_what_a_method_raises_is_named():
    """An exception of foreign code, while it works or when it is closed, is one line that names the method."""

    class Broken(Method):
        def inspect(self, _view):
            yield Request((), "a")
            raise KeyError("b")

    class Clinging(Method):
        def inspect(self, _view):
            try:
                yield Request((), "a")
            finally:
                raise ValueError("not yet")

    with pytest.raises(PluginError, match="The method Broken raised KeyError: 'b'"):
        converse(Broken(), VIEW, echo)
    with pytest.raises(PluginError, match="The method Clinging, closed before its end, raised ValueError: not yet"):
        look_up(Clinging(), VIEW, known())

    class Boundless(Rounds):
        def most_questions(self, _view):
            return None

    with pytest.raises(PluginError, match="The method Boundless raised TypeError: 'NoneType'"):
        converse(Boundless(), VIEW, echo)


class Twice(Method):
    """Asks the same question twice, and says so or not."""

    places, needs_regions = "", False

    def __init__(self, repeats):
        super().__init__()
        self._repeats = repeats

    @property
    def repeats(self):
        return self._repeats

    def most_questions(self, _view):
        return 2

    def inspect(self, _view):
        yield [Request((), "again"), Request((), "again", {"repeat": 1})]
        return Finding(0.5)


def test_repeats_of_a_method_that_repeats_itself_are_disjoint():
    """The protocol's repeats go on where the method's own end; a method that does not say where they end is refused."""
    asked = [
        [step.request.options.get("repeat") for step in converse(Twice(2), view, echo)[1]]
        for view in (replace(VIEW, protocol=Protocol(repeat=repeat)) for repeat in range(3))
    ]
    assert asked == [[None, 1], [2, 3], [4, 5]]
    with pytest.raises(PluginError, match="asks with repeat=1, but its attribute repeats is 1"):
        converse(Twice(1), replace(VIEW, protocol=Protocol(repeat=1)), echo)
