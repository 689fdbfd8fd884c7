"""A bench of MMAD's questions behind a real HTTP endpoint on the loopback interface: accuracies as computed by hand."""

import json
import runpy
import shutil

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.verify import verify_runs
from lvlm_ad.runs import read_run

ANSWERS = {
    "any defect": "A",
    "Defect Classification": "C",
    "Defect Localization": "B: Dent.",
    "Defect Description": "A scratch.",
    "Defect Analysis": "I'm sorry, but I can't assist with that.",
    "Object Classification": "Hole.",
    "Object Structure": "**C**",
    "Object Details": "Answer: D",
}
"""What the model answers to each of the tree's questions: it always sees a defect, and knows a few things."""

RIGHT = {
    "Anomaly Detection": 0.5,
    "Defect Classification": 1.0,
    "Defect Localization": 0.0,
    "Defect Description": 0.0,
    "Defect Analysis": 0.0,
    "Object Classification": 1.0,
    "Object Analysis": 0.5,
}
"""The accuracies of these answers in each source."""


@pytest.fixture(scope="session")
def tree(shared, tmp_path_factory):
    """A miniature of MMAD: eight images of four sources, 48 questions; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("trees")
    runpy.run_path(str(shared / "tools" / "mk_layouts.py"))["make"](folder, ["mmad"])
    return folder / "mmad"


def question_of(body):
    """The text of a question."""
    return "".join(part.get("text", "") for part in body["messages"][-1]["content"])


def knows(body):
    """Answer as ``ANSWERS`` says."""
    return next(answer for words, answer in ANSWERS.items() if words in question_of(body))


@pytest.fixture
def choose(bench, endpoint, tree):
    """Bench the model of ``ANSWERS`` with the method choice; options are as of ``bench``."""
    endpoint.reply = knows

    def run(settings=None, **options):
        options = {"dataset": "mmad", "data": tree, "method": "choice", **options}
        return bench({"image_size": 32, **(settings or {})}, **options)

    return run


def test_accuracies_are_those_computed_by_hand(choose, endpoint, tree):
    """Each subtask, the averages, what is unread and the letters are as the answers say; the run can be verified."""
    run = choose()
    assert len(endpoint.asked) == 48
    choices = run.metrics["choices"]
    assert choices["questions"] == 48
    assert choices["unread"] == {"truncated": 0, "refused": 4, "unparsable": 4, "failed": 0, "unasked": 0}
    assert set(choices["sources"]) == {"DS-MVTec", "GoodsAD", "MVTec-LOCO", "VisA", "Average"}
    for source in choices["sources"].values():
        assert {name: source[name]["accuracy"] for name in RIGHT} == RIGHT
        assert source["Average"]["accuracy"] == pytest.approx(3 / 7)
        assert source["Average"]["left_out"] == pytest.approx(3 / 5)
        assert source["Average"]["as_published"] == pytest.approx(3 / 7)
        assert source["Average"]["chance"] == pytest.approx((1 / 2 + 6 / 4) / 7)
        assert (source["Overkill"]["accuracy"], source["Miss"]["accuracy"]) == (1.0, 0.0)
        assert source["Defect Description"]["left_out"] is None
        assert (source["Average"]["asked"], source["Average"]["unread"]) in {(12, 2), (48, 8)}
    low, high = choices["sources"]["Average"]["Average"]["interval"]["accuracy"]
    assert low < 3 / 7 < high
    assert choices["letters"] == {
        "A": {"offered": 48, "right": 4, "chosen": 8},
        "B": {"offered": 48, "right": 4, "chosen": 4},
        "C": {"offered": 40, "right": 40, "chosen": 20},
        "D": {"offered": 40, "right": 0, "chosen": 8},
    }
    records = read_run(run.dir).predictions
    assert {record.image_score for record in records} == {1.0}
    assert [one.right for one in records[0].choices] == ["B", "C", "C", "C"]
    assert (run.metrics["coverage"], run.metrics["answers"]["partial"]) == (1.0, 4)
    assert run.metrics["usage"]["questions"] == 48
    assert verify_runs([run], tree) == ([run], [])


def test_questions_show_no_right_answer(choose, endpoint):
    """A question holds its text and its options in order, and not the object's name, which some questions ask for."""
    choose()
    texts = [question_of(body) for body in endpoint.asked]
    assert any("Is there any defect in the object?\nA: Yes.\nB: No." in text for text in texts)
    assert any("A: Scratch.\nB: Dent.\nC: Hole.\nD: None of these." in text for text in texts)
    assert not any(word in text for text in texts for word in ("drink can", "GoodsAD", "opened", "broken"))


