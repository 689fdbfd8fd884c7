"""The checks of methods: sound ones pass, and each broken one fails the check that is made for it."""

import json
import random

import pytest

from lvlm_ad.backend import Picture, Request
from lvlm_ad.errors import ConfigError
from lvlm_ad.methods import Finding, Method, MethodOptions
from lvlm_ad.plugins import load_method, method_names
from lvlm_ad.regions.shapes import Box
from lvlm_ad.testing import METHOD_CHECKS, ContractError, check_method, problems, sentence
from lvlm_ad.text2seg import read

VARIANTS = [
    *[(name, {}) for name in method_names() if name != "each"],
    ("boxes", {"scored": "true"}),
    ("cells", {"marks": "true", "cell_names": "rc"}),
    ("each", {"each_size": "28"}),
    ("votes", {"vary": "paraphrase"}),
    ("votes", {"vary": "renumber"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_all_methods_of_ours_pass(name, settings):
    """With the options that change their conversations."""
    # Each of these starts a Python; that one passes them is enough here.
    spared = {"import_is_fast", "conversations_are_the_same_elsewhere"} if name != "zoom" else set()
    checks = {check: METHOD_CHECKS[check] for check in METHOD_CHECKS if check not in spared}
    assert problems(load_method(name, settings)[0], checks) == {}


class Twice(Method):
    """Asks what is unusual, and then how unusual it is."""

    places, needs_regions = "", False

    def inspect(self, view):
        picture = Picture.from_pixels(view.image)
        first = yield Request((picture,), f"What is unusual about this {view.class_name}?")
        second = yield [Request((picture,), f"{view.text()} Somebody said: {first.text[:500]!r}")]
        return Finding.of(read(second[0], 0))

    def most_questions(self, view):  # noqa: ARG002
        return 2


@pytest.mark.slow
def test_a_conversation_of_strangers_passes():
    """A class does as well as an object, and a list of one question as well as a question."""
    assert check_method(Twice) == list(METHOD_CHECKS)


def inspecting(code, **members):
    """A method whose ``inspect`` does what the code says before or instead of what ``Twice`` does."""
    space = {"Box": Box, "ConfigError": ConfigError, "Finding": Finding, "Picture": Picture, "Request": Request}
    space |= {"Twice": Twice, "random": random, "read": read}
    exec(f"def inspect(self, view):\n    {code}\n    return (yield from Twice.inspect(self, view))", space)
    return type("Broken", (Twice,), {"inspect": space["inspect"], **members})


class KeyOptions(MethodOptions):
    api_key: str = ""


ASK = "answer = yield Request((), view.text()); "
LOOSE = "try:\n        yield Request((), 'What?')\n    finally:\n        yield Request((), 'What else?')"


@pytest.mark.parametrize(
    ("broken", "check", "message"),
    [
        (
            inspecting("yield 'What is it?'"),
            "conversations_are_valid",
            "yielded 'What is it?'; it must yield a Request",
        ),
        (inspecting("yield Request((), ' ')"), "conversations_are_valid", "a question has no text"),
        (inspecting("yield Request(('x',), 'What?')"), "conversations_are_valid", "must hold pictures"),
        (inspecting("yield Request((), 'What?', {'s': {1, 2}})"), "conversations_are_valid", "must be JSON values"),
        (inspecting("view.mask"), "conversations_are_valid", "inspect() looks for view.mask"),
        (inspecting("getattr(view, 'label', None)"), "conversations_are_valid", "inspect() looks for view.label"),
        (
            inspecting(ASK),
            "conversations_are_valid",
            "asks at least 3 questions about an image, but its most_questions() returned 2",
        ),
        (inspecting(ASK + "return answer"), "conversations_are_valid", "The method Broken returned Answer"),
        (inspecting(ASK + "return read(answer, 0)"), "conversations_are_valid", "such as Finding.of(scores)"),
        (
            inspecting(ASK + "return Finding(0.5, (Box(0, 0, 9, 9, 1.0),))"),
            "conversations_are_valid",
            "places is empty",
        ),
        (
            inspecting(ASK + "return Finding(0.5, (Box(0, 0, 97, 9, 1.0),))", places="boxes"),
            "conversations_are_valid",
            "returned a Box outside the image of 96 x 96 pixels",
        ),
        (inspecting("view.text(shots='2')"), "conversations_are_valid", "which the attribute placeholders does not"),
        (type("NoYield", (Twice,), {"inspect": lambda *_: Finding(0.5)}), "conversations_are_valid", "no generator"),
        (
            inspecting("", most_questions=lambda *_: None),
            "conversations_are_valid",
            "The method Broken raised TypeError: 'NoneType'",
        ),
        (inspecting("", why_not=lambda *_: "it is blind"), "conversations_are_valid", "because it is blind"),
        (inspecting("", prompt="absent"), "conversations_are_valid", "There is no prompt preset 'absent'"),
        (inspecting(ASK + "return Finding(read(answer, 0).image + 0)"), "any_answer", "TypeError"),
        (
            inspecting(ASK + "return Finding.of(read(answer, 0) if answer.text[:1] != '9' else 1 / 0)"),
            "any_answer",
            "after the answer '9999999999999999999999999999999999999999' (ok) to question 1",
        ),
        (inspecting(LOOSE, most_questions=lambda *_: 4), "no_answer_at_all", "closed before its end"),
        (
            inspecting("yield Request((), str(random.random()))", most_questions=lambda *_: 3),
            "conversations_are_reproducible",
            "other questions",
        ),
        (
            inspecting(ASK + "return Finding(random.random())"),
            "conversations_are_reproducible",
            "the same answers lead to another finding the second time",
        ),
        (
            inspecting(
                "self.asked = getattr(self, 'asked', 0) + 1; mine = self.asked\n    "
                + ASK
                + "return Finding(0.5 if mine == self.asked else 0.25)"
            ),
            "conversations_are_independent",
            "a conversation changes if another runs at the same time",
        ),
        (inspecting("view.original[100]"), "any_image", "IndexError"),
        (inspecting("view.references[0]"), "references_are_needed_or_not", "The method Broken raised IndexError"),
        (inspecting("view.image[0] = 7"), "view_is_unchanged", "writes into the view's images"),
        (
            inspecting(ASK + "return Finding(read(answer, 0).image or 0.0)"),
            "refused_answers_give_no_score",
            "every question was refused, and the image score is 0.0",
        ),
        (
            inspecting("yield Request((), 'once more', {'repeat': 1})", most_questions=lambda *_: 4),
            "repeats_are_declared",
            "it asks with repeat=1, but its attribute repeats is 1",
        ),
        (inspecting("", is_usable=lambda *_: True), "is_usable_is_valid", "accepts an answer that is refused"),
        (inspecting("", is_usable=lambda *_: None), "is_usable_is_valid", "is_usable() gave None"),
        (inspecting("", best_finding=lambda *_: Finding(0.5)), "best_finding_is_valid", "gave the image score 0.5"),
        (inspecting("", best_finding=lambda *_: Finding(None)), "best_finding_is_valid", "gave no image score"),
        (inspecting("", best_finding=lambda *_: None), "best_finding_is_valid", "best_finding() returned NoneType"),
        (inspecting("", Options=KeyOptions), "no_option_is_a_secret", "the option 'api_key' holds a secret"),
        (inspecting("", identity=lambda _: {"now": random.random()}), "identity_is_json", "the same each time"),
    ],
)
def test_a_broken_method_fails_its_check(broken, check, message):
    """The message says what is wrong."""
    found = problems(broken(), {check: METHOD_CHECKS[check]})
    assert message in found[check]


def test_a_method_that_depends_on_the_order_of_a_set_is_found(tmp_path):
    """Another process has another order, and would ask other questions."""
    (tmp_path / "sets.py").write_text(
        "from lvlm_ad.backend import Request\nfrom lvlm_ad.methods import Finding, Method\n"
        "from lvlm_ad.text2seg import read\n"
        "class Sets(Method):\n    places, needs_regions = '', False\n"
        "    def inspect(self, view):\n"
        "        kinds = {'scratch', 'dent', 'crack', 'stain', 'hole', 'bubble', 'chip', 'burr'}\n"
        "        answer = yield Request((), f'Is there a {\" or a \".join(kinds)}?')\n"
        "        return Finding.of(read(answer, 0))\n"
    )
    method, _ = load_method(str(tmp_path / "sets.py"), {})
    check = "conversations_are_the_same_elsewhere"
    assert "do not depend on the order of a set" in problems(method, {check: METHOD_CHECKS[check]})[check]


def test_a_method_that_needs_references_says_so():
    """A ConfigError without reference images is no defect."""
    needs = inspecting("if not view.references: raise ConfigError('set shots')")
    check = "references_are_needed_or_not"
    assert problems(needs(), {check: METHOD_CHECKS[check]}) == {}


def test_what_is_no_method_is_named():
    """A class that is not derived from Method, and what is no class."""
    with pytest.raises(ContractError, match=r"no class derived from lvlm_ad\.methods\.Method"):
        check_method(dict)
    with pytest.raises(ContractError, match="int is no method"):
        check_method(3)


def test_every_check_is_a_sentence():
    """The first sentence of its documentation says what a check demands."""
    assert all(sentence(check).endswith(".") for check in METHOD_CHECKS.values())


@pytest.mark.slow
def test_the_command_names_each_check(tmp_path, lvlm_ad_command):
    """One line per check; what is wrong stands in the JSON and in the status; a wrong setting is named."""
    (tmp_path / "hasty.py").write_text(
        "from lvlm_ad.backend import Request\nfrom lvlm_ad.methods import Finding, Method\n"
        "class Own(Method):\n    places, needs_regions = '', False\n"
        "    def inspect(self, view):\n        answer = yield Request((), 'How anomalous is it?')\n"
        "        return Finding(float(len(answer.text) > 20))\n"
    )
    done = lvlm_ad_command("check-method", "hasty.py", "--json")
    assert done.returncode == 2, done.stderr
    printed = json.loads(done.stdout)
    assert printed["method"] == "hasty.py"
    assert {name for name, problem in printed["checks"].items() if problem} == {"refused_answers_give_no_score"}
    assert [line.split()[0] for line in done.stderr.splitlines()[:-1]].count("FAIL") == 1
    done = lvlm_ad_command("check-method", "hasty.py", "--set", "strictnes=1")
    assert (done.returncode, "hasty.py has no setting 'strictnes'" in done.stderr) == (2, True)
