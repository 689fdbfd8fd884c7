"""The page of a study: it answers its question first, says it in words, and is safe and readable everywhere."""

import html
import re
import shutil
from pathlib import Path

import pytest

from lvlm_ad.report.stability_answer import stability_checks
from lvlm_ad.report.stability_plots import stability_plots
from lvlm_ad.report.study_page import study_page, write_study
from lvlm_ad.studies import STUDY_FORMATS, Number, StabilityFigures, Study, figures_of
from lvlm_ad.studies.efficiency_tables import numbered
from lvlm_ad.studies.stability_record import AurocNoise
from lvlm_ad.studies.values import KINDS

FROZEN = Path(__file__).parents[1] / "data" / "studies"

HOSTILE = "</title><script>document.title='owned'</script><b onload=x>$x_1$ \x1b[31m \u202eevil"


@pytest.fixture(scope="session", params=sorted(KINDS))
def page(request, tmp_path_factory):
    """The page of a study of each kind."""
    folder = Path(shutil.copytree(FROZEN / request.param, tmp_path_factory.mktemp("study") / request.param))
    return write_study(Study.read(folder), folder)


def test_the_verdict_comes_before_all_else(page):
    """The verdict is the first paragraph below the heading; the figures follow, each with a sentence, then tables."""
    text = page.read_text()
    study = Study.read(page.parent)
    places = [text.index(one) for one in ('class="verdict"', 'id="figures"', 'id="numbers"', 'id="asked"')]
    assert places == sorted(places)
    assert text.index("<main") < places[0] < text.index("<h2")
    assert f'<p class="verdict">{study.verdict}</p>' in text
    figures = re.findall(r"<figure>.*?</figure>", text, re.DOTALL)
    assert len(figures) > 2
    for figure in figures:
        assert re.search(r"<figcaption>[^<]{30,}\.(<ol>|</figcaption>)", figure)
        assert re.search(r'role="img" aria-label="[^"]{30,}\."', figure)


def test_nothing_of_a_stranger_is_markup():
    """Names of a model, of levels and reasons are text on the page, in its plots and in the LaTeX file."""
    study = Study.read(FROZEN / "stability")
    figures = StabilityFigures.model_validate(study.figures)
    level = figures.factors[0].levels[0].model_copy(update={"level": HOSTILE})
    factor = figures.factors[0].model_copy(update={"factor": HOSTILE, "levels": [level]})
    noise = figures.auroc.model_copy(update={"level": HOSTILE})
    figures = figures.model_copy(update={"factors": [factor], "auroc": noise})
    condition = study.conditions[0].model_copy(update={"name": HOSTILE, "level": HOSTILE, "problem": HOSTILE})
    changes = {"model": HOSTILE, "method": HOSTILE, "dataset": HOSTILE, "verdict": HOSTILE, "conditions": [condition]}
    changes |= {"findings": [HOSTILE]}
    changed = study.model_copy(update={**changes, "figures": figures.model_dump(mode="json")})
    text = study_page(changed)
    assert "$x_1$" not in STUDY_FORMATS["tex"](changed)
    assert "<script" not in text
    assert "<b onload" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "script-src 'none'" in html.unescape(text)


@pytest.mark.parametrize(
    ("asking", "change", "interval", "sampling", "answers"),
    [
        (0.051, 0.06, (0.03, 0.09), 0.061, (False, False, False)),
        (0.0, 0.01, (-0.005, 0.015), 0.014, (True, True, True)),
        (0.001, 0.01, (0.005, 0.015), 0.014, (True, True, True)),
        (0.001, 0.01, (0.005, 0.025), 0.014, (True, None, True)),
        (0.02, None, None, 0.021, (False, None, False)),
        (0.0, 0.03, (-0.01, 0.05), 0.061, (None, None, False)),
        (0.01, 0.03, (0.01, 0.05), 0.014, (True, None, True)),
        (0.01, 0.01, (0.005, 0.015), 0.02, (True, None, False)),
        (0.0, 0.0, None, None, (None, None, None)),
        (None, None, None, None, (None, None, None)),
    ],
)
def test_the_answer_is_that_of_the_verdict(asking, change, interval, sampling, answers):
    """Each reason is held against 2 points by the verdict's own limits; what is unknown is said to be."""
    from lvlm_ad.studies.stability_changes import OtherWays
    from lvlm_ad.studies.stability_verdict import Asked, verdict

    noise = AurocNoise(asking_sd=None, asking=asking, sampling=sampling, factor=change)
    figures = StabilityFigures.model_validate(Study.read(FROZEN / "stability").figures)
    difference, unknown = Number(value=change, interval=interval), Number(value=None)
    level = figures.factors[0].levels[0].model_copy(update={"auroc_difference": difference, "shift": unknown})
    factor = figures.factors[0].model_copy(update={"levels": [level]})
    figures = figures.model_copy(update={"auroc": noise, "factors": [factor]})
    checks = stability_checks(figures)
    assert tuple(one.passed for one in checks) == answers
    sentence = verdict(noise, Asked(0.9, 50, 50), OtherWays.of(figures))
    assert sentence.startswith("Stable enough") == (None not in answers and all(answers))
    assert sentence.startswith("Too unstable") == (False in answers[:2])


