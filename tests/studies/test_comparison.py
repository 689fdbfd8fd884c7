"""Two studies on the same images are compared image by image; others are refused with one clear line."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad.cli.study_comparison import _row
from lvlm_ad.errors import RunError
from lvlm_ad.report.study_page import study_page
from lvlm_ad.studies import (
    EfficiencyFigures,
    EfficiencyOptions,
    GroundingFigures,
    GroundingOptions,
    Number,
    StabilityFigures,
    StabilityOptions,
    Study,
    compare_studies,
    study_efficiency,
    study_grounding,
    study_stability,
)
from lvlm_ad.studies.comparison_figures import AUROC, FLIPS, StudyDifference

OPTIONS = StabilityOptions(images=40, repeats=3, levels=2, factors=("paraphrase",))


@pytest.fixture
def made(base):
    """A function that makes a study of the scripted model with some properties, and returns its folder."""

    def make(name, options=OPTIONS, **settings):
        config = base(**settings)
        study_stability(config, replace(options, name=name))
        return config.out / "studies" / name

    return make


def row(found, name, part):
    """The difference of a figure."""
    return next(one for one in found.differences if (one.name, one.part) == (name, part))


@pytest.mark.slow
def test_a_stable_model_is_told_from_an_unstable_one(made):
    """The figures are those of both study.json; the difference of spreads is the scripted one, within its interval."""
    noisy, calm = made("noisy", noise=0.1), made("calm", noise=0.02)
    found = compare_studies(noisy, calm)
    figures = [StabilityFigures.model_validate(Study.read(folder).figures) for folder in (noisy, calm)]
    for part in ("all", "good", "anomalous"):
        one = row(found, FLIPS, f"{part} images")
        rates = [of.repeats[part].flip_rate.value for of in figures]
        assert (one.first, one.second) == pytest.approx(rates)
        assert one.difference.value == pytest.approx(rates[0] - rates[1])
        assert one.images == figures[0].repeats[part].images
    spread = row(found, "SD of score", "asked again")
    assert (spread.first, spread.second) == pytest.approx([of.repeats["all"].within_sd for of in figures])
    error = np.hypot(0.1, 0.02) / np.sqrt(2 * 40 * 2)
    assert spread.difference.value == pytest.approx(0.08, abs=3 * error)
    half = (spread.difference.interval[1] - spread.difference.interval[0]) / 2
    assert half == pytest.approx(2 * error, rel=0.5)
    wording = row(found, "SD of score", "paraphrase")
    assert wording.first == pytest.approx(figures[0].factors[0].total.value ** 0.5)
    auroc = row(found, AUROC, "base")
    assert [auroc.first, auroc.second] == pytest.approx([of.metrics["image_auroc"].each[0] for of in figures])
    unpaired = {one.name for one in found.differences if not one.paired}
    assert unpaired == {"Answered one time and not another", "Map difference"}
    assert spread.sure
    assert "calm" in found.names[1]
    assert f"{found.names[1]} is surely more stable" in found.verdict
    mirrored = compare_studies(calm, noisy)
    assert row(mirrored, AUROC, "base").difference.value == pytest.approx(-auroc.difference.value)
    assert f"{found.names[1]} is surely more stable" in mirrored.verdict


@pytest.mark.slow
def test_the_better_model_is_named(made):
    """A blind model is surely worse."""
    sharp, blind = made("sharp", sharpness=0.4), made("blind", sharpness=0.0)
    found = compare_studies(sharp, blind)
    assert row(found, AUROC, "base").sure
    assert found.verdict.startswith(f"With the base, {found.names[0]} is surely better: image AUROC of")


@pytest.mark.slow
def test_images_that_are_hard_for_both_do_not_count(made):
    """Two models that find the same images hard are told apart more sharply than by two samples of images."""
    first, second = made("first", sharpness=0.15), made("second", sharpness=0.1)
    difference = row(compare_studies(first, second), AUROC, "base").difference
    sampling = [Study.read(folder).figures["auroc"]["sampling"] for folder in (first, second)]
    assert difference.value > 0
    assert (difference.interval[1] - difference.interval[0]) / 2 < np.hypot(*sampling)


def test_the_same_model_twice_differs_in_nothing(made):
    """All differences are exactly 0, yet other images may part the two, and neither is called better."""
    first, second = made("one"), made("two")
    found = compare_studies(first, second)
    assert {one.difference.value for one in found.differences if one.unit != "seconds"} == {0.0}
    low, high = row(found, AUROC, "base").difference.interval
    assert low < 0 < high
    assert not any(one.sure for one in found.differences if one.unit != "seconds")
    assert "Neither is surely more stable" in found.verdict
    assert found.names == ("Scripted (one)", "Scripted (two)")


def test_models_of_one_preset_are_told_apart(base, lvlm_ad_command, options):
    """--set model= is part of the names in study.json, on the page, in commands and comparisons, and of the folder."""
    small = StabilityOptions(images=4, repeats=2, factors=("repeat",))
    studies = [study_stability(base(model=name, noise=0.05), small) for name in ("org/flip", "calm")]
    folders = [base().out / "studies" / one.name for one in studies]
    assert [one.model for one in studies] == ["Scripted (org/flip)", "Scripted (calm)"]
    assert [one.name for one in folders] == [f"stability-Scripted-{one}-regions-folder" for one in ("org-flip", "calm")]
    assert "<h1>Scripted (calm)</h1>" in study_page(studies[1])
    for folder in folders:  # as older versions wrote it
        old = json.loads((folder / "study.json").read_text()) | {"model": "Scripted"}
        (folder / "study.json").write_text(json.dumps(old))
    assert compare_studies(*folders).names == ("Scripted (org/flip)", "Scripted (calm)")
    done = lvlm_ad_command("study", "efficiency", *options(model="flip"), "--images", "4")
    assert "by Scripted (flip) with method regions" in done.stdout.splitlines()[0]
    assert "efficiency-Scripted-flip-folder" in done.stderr


def test_a_price_that_differs_by_the_same_for_all_images_surely_differs(made):
    """It has no interval, and gets the star all the same; that seconds depend on the server's load is said."""
    found = compare_studies(made("cheap"), made("dear", price_input=2))
    price = row(found, "USD per image", "base")
    assert price.difference.interval is None
    assert price.sure
    assert "*" in _row(price)[3]
    assert any("or the difference is the same for all images" in note for note in found.notes)
    assert any(note.startswith("Seconds per image also depend on how busy") for note in found.notes)


