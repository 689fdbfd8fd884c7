"""What the pages of a site claim: of models and reference rows, of verification, and where a number has no interval."""

import html
import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from lvlm_ad.log import Progress
from lvlm_ad.presets import ExportTargets
from lvlm_ad.site import SiteOptions, write_site

SCRIPTED = Path(__file__).parents[2] / "docs" / "pictures" / "scripted.py"


def text_of(page):
    """The words of a page, without tags."""
    body = page.read_text().partition("<body>")[2].partition("<script>")[0]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


@pytest.fixture
def references(make_reference_row, make_own_map):
    """Reference rows, and the own map of one; nobody measured a model."""
    own = make_own_map("contrast", 0.99)
    model = own.manifest.model.model_copy(update={"frame": True})
    own = replace(own, manifest=own.manifest.model_copy(update={"model": model}))
    return [make_reference_row("chance", 0.5), make_reference_row("contrast", 0.8), own]


def test_reference_rows_are_not_called_models(references, make_run, tmp_path):
    """Without a model the first page says so, and shows none as the best; else it counts models and reference rows."""
    alone = text_of(write_site(references, tmp_path / "alone"))
    assert "No model has been measured here yet; the rows below are reference rows (chance, contrast)." in alone
    assert "No model has been measured on these images yet." in alone
    assert "The best on each data set" not in alone
    assert "contrast (dense)" not in alone
    some = text_of(write_site([*references, make_run("a", 0.9)], tmp_path / "some"))
    assert "1 run of 1 model and 2 reference rows, on 1 data set." in some
    assert "No model has been measured" not in some


def test_no_page_says_that_every_number_has_an_interval(references, make_run, tmp_path):
    """Some images allow none; the explanation says where the reason is. A site of others' numbers does not vouch."""
    index = write_site([*references, make_run("a", 0.9)], tmp_path / "site")
    assert "Numbers have 95 % intervals where the images allow one" in text_of(index)
    for page in ("datasets/demo.html", "models/a.html"):
        assert "Where a measured value has none, the run's metrics file says why." in text_of(index.parent / page), page
    empty = write_site([], tmp_path / "empty").parent
    assert "computed without binning" not in text_of(empty / "published.html")


def test_a_rank_says_among_how_many_rows(references, make_run, tmp_path):
    """A first place of one row reads as what it is."""
    index = write_site([*references, make_run("a", 0.9)], tmp_path / "one")
    assert "1 of 1" in text_of(index.parent / "models" / "a.html")
    index = write_site([*references, make_run("a", 0.9), make_run("b", 0.5)], tmp_path / "two")
    assert "2 of 2" in text_of(index.parent / "models" / "b.html")
    assert not re.search(r"\d of 2\b", text_of(index.parent / "models" / "contrast.html"))


def test_the_page_on_submission_does_not_promise_what_was_not_done(references, tmp_path):
    """Without --verify it says so before it says how a verified site is made."""
    pages = {
        verified: text_of(write_site(references, tmp_path / str(verified), options=options).parent / "submit.html")
        for verified, options in ((False, SiteOptions()), (True, replace(SiteOptions(), verified=True)))
    }
    assert "as the owner of this site will" not in pages[False]
    first, second = (
        pages[False].index(words) for words in ("were not verified when it was made", "A verified site is")
    )
    assert first < second
    assert "Every run was verified" in pages[True]


def test_a_model_page_explains_its_headings_and_kinds(references, make_run, tmp_path):
    """What the page of a data set explains, that of a model does, too; a reference row is not called a model."""
    folder = write_site([*references, make_run("a", 0.9)], tmp_path / "site").parent
    for name, kind in (("a", "Model"), ("contrast", "Reference row")):
        text = text_of(folder / "models" / f"{name}.html")
        assert f" {kind} {name} " in text
        assert "In percent. I: image, P: pixel" in text


def test_a_model_page_says_which_model_was_asked(make_run, tmp_path):
    """A preset's name may stand for any model, and a scripted one must not pass for a real one."""
    options = runpy.run_path(str(SCRIPTED))["ScriptedOptions"]()
    index = write_site([make_run("a", 0.9, model={"identity": {"model": options.model}})], tmp_path / "site")
    assert "A chat model: it is asked about each image. scripted, not a real model" in text_of(
        index.parent / "models" / "a.html"
    )
    assert "scripted, not a real model" in text_of(index.parent / "datasets" / "demo.html")


def test_an_unknown_cost_is_not_written_as_zero(make_run, tmp_path):
    """A sum is of known costs alone, and there is none without any."""
    runs = [make_run("a", 0.9), make_run("a", 0.8, prompt="other"), make_run("b", 0.9)]
    for run, cost in zip(runs, (0.5, None, None), strict=True):
        run.metrics["usage"]["cost_usd"] = cost
    models = write_site(runs, tmp_path / "site").parent / "models"
    assert "0.5 USD; 1 run of unknown cost" in text_of(models / "a.html")
    assert "1 run of unknown cost" in text_of(models / "b.html")
    assert "0.00 USD" not in text_of(models / "b.html")


def test_a_page_does_not_say_that_reference_rows_were_asked(references, make_run, tmp_path):
    """They stand in tables of questions, and cards count the runs of models as the first sentence does."""
    index = write_site([*references, make_run("a", 0.9)], tmp_path / "site")
    assert "reference rows and own anomaly maps were asked none" in text_of(index.parent / "datasets" / "demo.html")
    assert "1 table, 1 run of models" in text_of(index)
    assert "of models A card" not in text_of(write_site(references, tmp_path / "alone"))


def test_a_card_without_ranks_says_why(make_run, tmp_path):
    """Ten images cannot rank, and a reader of the card does not see the table's sentence."""
    runs = [make_run("a", 1.0), make_run("b", 0.0)]
    few = []
    for run in runs:
        kept = [one for one in run.predictions if one.category == "a" and one.id[-2:] < "05"]
        dataset = run.manifest.dataset.model_copy(update={"n_images": len(kept)})
        few.append(replace(run, predictions=kept, manifest=run.manifest.model_copy(update={"dataset": dataset})))
    assert "Too few images to rank" in text_of(write_site(few, tmp_path / "few"))
    assert "Too few images to rank" not in text_of(write_site(runs, tmp_path / "many"))


def test_a_benchmark_without_an_export_is_named(make_run, tmp_path):
    """An owner who names a benchmark learns why no file was made for it."""
    notes = []

    class Notes(Progress):
        def note(self, text):
            notes.append(text)

    hub = {"id": "org/name", "tasks": {"image_auroc": "detection"}}
    papers = {"task_id": 7, "dataset_id": 42, "metrics": {"image_auroc": "AUROC"}}
    targets = ExportTargets(datasets={"demo": {"huggingface": hub, "paperswithcode": papers}})
    options = SiteOptions(targets=targets)
    write_site([make_run("a", 0.9)], tmp_path / "one", options=options, progress=Notes())
    assert [note.partition(":")[0] for note in notes if note.startswith("No file of")] == [
        "No file of demo for the Hugging Face hub"
    ]
    notes.clear()
    local = {"plugin": "vllm", "identity": {"model": "org/model"}}
    write_site([make_run("a", 0.9, model=local)], tmp_path / "two", options=options, progress=Notes())
    assert not any(note.startswith("No file of") for note in notes)