def test_more_images_are_advised_against_the_noise_of_asking():
    """The spread of asking again is that of so many images; the page says about how many make it small enough."""
    figures = StabilityFigures.model_validate(Study.read(FROZEN / "stability").figures)
    noise = AurocNoise(asking_sd=None, asking=0.107, sampling=0.05, factor=None)
    repeats = {"all": figures.repeats["all"].model_copy(update={"images": 30, "answering": None})}
    again = stability_checks(figures.model_copy(update={"auroc": noise, "repeats": repeats}))[0]
    assert again.words.endswith(" less than 10.7 points in 95 of 100 cases, with 30 images")
    assert again.advice.startswith("Ask about more images (about 860), average several answers about each image")


def test_votes_of_a_model_that_repeats_itself_are_not_too_few_images():
    """Gains of exactly 0 for each image have no interval, and the page does not ask for more images."""
    figures = StabilityFigures.model_validate(Study.read(FROZEN / "stability").figures)

    def words(number):
        votes = [one.model_copy(update={"gain": number}) for one in figures.votes]
        plots = stability_plots(figures.model_copy(update={"votes": votes}))
        return next(one.words for one in plots if one.plot.title == "What several answers give")

    assert words(Number(value=0.0, reason="all images alike")).endswith("the values are the same for all images.")
    assert words(Number(value=0.0, reason="fewer than 2 images")).endswith("There are too few images for intervals.")


def test_a_combination_has_one_number_on_the_page_of_an_efficiency_study():
    """The same in the key of each plot, at its points and bars, and in each table."""
    study = Study.read(FROZEN / "efficiency")
    words = [one.words for one in numbered(figures_of(study).rows).values()]
    text = html.unescape(study_page(study))
    keys = re.findall(r'<li value="(\d+)">([^<]*)</li>', text)
    rows = re.findall(r'<tr><td>(\d+)</td><th scope="row">([^<]*)</th>', text)
    assert len(keys) > 20
    assert len({number for number, _ in keys}) > 8
    assert len(rows) > 6 * len(words)
    for number, said in [*keys, *rows]:
        # Of names that begin alike, the longest is meant.
        assert max((one for one in words if one in said), key=len) == words[int(number) - 1]
    drawn = re.search(r'id="probability-image-auroc-.*?</svg>', text, re.DOTALL)[0]
    own = re.search(r"Worth its price\? Image AUROC.*?</figure>", text, re.DOTALL)[0]
    for number in re.findall(r'<li value="(\d+)">', own):
        assert f">{number}</text>" in drawn


def test_a_study_without_answers_has_a_page():
    """Where nothing was measured there is no plot of it, and the page says what is missing."""
    study = Study.read(FROZEN / "stability")
    figures = figures_of(study)
    empty = figures.model_copy(
        update={
            "factors": [],
            "votes": [],
            "positions": None,
            "components": None,
            "metrics": {},
            "repeats": {},
            "auroc": AurocNoise(asking_sd=None, asking=None, sampling=None, factor=None),
        }
    )
    assert stability_plots(empty) == []
    text = study_page(study.model_copy(update={"figures": empty.model_dump(mode="json"), "state": "interrupted"}))
    assert "This study was interrupted" in text
    assert text.count("Unknown") == 3