@pytest.mark.slow
def test_images_that_one_study_lacks_are_left_out(made, base):
    """A capped study is compared on the images that both answered, and that is said."""
    whole = made("whole", noise=0.05)
    config = replace(base(noise=0.04), max_cost=0.03, concurrency=1)
    study = study_stability(config, replace(OPTIONS, name="capped"))
    found = compare_studies(whole, config.out / "studies" / "capped")
    assert study.state == "capped"
    assert row(found, AUROC, "base").images == study.conditions[0].answered < 40
    assert any("is capped: images that one of the two did not answer are left out" in note for note in found.notes)
    assert "Which one is more stable is unknown" in found.verdict


def test_what_cannot_be_compared_is_one_clear_line(made, lvlm_ad_command, tmp_path):
    """Other images, another kind, the same study, or runs that are not those of the study."""
    small = replace(OPTIONS, images=12, levels=1)
    first, other = made("first", small), made("other", replace(small, images=14))
    with pytest.raises(RunError, match=r"did not ask about the same images, but about .* Make both with the same"):
        compare_studies(first, other)
    with pytest.raises(RunError, match="are the same study; give two"):
        compare_studies(first, first / "study.json")
    done = lvlm_ad_command("study", "compare", str(first), str(other))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    copy = shutil.copytree(first, tmp_path / "copy")
    raw = json.loads((copy / "study.json").read_text())
    (copy / "study.json").write_text(json.dumps({**raw, "kind": "mood"}))
    with pytest.raises(RunError, match="is a study of 'mood'; this version knows"):
        compare_studies(first, copy)
    (copy / "study.json").write_text(json.dumps(raw))
    records = copy / raw["conditions"][0]["run"] / "predictions.jsonl"
    lines = records.read_text().splitlines()
    records.write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    with pytest.raises(RunError, match=r"has other images than the other runs|is damaged"):
        compare_studies(first, copy)


