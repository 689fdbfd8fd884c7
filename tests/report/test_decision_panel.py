"""The operating-point panel in a real browser: figures, cost and images follow the threshold."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from lvlm_ad.decisions import Prices, cost, decision, mean_decision, parse_threshold, rates
from lvlm_ad.evaluate.decide import DecisionSettings, decide
from lvlm_ad.leaderboard import percent
from lvlm_ad.report.decisions import decisions_of
from lvlm_ad.report.interval_words import interval_text
from lvlm_ad.report.run_pages import write_report

pytestmark = pytest.mark.heavy

wait_until = runpy.run_path(str(Path(__file__).parents[1] / "waiting.py"))["wait_until"]

COUNTS = ("tp", "fn", "abstain_defect", "fp", "tn", "abstain_good")
RATES = ("recall", "miss", "false_alarm", "precision", "balanced_accuracy")


def with_decisions(run, threshold, **settings):
    """The run as if it had been measured with this threshold."""
    decisions = decide(DecisionSettings(parse_threshold(threshold), **settings), run.predictions)
    return replace(run, metrics={**run.metrics, "decisions": decisions})


def table(page):
    """The rows of the table by category: name -> texts of the cells after the threshold."""
    rows = page.locator("table.decisions tr[data-row]").all()
    return {row.locator("th").text_content(): row.locator("td").all_text_contents()[1:] for row in rows}


def cells(figures):
    """A row's texts, from figures as metrics.json has them."""
    shown = [
        percent(figures[name]) + (interval_text(figures["interval"][name]) if name in figures["interval"] else "")
        for name in RATES
    ]
    return [*(str(figures.get(name, "")) for name in COUNTS), *shown]


def expected(run, threshold):
    """The rows of the table, by the package's own functions."""
    categories = {
        name: decision(
            [one.label for one in run.predictions if one.category == name],
            [one.image_score for one in run.predictions if one.category == name],
            threshold,
        )
        for name in run.manifest.dataset.categories
    }
    pooled = rates({name: sum(one[name] for one in categories.values()) for name in COUNTS})
    rows = {**categories, "mean over categories": mean_decision(categories.values()), "all images together": pooled}
    return {name: cells(one) for name, one in rows.items()}


def said(page, text, place="d-state"):
    """Wait until an element of the panel has this text in it."""
    wait_until(page, "([place, text]) => document.getElementById(place).textContent.includes(text)", arg=[place, text])


def move(page, threshold):
    """Type a threshold, and wait until the page has followed."""
    page.fill("#d-number", str(threshold))
    wait_until(page, "(text) => document.getElementById('d-state').textContent.includes(text)", arg=f"{threshold:g}")