@pytest.mark.heavy
@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (1280, "light"), (390, "light"), (390, "dark")])
def test_the_page_is_quiet_fits_and_has_no_barrier(page, open_page, width, scheme):
    """No request leaves it, no script, nothing wider than the screen, letters large enough; axe-core is content."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    opened = open_page(page, width=width, scheme=scheme)
    shown = opened.page
    assert [url for url in opened.requested if not url.startswith(("file:", "data:"))] == []
    assert opened.complaints == []
    assert shown.locator("script").count() == 0
    violations = axe.Axe().run(shown).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in {"serious", "critical"}] == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    sizes = shown.evaluate(
        "[...document.querySelectorAll('figure svg text')].map(t => t.getBoundingClientRect().height)"
    )
    assert sizes
    assert min(sizes) >= 9


def test_findings_stand_between_the_verdict_and_the_figures():
    """Each finding is a line of a list; a study without any has no list."""
    study = Study.read(FROZEN / "grounding")
    assert 'class="findings"' not in study_page(study)
    text = study_page(study.model_copy(update={"findings": ["Marks do nothing.", "Nothing else."]}))
    found = text.index('<ul class="findings"><li>Marks do nothing.</li><li>Nothing else.</li></ul>')
    assert text.index('class="verdict"') < found < text.index('id="figures"')


def test_plots_of_grounding_name_what_they_show():
    """Marks and hits are labelled with names at the axis and in the legend, and no list of numbers is needed."""
    text = study_page(Study.read(FROZEN / "grounding"))
    figures = re.findall(r"<figure><h3>(.*?)</h3>(.*?)</figure>", text, re.DOTALL)
    drawn = {
        title: re.findall(r"<text[^>]*>([^<]+)</text>|<tspan[^>]*>([^<]+)</tspan>", body) for title, body in figures
    }
    words = {title: {one or other for one, other in pairs} for title, pairs in drawn.items()}
    assert {"regions, marked", "against score", "good images"} <= words["Scores with marks on the picture"]
    assert {"regions, marked", "zoom"} <= words["Which defects are hit"]
    assert "Where AUPRO is lost" in words
    study = Study.read(FROZEN / "grounding")
    placed = next(one for one in study.figures["methods"] if one["hits"])
    names = [f"way {number}" for number in range(9)]
    study.figures["methods"] = [{**placed, "condition": name, "method": name} for name in names]
    hits = study_page(study).partition("Which defects are hit</h3>")[2].partition("</figure>")[0]
    assert all(f">{name}<" in hits for name in names[:7]), "as many as there are methods with places"
    assert "Only in the table: 2 more." in hits
    assert "<ol>" not in text
    body = dict(figures)["How large must the picture be?"]
    assert "Pixel AP is measured at each size" in body[body.index("<figcaption>") :]


@pytest.mark.heavy
@pytest.mark.parametrize("page", ["grounding"], indirect=True)
def test_a_long_table_opens_when_asked_and_in_print(page, open_page):
    """A table of more than 30 rows is closed until its line is chosen by keyboard; a printed page shows it."""
    shown = open_page(page).page
    summary, table = shown.locator("summary"), shown.locator("details .scroll")
    assert summary.all_inner_texts() == ["Show all 32 rows"]
    assert not table.is_visible()
    shown.emulate_media(media="print")
    assert table.is_visible()
    shown.emulate_media(media="screen")
    summary.press("Enter")
    assert table.is_visible()


@pytest.mark.heavy
def test_tables_are_reached_by_keyboard_and_printed_whole(page, open_page):
    """Tab reaches the links and every table that scrolls; a printed page cuts no table."""
    shown = open_page(page, width=390).page
    reached = set()
    for _ in range(60):
        shown.keyboard.press("Tab")
        reached.add(
            shown.evaluate("document.activeElement.getAttribute('aria-labelledby') ?? document.activeElement.href")
        )
    tables = shown.evaluate(
        "[...document.querySelectorAll('.scroll:not(details .scroll)')].map(one => one.getAttribute('aria-labelledby'))"
    )
    assert tables
    assert set(tables) <= reached
    shown.emulate_media(media="print")
    assert shown.locator(".scroll").first.evaluate("one => getComputedStyle(one).overflow") == "visible"
