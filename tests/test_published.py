"""Published results: every number is the one that was read at its source, and what the file may not hold."""

import re
from pathlib import Path

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.presets import PUBLISHED_METRICS, published_rows, validated
from lvlm_ad.presets.published import PublishedTables

IMAGE = ("image_auroc", "image_f1_max", "image_ap")
PIXEL = ("pixel_auroc", "pixel_f1_max", "pixel_ap", "pixel_aupro")
ANSWERS = ("balanced_accuracy", "recall", "precision", "f1")
MAP_SOURCES = (("Jeong", "winclip"), ("VisualAD (CVPR", "visualad"), ("AnomalyVFM", "anomalyvfm"))
PARTS = {"DS-MVTec": "DS-MVTec", "VisA": "VisA", "LOCO": "MVTec-LOCO", "GoodsAD": "GoodsAD"}

FILE = {
    "source": [{"key": "s", "name": "S", "year": 2020, "where": "a table", "definitions": "Means."}],
    "test_set": [{"dataset": "mvtec", "title": "MVTec AD", "images_of": "mvtec"}],
    "table": [
        {
            "source": "s",
            "dataset": "mvtec",
            "method": "maps",
            "shots": 0,
            "trained_on": ["visa"],
            "metrics": ["image_auroc"],
            "rows": {"A": [90.0]},
        }
    ],
}


@pytest.fixture
def spec(shared):
    """The notes on published numbers, as text."""
    path = shared / "specs" / "published.md"
    if not path.exists():
        pytest.skip("the notes on published numbers are not beside this checkout: shared/specs/published.md")
    return path.read_text(encoding="utf-8")


def cells_after(text, head):
    """The rows of the first table whose heading begins so, as lists of cells."""
    lines = iter(text[text.index(head) :].splitlines()[2:])
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def numbers(metrics, cell):
    """Metric -> value of a cell such as 85.1/31.7/-/64.6."""
    return {name: float(one) for name, one in zip(metrics, cell.split("/"), strict=True) if one.strip() != "-"}


def as_set(rows):
    """What is compared of rows: model, data set, part, source, shots, training data and values."""
    return {
        (one.model, one.test_set.dataset, one.test_set.part, one.source.key, one.shots, one.trained_on, *values)
        for one in rows
        for values in [sorted(one.values.items())]
    }


def map_rows(spec):
    """The rows of the table of map methods."""
    source, found = "", set()
    for name, mvtec, mvtec_pixel, visa, visa_pixel, where, trained in cells_after(spec, "| method | MVTec image"):
        source = next((key for words, key in MAP_SOURCES if words in where), source)
        for dataset, image, pixel in (("mvtec", mvtec, mvtec_pixel), ("visa", visa, visa_pixel)):
            other = {"mvtec": "visa", "visa": "mvtec"}[dataset]
            data = {"nothing": "nothing", "synthetic anomalies": "synthetic"}.get(trained, other)
            values = numbers(IMAGE, image) | numbers(PIXEL, pixel)
            found.add((name, dataset, "", source, 0, (data,), *sorted(values.items())))
    return found


def mmad_rows(spec):
    """The rows of MMAD's table."""
    found = set()
    for name, *cells in cells_after(spec, "| model | DS-MVTec"):
        model, trained = re.fullmatch(r"([^(]+?)(?: \(trained on (\w+)\))?", name).groups()
        for part, cell in zip(PARTS.values(), cells, strict=True):
            values = numbers(
                ANSWERS[: cell.count("/") + 2 if "(" in cell else 1], re.sub(r" \(|\)", "/", cell).strip("/")
            )
            key = (model, "mmad", part, "mmad", 1, (trained.lower() if trained else "nothing",))
            found.add((*key, *sorted(values.items())))
    return found


def iad_r1_rows(spec):
    """What the sentences on IAD-R1 say: models, after its training, and with more references."""
    names = {"LLaVA-OV-7B": "LLaVA-OneVision-7B"}
    text = re.search(r"IAD-R1 \(AAAI.*?Nobody", spec, re.DOTALL)[0]
    plain, trained = text.split("LLaVA-OV-7B after its training, ")
    trained, references = trained.split("References do not help")
    found = []
    model, mvtec, visa = re.search(r"(Qwen-VL-MAX) 0-shot ([\d.]+) MVTec, ([\d.]+) VisA", plain).groups()
    found += [(model, "DS-MVTec", 0, "nothing", mvtec), (model, "VisA", 0, "nothing", visa)]
    after = [("LLaVA-OV-7B", *re.search(r"(\d+\.\d) / (\d+\.\d)", trained).groups())]
    after += re.findall(r"(Qwen2.5-VL-\dB) (\d+\.\d) / (\d+\.\d)", trained)
    for model, *values in after:
        name = f"IAD-R1-UPDATE ({names.get(model, model)})"
        found += [(name, part, 0, "expert-ad", one) for part, one in zip(("DS-MVTec", "VisA"), values, strict=True)]
    for model, *values in re.findall(r"([\w.-]+-\dB) ([\d.]+) -> ([\d.]+\d)", references):
        found += [
            (names.get(model, model), "DS-MVTec", n, "nothing", one) for n, one in zip((2, 4), values, strict=True)
        ]
    return {
        (model, "mmad", part, "iad-r1", shots, (trained_on,), ("balanced_accuracy", float(value)))
        for model, part, shots, trained_on, value in found
    }