def test_intervals_are_those_of_scipy(report, open_page):
    """Clopper and Pearson's interval for few and many trials, at the edges and between, to 9 digits."""
    page = open_page(report).page
    for n in (1, 2, 3, 5, 10, 59, 300, 2000, 100_000):
        for k in sorted({0, 1, n // 7, n // 2, n - 1, n}):
            low, high = page.evaluate("([k, n]) => binomial.interval(k, n)", [k, n])
            assert low == pytest.approx(0 if k == 0 else stats.beta.ppf(0.025, k, n - k + 1), rel=1e-9, abs=1e-14)
            assert high == pytest.approx(1 if k == n else stats.beta.ppf(0.975, k + 1, n - k), rel=1e-9)
    assert page.evaluate("binomial.interval(0, 0)") is None


def test_the_page_begins_with_the_runs_figures(kept_run, tmp_path, open_page):
    """The script writes what the page without it shows, to the last digit, and marks the run's threshold."""
    run = with_decisions(kept_run, "0.47")
    path = write_report(run, tmp_path / "page", pictures=False)
    rows = re.findall(r'<tr data-row="[^"]*"><th scope="row">([^<]*)</th>(.*?)</tr>', path.read_text(), re.DOTALL)
    texts = {
        name: [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td[^>]*>(.*?)</td>", row)][1:] for name, row in rows
    }
    page = open_page(path).page
    assert table(page) == texts == expected(run, 0.47)
    assert page.locator("#d-number").input_value() == "0.47"
    assert page.locator("#d-plot b.run").count() == 1
    assert page.locator("#d-plot b.own").count() == 0


def test_a_threshold_from_references_alarms_above_itself(kept_run, tmp_path, open_page):
    """Scores that equal it pass, at the run's thresholds and at the reader's; good images of the run are references."""
    good = [one for one in kept_run.predictions if not one.label]
    decisions = decide(DecisionSettings(parse_threshold("reference:0.6")), kept_run.predictions, good)
    run = replace(kept_run, metrics={**kept_run.metrics, "decisions": decisions})
    ties = {name: one["threshold"] for name, one in decisions["categories"].items()}
    page = open_page(write_report(run, tmp_path / "page", pictures=False)).page
    assert "above its threshold" in page.locator("main").text_content()
    assert {name: table(page)[name] for name in ties} == {name: cells(decisions["categories"][name]) for name in ties}
    page.fill("#d-number", repr(ties["bolt"]))
    said(page, "for every category")
    assert table(page)["bolt"] == cells(decisions["categories"]["bolt"])
    assert cells(decisions["categories"]["bolt"]) != expected(kept_run, ties["bolt"])["bolt"]


@pytest.mark.parametrize("threshold", [0, 0.4, 0.460937, 0.52, 0.9, 1.01])
def test_figures_follow_the_threshold(report, kept_run, open_page, threshold):
    """Counts, rates and intervals of every category, of the mean and of all are those of the package."""
    page = open_page(report).page
    move(page, threshold)
    assert table(page) == expected(kept_run, threshold)
    page.locator("#d-own").click()
    assert table(page) == expected(kept_run, 0.5)


def test_cost_and_precision_on_the_line(report, kept_run, open_page):
    """They appear once the prices are given, and are those of the package; nothing is stored."""
    page = open_page(report).page
    assert "Give all four numbers" in page.locator("#d-cost").text_content()
    for name, value in (("miss", 100), ("false_alarm", 5), ("check", 1), ("prevalence", 2)):
        page.fill(f"#d-{name}", str(value))
    page.select_option("#d-category", "bolt")
    move(page, 0.6)
    images = [one for one in kept_run.predictions if one.category == "bolt"]
    figures = decision([one.label for one in images], [one.image_score for one in images], 0.6, 0.02)
    part = cost(figures, Prices(100, 5, 1, 0.02))
    words = page.locator("#d-cost").text_content()
    assert words.startswith(f"A part costs {part:.4g} on average")
    assert "to pass everything 2, to scrap everything 4.9, to inspect everything 1." in words
    assert "cheaper to inspect everything" in words
    tile = page.locator("#d-rates .tile", has_text="Precision on the line").text_content()
    assert percent(figures["precision_at_prevalence"]) in tile
    page.fill("#d-miss", "")
    said(page, "Give all four", "d-cost")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_images_at_stake(report, kept_run, open_page):
    """The nearest first; misses, false alarms and images without an answer in lists of their own, each shown once."""
    page = open_page(report).page
    move(page, 0.6)
    scored = [one for one in kept_run.predictions if one.image_score is not None]

    def listed(name):
        return page.locator(f'[data-stake="{name}"] .name').all_text_contents()

    near = listed("near")
    by_distance = sorted(abs(one.image_score - 0.6) for one in scored)
    distance = {one.id: abs(one.image_score - 0.6) for one in scored}
    assert [distance[name] for name in near] == by_distance[: len(near)]
    missed = {one.id for one in scored if one.label and one.image_score < 0.6}
    alarmed = {one.id for one in scored if not one.label and one.image_score >= 0.6}
    assert set(listed("missed")) == missed - set(near)
    assert set(listed("alarmed")) == alarmed - set(near)
    assert set(listed("silent")) == {one.id for one in kept_run.predictions if one.image_score is None}


def test_the_panel_works_with_the_keyboard(report, open_page):
    """Arrows move the slider, which says its figures; a link opens its image, filtered or not, and gets focus back."""
    opened = open_page(report)
    page = opened.page
    page.focus("#d-slider")
    page.keyboard.press("ArrowRight")
    said(page, "Threshold 0.51")
    assert page.locator("#d-slider").get_attribute("aria-valuetext") == page.locator("#d-state").text_content()
    page.keyboard.press("End")
    said(page, " 0 of 12 defective images found, 0 false alarms among 10 good images")
    page.fill("#f-text", "nothing has this name")
    link = page.locator(".stakes a").first
    name = link.locator(".name").text_content()
    link.focus()
    page.keyboard.press("Enter")
    assert page.locator("#large-name").text_content() == name
    page.keyboard.press("Escape")
    wait_until(page, "(name) => document.activeElement.querySelector('.name')?.textContent === name", arg=name)
    assert page.evaluate("document.activeElement.matches('.stakes a')")
    assert opened.complaints == []


def test_each_category_has_the_runs_own_threshold(kept_run, tmp_path, open_page):
    """They are shown by category; images that chose them are not judged; the reader's threshold replaces all."""
    run = with_decisions(kept_run, "calibration:0.4", seed=1)
    stored = decisions_of(run)
    page = open_page(write_report(run, tmp_path / "page", pictures=False)).page
    assert {name: row for name, row in table(page).items() if name in stored["categories"]} == {
        name: cells(one) for name, one in stored["categories"].items()
    }
    assert page.locator("#d-state").text_content().startswith("The run's threshold")
    judged = sum(int(table(page)["all images together"][at]) for at in range(6))
    assert judged < len(run.predictions)
    assert f"{len(run.predictions) - judged} images set the thresholds" in page.locator("main").text_content()
    move(page, 0.3)
    assert page.locator("#d-state").text_content().startswith("Threshold 0.3 for every category")
    assert sum(int(table(page)["all images together"][at]) for at in range(6)) == judged


def test_a_category_without_a_threshold_is_not_decided(kept_run, tmp_path, open_page):
    """Its row is empty until the reader gives a threshold; the page gives the reason."""
    run = with_decisions(kept_run, "0.5")
    categories = {**run.metrics["decisions"]["categories"]}
    reason = "alpha 0.05 needs 19 good references; 10 have a score"
    categories["bolt"] = {"threshold": None, "strict": True, "n_chosen_from": 10, "reason": reason}
    decisions = {
        **run.metrics["decisions"],
        "threshold": "conformal:0.05",
        "kind": "conformal",
        "categories": categories,
    }
    run = replace(run, metrics={**run.metrics, "decisions": decisions})
    page = open_page(write_report(run, tmp_path / "page", pictures=False)).page
    assert f"bolt: no threshold, because {reason}." in page.locator("main").text_content()
    assert set(table(page)["bolt"]) == {"", "\N{EN DASH}"}
    move(page, 0.4)
    assert table(page)["bolt"][0] == "4"


def test_a_run_without_a_score_has_no_panel(kept_run, tmp_path, open_page):
    """There is no threshold to move; the table shows that a person decides about every image."""
    silent = [one.model_copy(update={"image_score": None, "regions": {}}) for one in kept_run.predictions]
    run = with_decisions(replace(kept_run, predictions=silent, histograms=None), "0.5")
    opened = open_page(write_report(run, tmp_path / "page", pictures=False))
    assert not opened.page.locator("#d-panel").is_visible()
    assert table(opened.page)["bolt"][:6] == ["0", "0", "6", "0", "0", "5"]
    assert opened.complaints == []
