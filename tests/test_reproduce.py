"""Reproducing published results: the recipes, the verdict, and GPT-4V-AD through an endpoint."""

import base64
import hashlib
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import read_image, resize_image, resize_mask
from lvlm_ad.presets import load_protocol, published_rows
from lvlm_ad.prompts.marks import MarkStyle, draw_marks
from lvlm_ad.regions import divide

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
PAPER = "Zhang et al., arXiv 2311.02612"
PRICE = ("--set", "price_input=2.5", "--set", "price_output=10")


@pytest.fixture(autouse=True)
def _scripts(monkeypatch, tmp_path):
    """Scripts import each other from their folder, and store runs in the test's own."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def reproduce(capsys, monkeypatch):
    """Run the script; returns the exit status and what was printed."""
    import reproduce as script

    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    def run(*arguments):
        status = script.main(list(map(str, arguments)))
        printed = capsys.readouterr()
        assert "sk-secret" not in printed.out + printed.err
        return status, printed.out, printed.err

    return run


@pytest.fixture(scope="module")
def small_mvtec(kept_data, tmp_path_factory):
    """Two categories under names of MVTec AD, three good and three defective images each."""
    root = tmp_path_factory.mktemp("mvtec") / "mvtec"
    for name, known in (("bolt", "bottle"), ("nut1", "metal_nut")):
        shutil.copytree(kept_data / name, root / known)
    return root


@dataclass(frozen=True)
class Seen:
    """What an endpoint that knows the truth knows of a picture: its label, its number, the regions of its defect."""

    label: bool
    number: int
    regions: tuple[int, ...]


@pytest.fixture(scope="module")
def truth(small_mvtec):
    """Hash of a picture as it is sent -> what is on it."""
    found, counts, protocol = {}, Counter(), load_protocol("paper", {})
    for sample in load_dataset("mvtec", small_mvtec):
        image = resize_image(read_image(sample.image_path), (768, 768))
        regions = divide(image, **protocol.division_options())
        share = regions.pool(resize_mask(sample.mask, (768, 768))) if sample.label else np.zeros(regions.count)
        numbers = tuple(int(region) + 1 for region in np.flatnonzero(share > 0.5))
        seen = Seen(sample.label, counts[sample.category, sample.label], numbers)
        counts[sample.category, sample.label] += 1
        found[pixels_hash(draw_marks(image, regions, MarkStyle.of(protocol)))] = seen
    return found


def pixels_hash(pixels):
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def knowing(truth, found, scores):
    """A reply that names the regions of ``found`` defects of each category; ``scores``: label -> scores in order."""

    def reply(body):
        (part,) = (one for one in body["messages"][-1]["content"] if one["type"] == "image_url")
        picture = Image.open(BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2])))
        seen = truth[pixels_hash(np.asarray(picture.convert("RGB")))]
        named = seen.regions if seen.number < found else ()
        regions = "".join(f"; region {number}: 0.9" for number in named)
        return f"image anomaly score: {scores[seen.label][seen.number]}{regions}."

    return reply


RIGHT = {False: (0.1, 0.1, 0.1), True: (0.9, 0.9, 0.9)}
AS_PUBLISHED = {False: (0.1, 0.2, 0.3), True: (0.9, 0.9, 0.15)}
"""Seven of nine pairs of a defective and a good image are ranked correctly: 77.8, where the paper has 77.1."""


def gpt_4v(endpoint, data, *more):
    return ("gpt-4v-ad", "--data", data, "--set", f"base_url={endpoint.url}", *more)


def states(printed):
    """Step -> its state, of the printed tables."""
    return dict(re.findall(r"^\| ([a-z ]+) \| (agrees|differs|not checked) \|", printed, re.MULTILINE))


def test_recipes_agree_with_the_published_results():
    """Each recipe has the published values of its sources, and each row of its methods on both sets has a recipe."""
    from reproduce_recipes import load_recipes

    recipes = load_recipes()
    rows = {(row.source.name, row.model, row.test_set.dataset): row.values for row in published_rows()}
    found = set()
    for recipe in recipes:
        for dataset in ("mvtec", "visa"):
            published = recipe.published_on(dataset)
            assert len(published) == sum(one.dataset in {"", dataset} for one in recipe.target)
            for one in published:
                assert all(one.target.tolerance_of(name) >= 0.3 for name in one.values)
                if not one.target.gains:
                    key = (one.name, recipe.published, dataset)
                    assert one.values == rows[key]
                    found.add(key)
    wanted = {key for key in rows if key[1] in {"WinCLIP", "GPT-4V-AD"} and key[2] in {"mvtec", "visa"}}
    assert found == wanted
    (sdp,) = next(one for one in recipes if one.name == "clip-ad").published_on("mvtec")
    assert sdp.values == pytest.approx({"pixel_f1_max": 35.9, "pixel_aupro": 75.3})


def test_each_step_is_printed_as_it_ends(capsys):
    """While a later step is checked, which may take minutes, the earlier ones are on stdout."""
    from reproduce_step import Step
    from reproduce_verdict import print_steps

    def steps():
        yield Step("first", "agrees", "x")
        assert "| first | agrees | x |" in capsys.readouterr().out
        yield Step("second", "differs", "y")

    assert [step.name for step in print_steps(steps())] == ["first", "second"]
    assert capsys.readouterr().out == "| second | differs | y |\n"


def test_the_steps_of_a_recipe_come_one_by_one():
    """Those of the recipe's code are not gathered before the first is shown."""
    from reproduce import check_steps
    from reproduce_recipes import load_recipes

    recipe = next(one for one in load_recipes() if one.name == "gpt-4v-ad").on("mvtec")
    steps = check_steps(recipe, recipe.settings, None)
    assert next(steps).name == "model"
    assert [step.name for step in steps][-1] == "metrics"


