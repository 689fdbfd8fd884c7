from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Answer, Backend, Capabilities, ManyBackend, Picture, Request, ScriptedBackend
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import ConfigError, FatalError
from lvlm_ad.plugins import as_plugin
from lvlm_ad.presets import validated


def scripted(**options):
    return ScriptedBackend(validated(ScriptedBackend.Options, options, "test"))


def test_a_script_of_texts_and_answers_is_given_in_order():
    """The n-th question gets the n-th answer; every request is remembered; after the last there is an error."""
    backend = ScriptedBackend(script=["one", Answer("two", "truncated")])
    requests = [Request((), text) for text in "ab"]
    assert [backend.answer(request) for request in requests] == [Answer("one"), Answer("two", "truncated")]
    assert backend.requests == requests
    with pytest.raises(FatalError, match="holds 2 answers; question 3 has none"):
        backend.answer(Request((), "c"))


def test_a_script_may_be_a_function():
    """A function of the request decides the answer."""
    backend = ScriptedBackend(script=lambda request: request.text.upper())
    assert backend.answer(Request((), "abc")).text == "ABC"


@pytest.mark.parametrize(
    "content",
    ['["one", {"text": "two", "outcome": "refused"}]', '"one"\n{"text": "two", "outcome": "refused"}\n'],
    ids=["array", "lines"],
)
def test_a_script_may_be_a_file(tmp_path, content):
    """A JSON array or JSON Lines; the file's content, not its name, is the model's identity; cycle begins again."""
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(content)
    first, second = scripted(file=tmp_path / "a.json", cycle=True), scripted(file=tmp_path / "b.json", cycle=True)
    answers = [first.answer(Request((), "q")) for _ in range(3)]
    assert answers == [Answer("one"), Answer("two", "refused"), Answer("one")]
    assert first.identity() == second.identity()
    (tmp_path / "b.json").write_text('["other"]')
    assert scripted(file=tmp_path / "b.json", cycle=True).identity() != first.identity()


@pytest.mark.parametrize("content", ["{", '[{"txt": "a"}]', "[1]", '"a"\nb'])
def test_a_file_that_is_no_script_is_an_error(tmp_path, content):
    """Broken JSON, unknown fields and numbers are clear errors."""
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ConfigError, match="not a JSON array or JSON Lines"):
        scripted(file=tmp_path / "s.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        scripted(file=tmp_path / "absent.json")
    with pytest.raises(ConfigError, match="has no answers"):
        scripted()


def test_a_pictures_digest_is_that_of_its_pixels():
    """The same pixels have the same digest however they were compressed; another shape or pixel has another."""
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    picture = Picture.from_pixels(pixels)
    assert picture.digest == Picture.from_pixels(pixels.copy()).digest
    assert picture.digest != Picture.from_pixels(pixels.reshape(4, 2, 3)).digest
    assert picture.digest != Picture.from_pixels(pixels + 1).digest
    assert np.array_equal(np.asarray(Image.open(BytesIO(picture.data)).convert("RGB")), pixels)


def test_a_backend_of_version_0_1_works_under_its_old_names():
    """A class that sets ``most`` and ``spreads``, or asks for ``gathers``, sets the attributes of today."""

    class Old(ManyBackend):
        most = 3
        spreads = False
        capabilities = Capabilities(concurrency=4, gathers=True)

        def answer_many(self, requests):
            return ["ok"] * len(requests)

    backend = Old()
    assert (backend.max_batch_size, backend.distributable, backend.capabilities.batches_internally) == (3, False, True)
    assert (Old.most, backend.spreads, Capabilities(batches_internally=True).gathers) == (3, False, True)
    backend.most = 5
    assert backend.max_batch_size == 5

    class Newer(Old):
        max_batch_size = 7

    assert (Newer.most, Newer.spreads) == (7, False)
    assert (Backend.spreads, ManyBackend.spreads, ManyBackend.most) == (False, True, 8)


def test_a_baseline_of_version_0_1_works_under_its_old_names():
    """A class that sets ``frame`` and ``spreads``, or writes ``over_category``, sets the attributes of today."""

    class Old(Baseline):
        frame = spreads = True

        def over_category(self, parts):
            return [part for (part,) in parts]

    assert (Old.reference_row, Old.distributable, Old().frame) == (True, True, True)
    assert Old().finalize_category([(0.5,)]) == Old().over_category([(0.5,)]) == [0.5]
    assert (Baseline.frame, Baseline().spreads) == (False, False)


def test_any_class_with_answer_works_under_old_names():
    """A class that knows nothing of ``Backend`` may still say ``most`` and ``spreads``."""

    class Stranger:
        most = 2
        spreads = False

        def answer_many(self, requests):
            return ["ok"] * len(requests)

    backend = as_plugin(Stranger, "stranger.py").build()
    assert (backend.max_batch_size, backend.distributable) == (2, False)