@pytest.mark.slow
def test_studies_of_grounding_are_compared(grounded):
    """A model that is blind for small defects hits fewer of them, and image AUROC says so in each way of asking."""
    folders = []
    for name, blind in (("sees", 0.0), ("blind", 0.02)):
        config = grounded(blind=blind)
        study_grounding(config, GroundingOptions(images=40, parts=("methods", "losses"), name=name))
        folders.append(config.out / "studies" / name)
    found = compare_studies(*folders)
    figures = [GroundingFigures.model_validate(Study.read(folder).figures) for folder in folders]
    for first, second in zip(figures[0].methods, figures[1].methods, strict=True):
        one = row(found, AUROC, first.method)
        assert one.paired
        assert (one.first, one.second) == pytest.approx((first.auroc.value, second.auroc.value))
        if first.hits:
            hit = row(found, "Defects hit", first.method)
            assert not hit.paired
            assert (hit.first, hit.second) == (first.hits[-1].rate.value, second.hits[-1].rate.value)
    assert row(found, "Defects hit", "regions, marked, 0.5 to 2 % of the image").difference.value > 0
    assert row(found, "Pixel AP lost", "regions, marked, by naming").difference.value < 0
    assert found.verdict.startswith(f"With regions, marked, {found.names[0]} is surely better")


def test_studies_of_efficiency_are_compared(models):
    """The same combinations at another price: what an image costs differs, and nothing else does."""
    folders = []
    for name, usd in (("before", 1.0), ("after", 2.0)):
        config = models(good={"price_input": usd, "price_output": usd})
        study_efficiency(config, EfficiencyOptions(images=20, name=name))
        folders.append(config.out / "studies" / name)
    found = compare_studies(*folders)
    words = EfficiencyFigures.model_validate(Study.read(folders[0]).figures).rows[0].words
    assert row(found, AUROC, words).difference.value == 0.0
    assert row(found, "USD per image", words).difference.value == pytest.approx(-0.00102)
    assert found.verdict.startswith(f"With {words}, which one is better is not decided: image AUROC of the first study")


def test_the_command_prints_a_verdict_and_a_table(made, lvlm_ad_command):
    """The verdict is first; --json has the same numbers with all digits."""
    small = replace(OPTIONS, images=12)
    first, second = str(made("first", small, noise=0.1)), str(made("second", small))
    done = lvlm_ad_command("study", "compare", first, second)
    assert done.returncode == 0, done.stderr
    found = json.loads(lvlm_ad_command("study", "compare", first, second, "--json").stdout)
    assert " ".join(done.stdout.split()).startswith(found["verdict"])
    flips = next(one for one in found["differences"] if one["name"] == FLIPS)
    assert f"{100 * flips['first']:.1f}" in done.stdout
    assert "Flip rate, good images, %" in done.stdout


def test_differences_of_amounts_have_one_digit_more_than_the_amounts():
    """Prices that differ by less than anybody notices are shown as that; ends of the interval keep their signs."""
    number = Number(value=4e-8, interval=(-3.9e-8, 1.2e-7))
    one = StudyDifference("USD per image", "base", "usd", 0.00120004, 0.0012, number, paired=True, images=20)
    found = _row(one)
    assert found[1:] == ("0.0012", "0.0012", "+0.00000", "-0.00000 to +0.00000", "20")
    dearer = replace(one, first=1.5, difference=Number(value=1.4988, interval=(1.2, 1.8)))
    assert _row(dearer)[1:5] == ("1.50", "0.0012", "+1.499*", "+1.200 to +1.800")