def test_an_interrupted_run_asks_the_rest(choose, endpoint):
    """Images with a question that failed count as wrong and are told; the same command asks only what failed."""

    def reply(body):
        down = "Defect Analysis" in question_of(body)
        return (500, {"error": {"message": "down"}}, {}) if down else knows(body)

    endpoint.reply = reply
    choices = choose().metrics["choices"]
    assert choices["unread"] == {"truncated": 0, "refused": 0, "unparsable": 0, "failed": 32, "unasked": 0}
    # Of normal images, detection is wrong; half of the questions about the object are of normal images.
    average = choices["sources"]["Average"]["Average"]
    assert average["accuracy"] == pytest.approx((0.5 + 0.25) / 7)
    assert average["as_published"] == pytest.approx((0.0 + 1.0 + 0.5) / 3)
    assert (average["asked"], average["unread"]) == (48, 32)
    given = len([body for body in endpoint.asked if "Defect Analysis" not in question_of(body)])
    endpoint.reply = knows
    run = choose()
    assert len([body for body in endpoint.asked if "Defect Analysis" not in question_of(body)]) == given
    assert run.metrics["choices"]["sources"]["Average"]["Average"]["accuracy"] == pytest.approx(3 / 7)
    asked = len(endpoint.asked)
    assert choose().metrics["choices"] == run.metrics["choices"]
    assert len(endpoint.asked) == asked


def test_an_answer_cut_off_or_unread_is_asked_again_with_retry_failed(choose, endpoint):
    """``--retry-failed`` asks again where no letter could be read, and nowhere else."""
    choose()
    asked = len(endpoint.asked)
    endpoint.reply = lambda _: "C"
    run = choose(retry_failed=True)
    again = [question_of(body) for body in endpoint.asked[asked:]]
    assert len(again) == 8
    assert all("Defect Description" in text or "Defect Analysis" in text for text in again)
    assert run.metrics["choices"]["sources"]["Average"]["Average"]["accuracy"] == pytest.approx(5 / 7)
    assert not any(run.metrics["choices"]["unread"].values())


def test_references_are_those_of_the_image(choose, endpoint, tree):
    """With one shot each question shows its image's first template before it."""
    run = choose({"shots": 1})
    pictures = [
        [part for part in body["messages"][-1]["content"] if "image" in part["type"]] for body in endpoint.asked
    ]
    assert {len(shown) for shown in pictures} == {2}
    assert len({json.dumps(shown[0]) for shown in pictures}) == 4
    assert len({json.dumps(shown[1]) for shown in pictures}) == 8
    assert verify_runs([run], tree) == ([run], [])


def test_knowledge_is_told_if_it_is_asked_for(choose, endpoint, tree, tmp_path):
    """``knowledge=true`` puts the category's domain knowledge into each question; without the file it is refused."""
    run = choose({"knowledge": True})
    texts = [question_of(body) for body in endpoint.asked]
    assert any("defects:\n<Normal> ...\n<Broken> ..." in text for text in texts)
    assert all("This is known about such objects" in text for text in texts)
    assert run.manifest.method.options == {"knowledge": True}
    shutil.copytree(tree, tmp_path / "mmad")
    (tmp_path / "mmad" / "domain_knowledge.json").unlink()
    with pytest.raises(ConfigError, match="knows nothing of"):
        choose({"knowledge": True}, data=tmp_path / "mmad")


def test_names_cannot_be_withheld_from_a_data_sets_own_questions(choose, endpoint):
    """The questions, their options and the knowledge may name the object."""
    with pytest.raises(ConfigError, match="withhold=name cannot be used with --method choice"):
        choose({"withhold": "name"})
    assert endpoint.asked == []