def test_the_list_says_what_each_recipe_needs(reproduce):
    """Without a name the recipes are listed with their needs and the results they are compared with."""
    status, printed, _ = reproduce()
    assert status == 0
    assert "winclip-zqhang\n" in printed
    clip = "needs the weights laion400m_e31 of open_clip (830 MB; pip install 'lvlm-ad[clip]')"
    assert f"{clip}, and the data set (--data DIR)\n" in printed
    assert "needs a key in OPENAI_API_KEY, money (--dry-run estimates how much), and the data set" in printed
    assert f"MVTec AD: {PAPER}: Image AUROC 77.1, Pixel AUROC 68.0\n" in printed
    assert "VisA: no published number is known" in printed


def test_a_result_is_within_its_tolerance_or_outside():
    """The bound itself is within; an undefined metric is outside; the sentence names what is outside."""
    from reproduce_recipes import load_recipes, recipe_named
    from reproduce_verdict import compare, sentence

    (target,) = recipe_named("gpt-4v-ad", load_recipes()).published_on("mvtec")
    within = compare(target, {"mean": {"image_auroc": 0.791, "pixel_auroc": 0.66}})
    assert sentence(target, within) == f"Within the tolerance of {PAPER}: 2 of 2 metrics."
    outside = compare(target, {"mean": {"image_auroc": 0.792, "pixel_auroc": None, "interval": {}}})
    assert sentence(target, outside) == (
        f"Outside the tolerance of {PAPER}: Image AUROC +2.1 (allowed 2), Pixel AUROC undefined."
    )


def test_a_step_with_other_numbers_differs():
    """Arrays differ beyond what is allowed, in shape, or by a NaN."""
    from reproduce_step import Step, compared

    one = np.zeros((2, 2))
    assert compared("map", "maps", [(one, one + 1e-6)], 1e-5) == Step(
        "map", "agrees", "maps: largest difference 1e-06, allowed 1e-05"
    )
    assert compared("map", "maps", [(one, one), (one, one + 1e-4)], 1e-5).state == "differs"
    assert compared("map", "maps", [(one, one[0])], 1e-5).state == "differs"
    assert compared("map", "maps", [(one, np.full((2, 2), np.nan))], 1e-5).state == "differs"


@pytest.mark.slow
def test_steps_need_neither_data_nor_key(reproduce, monkeypatch):
    """The steps of GPT-4V-AD are checked on drawn pictures; the retired model is the one thing known to be another."""
    monkeypatch.delenv("OPENAI_API_KEY")
    status, printed, _ = reproduce("gpt-4v-ad", "--steps")
    found = states(printed)
    assert (status, found.pop("model")) == (0, "not checked")
    assert set(found) == {"size", "division", "marks", "question", "reading", "painting", "metrics"}
    assert set(found.values()) == {"agrees"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "step"),
    [
        ("image_size=512", "size"),
        ("n_segments=30", "division"),
        ("division=grid", "division"),
        ("min_area=9000", "division"),
        ("number_size=18", "marks"),
        ("visual=image", "marks"),
        ("prompt=general", "question"),
        ("binary=true", "painting"),
    ],
)
def test_the_first_step_that_differs_is_named(reproduce, setting, step):
    """A setting other than the recipe's is found at its step."""
    status, printed, _ = reproduce("gpt-4v-ad", "--steps", "--set", setting)
    assert (status, states(printed)[step]) == (1, "differs")
    assert f"The first step that differs from the recipe: {step} (" in printed


