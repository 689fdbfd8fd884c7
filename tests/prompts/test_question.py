import numpy as np
import pytest

from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import read_image, resize_image
from lvlm_ad.errors import ConfigError
from lvlm_ad.methods.regions import NumberedRegions
from lvlm_ad.presets import Protocol, load_prompt, preset_names, validated
from lvlm_ad.prompts import Questioner, answer_schema, class_name
from lvlm_ad.regions import divide
from lvlm_ad.text2seg import parse

ABOUT_REGIONS = ("class", "general", "json", "reason", "types")
"""The prompts that ask about numbered regions."""


@pytest.fixture
def dataset(kept_data):
    return load_dataset("folder", kept_data)


@pytest.fixture
def ask(dataset, region_question):
    def ask(prompt="class", seed=0, **settings):
        protocol = Protocol(image_size=128, **settings)
        sample = dataset[-1]
        image = resize_image(sample.image, (128, 128))
        regions = divide(image, n_segments=6, max_area=1e9)
        question = region_question(
            dataset, protocol, load_prompt(prompt), image, regions, category=sample.category, seed=seed
        )
        return question[0], regions, question[1]

    return ask


@pytest.mark.parametrize(
    ("category", "name"),
    [
        ("pcb1", "pcb"),
        ("macaroni2", "macaroni"),
        ("metal_nut", "metal nut"),
        ("pipe_fryum", "pipe fryum"),
        ("12", "12"),
    ],
)
def test_class_names(category, name):
    """A trailing number goes and underscores become spaces."""
    assert class_name(category) == name


def test_a_prompt_file_may_name_classes():
    """The table class_names overrides the rule."""
    assert class_name("pcb1", {"pcb1": "circuit board"}) == "circuit board"


@pytest.mark.parametrize("prompt", ABOUT_REGIONS)
def test_every_prompt_says_what_the_method_needs(ask, prompt):
    """Each preset mentions borders, numbers from 1 and scores from 0 to 1, and shows a format that can be read."""
    request, regions, _ = ask(prompt)
    text = request.text
    for phrase in ("White borders", "counted from 1", "from 0 to 1", "higher score means more anomalous", "ny region"):
        assert phrase in text
    assert f"{regions.count} regions" in text
    assert ("nut" in text) == (prompt != "general")
    assert "$" not in text
    assert not parse(text, 9).usable, "an echo of the question is no answer"
    example = parse(text.strip().rpartition("\n")[2], 9)
    assert (example.image, dict(example.regions), example.status) == (0.9, {1: 0.9, 3: 0.7}, "ok")


def test_only_the_types_prompt_tells_the_kinds_of_defect(ask):
    """Only the prompt "types" contains the folder names of defects; it is marked as not zero-knowledge."""
    for prompt in ABOUT_REGIONS:
        assert (": hole." in ask(prompt)[0].text) == (prompt == "types")
    for prompt in preset_names("prompts"):
        assert load_prompt(prompt).zero_knowledge == (prompt != "types")


def test_the_json_prompt_demands_a_schema(ask):
    """The json prompt carries a schema bounded by the regions drawn; text prompts carry none."""
    request, regions, _ = ask("json")
    assert request.options["schema"] == answer_schema(regions.count)
    region = request.options["schema"]["properties"]["regions"]["items"]["properties"]["region"]
    assert region["maximum"] == regions.count > 1
    assert "schema" not in ask("class")[0].options


@pytest.mark.parametrize(("visual", "count"), [("marked", 1), ("image+marked", 2), ("image+marks", 2)])
def test_visual_decides_the_pictures(ask, visual, count):
    """The pictures come in the order that the setting names, and the text describes them."""
    request, _, _ = ask(visual=visual)
    assert len(request.images) == count == NumberedRegions().most_pictures(Protocol(visual=visual))
    assert all(picture.data.startswith(b"\x89PNG") for picture in request.images)
    assert ("two pictures" in request.text) == (count == 2)


def test_reference_images_come_first_and_are_always_the_same(ask, dataset):
    """Shots puts unmarked training images before the question: fixed by the seed, never from the test split."""
    request, _, _ = ask(shots=2)
    again, _, _ = ask(shots=2)
    assert len(request.images) == 3 == NumberedRegions().most_pictures(Protocol(shots=2))
    assert request.images == again.images
    assert "2 pictures of flawless products" in request.text
    training = {read_image(path).tobytes() for path in dataset.references["nut1"]}
    pixels = {resize_image(read_image(path), (128, 128)).tobytes() for path in dataset.references["nut1"]}
    assert len(training) == 3
    from io import BytesIO

    from PIL import Image

    shown = [np.asarray(Image.open(BytesIO(picture.data)).convert("RGB")).tobytes() for picture in request.images]
    assert set(shown[:2]) < pixels
    assert shown[2] not in pixels
    chosen = {ask(shots=1, seed=seed)[0].images[0].digest for seed in range(12)}
    assert len(chosen) == 3


def test_too_few_reference_images_is_an_error(ask):
    """More shots than training images are an error before anything is asked."""
    with pytest.raises(ConfigError, match=r"shots=4.*has only 3"):
        ask(shots=4)


def test_the_hash_covers_what_shapes_a_question(ask):
    """Prompt, marks, visual, references and size change the hash; nothing else does."""
    hashes = {
        ask(**settings)[2].hash
        for settings in (
            {},
            {"prompt": "general"},
            {"visual": "image+marked"},
            {"number_size": 20},
            {"border_width": 3},
            {"shots": 1},
        )
    }
    assert len(hashes) == 6
    assert ask()[2].hash == ask(binary=True)[2].hash


def test_a_wrong_placeholder_is_named(dataset):
    """A prompt file with an unknown placeholder fails at once, with the known ones."""
    prompt = validated(type(load_prompt("class")), {"name": "mine", "text": "A $clas_name"}, "prompt mine")
    with pytest.raises(ConfigError, match=r"clas_name.*\$class_name"):
        Questioner(dataset, Protocol(), prompt, seed=0)