def test_an_image_without_the_detection_question_has_no_score(choose, tree, tmp_path):
    """Such an image is answered, and image metrics leave it out; without any such question they are undefined."""
    shutil.copytree(tree, tmp_path / "mmad")
    file = tmp_path / "mmad" / "mmad.json"
    content = json.loads(file.read_text())

    def without(names):
        changed = {
            name: {**entry, "conversation": entry["conversation"][1:]} if name in names else entry
            for name, entry in content.items()
        }
        file.write_text(json.dumps(changed))
        run = choose(data=tmp_path / "mmad")
        return run, run.metrics["categories"]["DS-MVTec/bottle"]

    run, bottle = without(["DS-MVTec/bottle/image/good/000.png"])
    assert (run.metrics["coverage"], run.metrics["answers"]["usable"]) == (1.0, 8)
    assert (bottle["n_images"], bottle["n_measured"], "range" in bottle) == (2, 1, False)
    assert verify_runs([run], tmp_path / "mmad") == ([run], [])
    run, bottle = without(list(content))
    assert run.metrics["coverage"] == 1.0
    assert bottle["undefined"]["image_auroc"] == "no question asks whether there is a defect"
    assert run.metrics["mean"]["image_auroc"] is None
    assert "Anomaly Detection" not in run.metrics["choices"]["sources"]["VisA"]
    assert verify_runs([run], tmp_path / "mmad") == ([run], [])


def test_verification_finds_another_letter(choose, tree):
    """A letter that the answer does not say, a right letter not the data set's, and another accuracy are told."""
    run = choose()
    lines = (run.dir / "predictions.jsonl").read_text().splitlines()

    def problems(change):
        record = json.loads(lines[0])
        change(record)
        (run.dir / "predictions.jsonl").write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")
        return " ".join(verify_runs([run], tree)[1])

    assert problems(dict) == ""
    told = problems(lambda record: record["choices"][0].update(chosen="B"))
    assert "scores or status are not those of the answer's text" in told
    assert "choices is" in told
    assert "the questions are not those of the data set" in problems(
        lambda record: record["choices"][0].update(right="A")
    )
    assert "the answers cannot be read again" in " ".join(verify_runs([run])[1])


def test_other_methods_read_mmad(bench, endpoint, tree):
    """``yes-no`` measures detection and ``regions`` pixels by the masks; neither has choices."""
    endpoint.reply = lambda _: "Yes."
    run = bench({"image_size": 32}, dataset="mmad", data=tree, method="yes-no")
    assert run.metrics["mean"]["image_auroc"] == 0.5
    endpoint.reply = lambda _: "image anomaly score: 0.5; region 1: 0.5."
    run = bench({"image_size": 96}, dataset="mmad", data=tree)
    assert run.metrics["mean"]["pixel_auroc"] is not None
    assert "choices" not in run.metrics
    assert not any(record.choices for record in read_run(run.dir).predictions)


def test_another_data_set_has_no_questions(bench, endpoint):
    """The method choice is refused with one line where there is nothing to ask."""
    with pytest.raises(ConfigError, match=r"has none\. Give a data set with questions, such as --dataset mmad"):
        bench(method="choice")
    assert not endpoint.asked


def test_more_shots_than_templates_are_refused(bench, endpoint, tree):
    """The error says how many templates there are, and that shots=0 works."""
    with pytest.raises(ConfigError, match=r"has only 2 templates\. Set fewer shots; shots=0 needs none"):
        bench({"image_size": 32, "shots": 3}, dataset="mmad", data=tree, method="choice")
    assert not endpoint.asked


def test_a_dry_run_prices_every_question(bench_command, tree):
    """``--dry-run`` counts 48 questions and asks none."""
    settings = ("image_size=32", "price_input=1", "price_output=1", "image_tokens=tiles 85 170")
    asked = [part for one in settings for part in ("--set", one)]
    done = bench_command("--dataset", "mmad", "--data", tree, "--method", "choice", "--dry-run", *asked)
    (forecast,) = json.loads(done.stdout)["forecast"]
    assert (forecast["questions"], forecast["to_ask"], forecast["later"]) == (48, 48, 0)
    assert forecast["cost_usd"] > 0


def test_the_same_question_is_asked_once(choose, endpoint, tree, tmp_path):
    """A question that stands twice in an image's list is paid for once, and counts twice."""
    shutil.copytree(tree, tmp_path / "mmad")
    file = tmp_path / "mmad" / "mmad.json"
    content = json.loads(file.read_text())
    for entry in content.values():
        entry["conversation"] = [entry["conversation"][0]] * 2
    file.write_text(json.dumps(content))
    run = choose(data=tmp_path / "mmad")
    assert len(endpoint.asked) == 8
    assert run.metrics["choices"]["questions"] == 16