@pytest.mark.slow
def test_a_model_as_good_as_published_is_within_the_tolerance(reproduce, endpoint, small_mvtec, truth):
    """Answers that rank 7 of 9 pairs correctly and find a third of the defects lie within; data and model are named."""
    endpoint.reply = knowing(truth, found=1, scores=AS_PUBLISHED)
    status, printed, _ = reproduce(*gpt_4v(endpoint, small_mvtec))
    assert f"Within the tolerance of {PAPER}: 2 of 2 metrics." in printed
    assert "| Image AUROC | 77.1 | 77.8 |" in printed
    assert "No step that can be checked differs from the recipe." in printed
    assert "- model: gpt-4o is asked; the paper's gpt-4-vision-preview is retired" in printed
    assert "- data: 12 images, a part of the test split of 1,725" in printed
    # A part of the test split reproduces nothing.
    assert status == 1
    again = len(endpoint.asked)
    assert again == 12
    reproduce(*gpt_4v(endpoint, small_mvtec))
    assert len(endpoint.asked) == again


@pytest.mark.slow
def test_a_perfect_model_is_outside_the_tolerance(reproduce, endpoint, small_mvtec, truth):
    """Better than published is outside, too, and what the paper leaves open is listed."""
    endpoint.reply = knowing(truth, found=3, scores=RIGHT)
    status, printed, _ = reproduce(*gpt_4v(endpoint, small_mvtec))
    assert status == 1
    assert f"Outside the tolerance of {PAPER}: Image AUROC +22.9 (allowed 2), Pixel AUROC +" in printed
    assert "No step that can be checked differs from the recipe." in printed
    assert "- the words of the question" in printed
    assert states(printed)["answers"] == "agrees"


@pytest.mark.slow
def test_a_limit_in_money_is_said_and_continued(reproduce, endpoint, small_mvtec, truth):
    """Images that the limit leaves unasked are counted; the same command with a higher limit asks only the rest."""
    endpoint.reply = knowing(truth, found=3, scores=RIGHT)
    _, printed, _ = reproduce(*gpt_4v(endpoint, small_mvtec, *PRICE, "--max-cost", 0.015))
    (unasked,) = re.findall(r"^\| answers \| not checked \| of 12: (\d+) unasked;", printed, re.MULTILINE)
    assert len(endpoint.asked) == 12 - int(unasked) > 0
    assert "run the same command with a higher --max-cost to ask the rest" in printed
    _, printed, _ = reproduce(*gpt_4v(endpoint, small_mvtec, *PRICE, "--max-cost", 10))
    assert len(endpoint.asked) == 12
    assert states(printed)["answers"] == "agrees"


def test_what_is_missing_is_one_line(reproduce, small_mvtec, monkeypatch):
    """Without data or key, or with weights for an endpoint, one line says what to do; no question is asked."""
    monkeypatch.delenv("OPENAI_API_KEY")
    for arguments, message in (
        (["gpt-4v-ad"], r"gpt-4v-ad needs the images of MVTec AD: give their folder with --data DIR"),
        (["gpt-4v-ad", "--data", small_mvtec], r"The environment variable OPENAI_API_KEY contains no key"),
        (["gpt-4v-ad", "--steps", "--weights", "x"], r"gpt-4v-ad asks an endpoint: leave --weights out"),
        (["gpt-4v-ad", "--steps", "--set", "division=grd"], r"There is no division 'grd'\. Did you mean 'grid'"),
        (["gpt-4v-ad", "--steps", "--set", "n_segment=30"], r"There is no setting 'n_segment'\. Did you mean"),
        (["--recipes", "none.toml"], r"The recipes none\.toml cannot be read"),
    ):
        status, printed, error = reproduce(*arguments)
        assert (status, printed) == (2, "")
        assert re.match(f"error: {message}", error), error


def test_a_forecast_needs_no_key(reproduce, small_mvtec, monkeypatch):
    """A dry run says what would be asked and what that would cost."""
    monkeypatch.delenv("OPENAI_API_KEY")
    status, printed, _ = reproduce("gpt-4v-ad", "--data", small_mvtec, "--limit", 1, "--dry-run")
    assert status == 0
    assert re.search(r"gpt-[\w.-]+: 2 questions, 0 already answered; cost about 0\.0\d USD\.", printed)


def test_metrics_written_out_are_right():
    """The second computation of the metrics gives the values of a case that is computed by hand."""
    from straight_metrics import image_values, pixel_values

    labels, scores = np.array([False, False, True, True]), np.array([0.1, 0.4, 0.4, 0.8])
    assert image_values(labels, scores) == pytest.approx((0.875, 1 / 2 + 1 / 3, 0.8))
    mask = np.array([[[0, 0, 0], [0, 1, 1]]], dtype=bool)
    maps = np.array([[[0.1, 0.1, 0.6], [0.2, 0.5, 0.9]]])
    auroc, _, f1_max, aupro = pixel_values(mask, maps)
    assert (auroc, f1_max, round(aupro, 3)) == (0.875, 0.8, 0.583)