def test_every_number_is_that_of_the_notes(spec):
    """Rows, sources, shots, training data and values are those read at the sources: none is missing, none is added."""
    (gpt,) = cells_after(spec, "| method | MVTec | VisA | what")
    expected = map_rows(spec) | mmad_rows(spec) | iad_r1_rows(spec)
    for dataset, cell in (("mvtec", gpt[1]), ("visa", gpt[2])):
        values = numbers(("image_auroc", "pixel_auroc"), cell)
        expected.add((gpt[0], dataset, "", "gpt-4v-ad", 0, ("nothing",), *sorted(values.items())))
    aupro = float(re.search(r"MuSc uses the unlabelled test images: AUPRO ([\d.]+) on MVTec \[R\]", spec)[1])
    expected.add(("MuSc", "mvtec", "", "musc", 0, ("nothing",), ("pixel_aupro", aupro)))
    found = as_set(published_rows())
    assert found == expected
    assert len(found) == len(published_rows()) == 69


def test_what_is_not_confirmed_is_not_carried(spec):
    """None of the methods that the notes name as not confirmed has a row."""
    names = re.search(r"Not confirmed, so not carried: (.+)\.", spec)[1].split(", ")
    carried = {row.model for row in published_rows()}
    assert len(names) == 7
    assert [name for name in names if any(name.split()[0] in model for model in carried)] == []


def test_rows_say_what_a_reader_must_know():
    """Who was trained on the tested objects, who sees all test images, and why two sources differ."""
    rows = published_rows()
    assert [(one.model, one.test_set.part) for one in rows if one.is_trained_on_test_set] == [
        ("AnomalyGPT", "DS-MVTec")
    ]
    assert [one.model for one in rows if one.transductive] == ["MuSc"]
    differing = [one for one in rows if one.model == "WinCLIP"]
    assert len(differing) == 4
    (why,) = {one.notes for one in differing}
    assert why[0].startswith("Jeong et al., CVPR 2023 and VisualAD, CVPR 2026 give different numbers: ")
    assert all(
        words in why[0]
        for words in ("zqhang/Accurate-WinCLIP-pytorch", "ViT-B/16+, 240 px", "probably", "ViT-L/14 at 336 px")
    )
    for one in rows:
        assert one.source.where
        assert set(one.values) <= set(PUBLISHED_METRICS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": {"A": [90.0, 1.0]}}, "A of s has not one value for each metric"),
        ({"rows": {"A": [100.5]}}, "must be 100 or less; got 100.5"),
        ({"metrics": ["image_auc"]}, "unknown metric image_auc"),
        ({"trained_on": ["nothing", "visa"]}, "trained_on names nothing beside a data set"),
        ({"trained_on": []}, "must have 1 or more entries"),
        ({"source": "t"}, "source t or test set mvtec"),
        ({"part": "VisA"}, "test set mvtec VisA is not listed once"),
        ({"method": "few"}, "method"),
        ({"notes": {"B": "x"}}, "B of s"),
        ({"seed": 1}, "seed"),
    ],
)
def test_a_wrong_file_is_one_error(change, message):
    """It names the place and what is wrong."""
    assert [row.model for row in validated(PublishedTables, FILE, "x.toml").rows()] == ["A"]
    wrong = {**FILE, "table": [{**FILE["table"][0], **change}]}
    with pytest.raises(ConfigError, match=re.escape(message)) as raised:
        validated(PublishedTables, wrong, "x.toml")
    assert str(raised.value).startswith("x.toml")


def test_a_difference_without_an_explanation_is_an_error():
    """Two sources of one model under the same conditions need a reason; a row that stands twice is an error too."""
    other = {**FILE["source"][0], "key": "t"}
    tables = [FILE["table"][0], {**FILE["table"][0], "source": "t"}]
    both = {**FILE, "source": [FILE["source"][0], other], "table": tables}
    with pytest.raises(ConfigError, match=r"A: no \[\[differing\]\] says why s, t differ"):
        validated(PublishedTables, both, "x.toml")
    explained = {**both, "differing": [{"model": "A", "sources": ["s", "t"], "why": "another seed"}]}
    assert [row.notes for row in validated(PublishedTables, explained, "x.toml").rows()] == [
        ("S and S give different numbers: another seed",)
    ] * 2
    with pytest.raises(ConfigError, match="A of s stands twice"):
        validated(PublishedTables, {**FILE, "table": [FILE["table"][0]] * 2}, "x.toml")


def test_the_readme_shows_published_numbers_as_they_are():
    """Each pair of AUROCs that README.md gives for MVTec AD and VisA is that of a published row of the model."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    table = text.split("| *published by others*")[1].split("| *measured with lvlm-ad*")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:] if line]
    assert len(lines) >= 5
    for model, _, *pairs in lines:
        for dataset, pair in zip(("mvtec", "visa"), pairs, strict=False):
            rows = [row for row in published_rows() if row.test_set.dataset == dataset and not row.test_set.part]
            named = [row for row in rows if row.model == model.split(",")[0]]
            known = {f"{row.values['image_auroc']}/{row.values['pixel_auroc']}" for row in named}
            assert pair in known, (model, dataset)
