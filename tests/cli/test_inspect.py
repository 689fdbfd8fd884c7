"""``lvlm-ad inspect``: its options, its output, its page and its exit status."""

import json
from pathlib import Path

import pytest
from PIL import Image

VALUES = ("image_size=64", "grid_rows=3", "grid_columns=3", "number_size=8", "price_input=1000", "price_output=1000")
SETTINGS = ("--division", "grid", *(part for value in VALUES for part in ("--set", value)))


@pytest.fixture
def line(tmp_path):
    """Four grey pictures, one of them with a hostile name."""
    folder = tmp_path / "line"
    folder.mkdir()
    for name, level in {"a": 10, "b": 60, "c": 110, "<img src=x onerror=alert(1)>": 160}.items():
        Image.new("L", (64, 64), level).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def inspected(lvlm_ad_command, endpoint, line):
    """Run an inspection of the folder with the endpoint's model."""

    def run(*more):
        arguments = ("inspect", line, "--model", "gpt-4o", "--set", f"base_url={endpoint.url}", *SETTINGS, *more)
        return lvlm_ad_command(*arguments, env={"OPENAI_API_KEY": "sk-x"})

    return run


def test_a_dry_run_asks_nothing_and_counts_good_pictures(inspected, endpoint, line, tmp_path):
    """It forecasts the questions about both folders; a picture that cannot be read is not among them."""
    (line / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "good").mkdir()
    for index in range(4):
        Image.new("L", (64, 64), 200 + index).save(tmp_path / "good" / f"{index}.png")
    done = inspected("--dry-run", "--json", "--good", tmp_path / "good", "--threshold", "conformal:0.2")
    assert done.returncode == 0, done.stderr
    (forecast,) = json.loads(done.stdout)["forecast"]
    assert (forecast["questions"], forecast["to_ask"]) == (8, 8)
    assert not endpoint.asked
    assert not (tmp_path / "inspections").exists()


def test_one_json_object_says_all(inspected, endpoint, tmp_path):
    """Counts, threshold, cost and files; the second time nothing is asked or spent."""
    endpoint.reply = lambda _body: "It is bent. image anomaly score: 0.7."
    done = inspected("--json")
    assert done.returncode == 1, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["pictures"], shown["alarm"], shown["undecided"], shown["pass"]) == (4, 4, 0, 0)
    assert shown["spent_usd"] == shown["cost_usd"] == pytest.approx(4 * 0.82)
    assert shown["threshold"] == {
        "spec": "0.5",
        "kind": "fixed",
        "threshold": 0.5,
        "strict": False,
        "n_chosen_from": 0,
    }
    assert (tmp_path / shown["scores"]).is_file()
    page = (tmp_path / shown["page"]).read_text()
    assert "It is bent." in page
    assert "<img src=x" not in page
    again = json.loads(inspected("--json").stdout)
    assert (again["spent_usd"], again["cost_usd"]) == (0.0, shown["cost_usd"])
    assert len(endpoint.asked) == 4


def test_the_question_names_the_object_only_if_it_is_named(inspected, endpoint):
    """Without --category the prompt is the general one; with it, the protocol's."""
    inspected()
    assert "The product is" not in json.dumps(endpoint.asked[0])
    inspected("--category", "steel_washer", "--out", "named")
    assert "steel washer" in json.dumps(endpoint.asked[4])


def test_a_limit_in_money_leaves_pictures_undecided(inspected, endpoint):
    """What could exceed the limit is not asked; it is undecided, with the reason, and the status is 3."""
    endpoint.reply = lambda _body: "image anomaly score: 0.1."
    done = inspected("--max-cost", "1", "--json")
    assert done.returncode == 3, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["pass"], shown["undecided"]) == (1, 3)
    assert len(endpoint.asked) == 1
    assert "could exceed the limit" in Path(shown["page"]).read_text()


def test_the_summary_names_threshold_and_files(inspected):
    """Lines for people: counts and cost, the threshold in words, and where the results are."""
    done = inspected("--threshold", "0.6")
    assert done.returncode == 0
    assert "pictures: 4 (0 alarm, 0 undecided, 4 pass); 3.2800 USD, of which 3.2800 USD now" in done.stdout
    assert "threshold: Alarm: a score of 0.6 or more." in done.stdout
    assert "page: inspections/line-gpt-4o/index.html" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "high"), "--threshold takes"),
        (("--threshold", "conformal:0.05"), "19 or more"),
        (("--watch", "--batch"), "leave --watch out"),
        (("--good", "absent", "--threshold", "reference:0.9"), "absent does not exist"),
        (("--set", "nonsense=1"), "no setting 'nonsense'"),
    ],
)
def test_bad_usage_is_one_line(inspected, endpoint, options, message):
    """Nothing is asked, and the status is 2."""
    done = inspected(*options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not endpoint.asked
