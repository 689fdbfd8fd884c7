"""Classes of the user: named by file or module, made to keep the contract, identified by their code."""

import json
import sys

import numpy as np
import pytest

from lvlm_ad.backend import Backend, Capabilities, ManyBackend, Request
from lvlm_ad.baseline import Baseline, View
from lvlm_ad.errors import ConfigError, PluginError
from lvlm_ad.plugins import build, find_model, load_plugin
from lvlm_ad.runs import find_runs, read_run

PLAIN = "class Mine:\n    def answer(self, request):\n        return 'image anomaly score: 0.5; region 1: 0.25'\n"

TOGETHER = """
class Together:
    max_batch_size = 3
    closed = False
    def answer_many(self, requests):
        with open("sizes.txt", "a") as file:
            file.write(f"{len(requests)} ")
        return [f"image anomaly score: 0.{len(one.images[0].data) % 10}" for one in requests]
    def close(self):
        self.closed = True
"""

SCORES = """
import numpy as np
from lvlm_ad.baseline import DenseScores

class Bright:
    def score(self, view):
        grey = view.image.mean(axis=2).astype(np.float32) / 255
        return DenseScores(float(grey.max()), grey, parts=(float(grey.max()),))
    def finalize_category(self, parts):
        return [part for part, in parts]
"""

OPTIONS = '''
from enum import Enum
from pathlib import Path
from lvlm_ad.backend import Backend, BackendOptions

class Size(Enum):
    SMALL = "small"
    LARGE = "large"

class Options(BackendOptions):
    word: str = "0.5"
    """The word of the answer."""
    sharpness: float = 1.0
    size: Size = Size.SMALL
    place: Path = Path("/a-very-long-name-of-a-folder/with-another-long-name-in-it/and-a-third-one/weights.safetensors")

class Speaker(Backend):
    """Always answers the same word."""
    Options = Options
    def answer(self, request):
        return f"image anomaly score: {self.options.word}"
'''

VALUES = ("image_size=96", "grid_rows=4", "grid_columns=4", "min_area=0")
GRID = ("--division", "grid", *(part for value in VALUES for part in ("--set", value)))


def model(name, **settings):
    """A model of the user, built."""
    return build(find_model(name, settings)[0])


def test_a_class_needs_no_base_class(write):
    """A class with ``answer`` is found by its file, by name in the file, and in a module; tables show its name."""
    write("my.py", PLAIN)
    write("own_package/inner.py", PLAIN)
    for name, title in (("my.py", "my"), ("my.py:Mine", "Mine"), ("own_package.inner:Mine", "Mine")):
        found, _ = find_model(name, {})
        assert found.preset.name == title
        backend = build(found)
        assert isinstance(backend, Backend)
        assert backend.answer(Request((), "?")) == "image anomaly score: 0.5; region 1: 0.25"
        assert backend.implementation.__name__ == "Mine"


@pytest.mark.parametrize("name", ["vllm:8000", "http://a:80", "a/b:C", "my.toml"])
def test_other_names_are_no_classes(name):
    """A name with a colon is a class only if it can be ``module:Class``."""
    with pytest.raises(ConfigError):
        find_model(name, {})


def test_each_method_makes_its_kind(write):
    """``answer_many`` makes a batching backend, ``score`` a baseline; everything else the object has is used."""
    write("many.py", TOGETHER)
    many = model("many.py")
    assert isinstance(many, ManyBackend)
    assert many.max_batch_size == 3
    assert many.capabilities == ManyBackend.capabilities
    many.close()
    assert many._own.closed
    write("scores.py", SCORES)
    baseline = model("scores.py")
    assert isinstance(baseline, Baseline)
    assert baseline.finalize_category([(0.5,)]) == [0.5]
    assert baseline.score(View(np.full((4, 4, 3), 255, np.uint8), "bolt", seed="")).image == 1.0
    write("options.py", OPTIONS)
    assert type(model("options.py")).__mro__[1] is Backend


def test_members_of_the_object_replace_those_of_the_contract(write):
    """Capabilities and identity that an object sets itself are used, under their old names too."""
    write(
        "own.py",
        "from lvlm_ad.backend import BackendOptions, Capabilities\n"
        "class Options(BackendOptions):\n    word: str = None\n"
        "class Own:\n    Options = Options\n    spreads = True\n    billed = False\n"
        "    def __init__(self): self.capabilities = Capabilities(concurrency=2)\n"
        "    def identity(self): return {'mine': 1}\n"
        "    def answer(self, request): return self.options.identity()\n"
        "class OldNames:\n    most = 5\n    def answer_many(self, requests): return []\n"
        "class OldBaseline:\n    frame = True\n    def score(self, view): pass\n"
        "    def over_category(self, parts): return [1]\n",
    )
    found, _ = find_model("own.py:Own", {})
    assert (found.plugin.distributable, found.plugin.billed, found.preset.price.price_input) == (True, False, 0.0)
    own = build(found)
    assert own.capabilities == Capabilities(concurrency=2)
    assert own.identity() == {"mine": 1}
    assert own.answer(None) == {}
    assert own.Options.model_fields.keys() == {"word"}
    assert model("own.py:OldNames").max_batch_size == 5
    baseline = model("own.py:OldBaseline")
    assert (baseline.reference_row, baseline.finalize_category([()])) == (True, [1])


def test_a_constructor_gets_what_it_asks_for(write):
    """Options go to a first parameter without default or called ``options``; a data class keeps its own defaults."""
    write(
        "own.py",
        "from dataclasses import dataclass\n"
        "class Says:\n    def answer(self, request): return str(self.said)\n"
        "@dataclass\nclass Fields(Says):\n    said: float = 0.25\n"
        "class Nothing(Says):\n    def __init__(self): self.said = 1\n"
        "class Named(Says):\n    def __init__(self, options=None): self.said = type(options).__name__\n"
        "class First(Says):\n    def __init__(self, settings): self.said = type(settings).__name__\n"
        "class Any(Says):\n    def __init__(self, *args, said=3): self.said = said\n",
    )
    given = {name: model(f"own.py:{name}").answer(None) for name in ("Fields", "Nothing", "Named", "First", "Any")}
    options = "BackendOptions"
    assert given == {"Fields": "0.25", "Nothing": "1", "Named": options, "First": options, "Any": "3"}


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "absent.py", "There is no file absent.py in .*, the current folder"),
        (PLAIN + PLAIN.replace("Mine", "Other"), "my.py", "contains Mine, Other; name one, as in my.py:Mine"),
        ("x = 1\n", "my.py", "must contain one class with a method answer, answer_many or score; it contains none"),
        (PLAIN, "my.py:Mien", "my.py contains no 'Mien'. Did you mean 'Mine'"),
        ("class Mine: pass\n", "my.py:Mine", "has none of the methods"),
        (PLAIN + "Mine = 3\n", "my.py:Mine", "is int, not a class"),
        ("a = 1\nb = a / 0\n", "my.py", r"ZeroDivisionError: division by zero \(.*my.py, line 2\)"),
        ("a = 1\nb = = 2\n", "my.py", r"SyntaxError: invalid syntax \(.*my.py, line 2\)"),
        ("\nimport nobodys_lib\n", "my.py", r"needs the module 'nobodys_lib', which is not installed \(.*, line 2\)"),
        ("raise SystemExit(3)\n", "my.py", r"SystemExit: 3 \(.*my.py, line 1\)"),
        ("", "own_nothing.here:Mine", "needs the module 'own_nothing'"),
        ("class M:\n    capabilities = 'many'\n    def answer(self, r): pass\n", "my.py", "capabilities is 'many'"),
        ("class M:\n    Options = dict\n    def answer(self, r): pass\n", "my.py", "Options is <class 'dict'>"),
    ],
)
def test_what_is_wrong_with_a_class_is_one_line(write, content, name, message):
    """The message names the file, the fault and its line."""
    if content is not None:
        write("my.py", content)
    with pytest.raises(PluginError, match=message):
        find_model(name, {})


@pytest.mark.parametrize("option", ["max_retries", "description", "price_input"])
def test_an_option_that_set_cannot_reach_is_refused(write, option):
    """``--set`` would set the setting that every model has."""
    head = "from pydantic import create_model\nfrom lvlm_ad.backend import BackendOptions\n"
    options = f"create_model('Own', __base__=BackendOptions, {option}=(str, 'x'))"
    write("my.py", f"{head}class Mine:\n    Options = {options}\n    def answer(self, request): return ''\n")
    with pytest.raises(PluginError, match=f"every model has a setting '{option}'; give your option another name"):
        find_model("my.py", {})


def test_values_of_options_are_checked(write):
    """Numbers are finite; an unknown option is named."""
    write("options.py", OPTIONS)
    for value in ("nan", "1e999"):
        with pytest.raises(ConfigError, match="setting sharpness must be a finite number"):
            model("options.py", sharpness=value)
    assert find_model("options.py", {"wrod": "1"})[1] >= {"word", "sharpness", "price_input"}


def test_a_class_that_cannot_be_built_is_one_line(write):
    """An end of the process among them."""
    write(
        "my.py",
        "import sys\nclass Mine:\n    def __init__(self): sys.exit('no licence')\n    def answer(self, r): pass\n",
    )
    with pytest.raises(PluginError, match=r"'my.py' cannot be built: SystemExit: no licence \(.*, line 3\)"):
        model("my.py")


def test_an_edited_class_is_another_however_it_is_named(write):
    """Stored answers belong to the code of a file, of what it imports from beside it, and of a whole package."""
    code = (
        "class Mine:\n    def answer(self, request):\n        from near_by import score\n        return str(score())\n"
    )
    for name in ("mine.py", "own_pack/inner.py"):
        write(name, code)
    for name in ("own_pack/__init__.py", "own_pack/beside.py"):
        write(name, "")
    write("near_by.py", "def score():\n    from far import SCORE\n    return SCORE\n")
    write("far.py", "SCORE = 0.1\n")

    def sources():
        for module in ("mine", "own_pack", "own_pack.inner"):
            sys.modules.pop(module, None)
        return [
            load_plugin("backend", name).source
            for name in ("mine.py", "mine.py:Mine", "mine:Mine", "own_pack.inner:Mine")
        ]

    before = sources()
    assert all(before)
    write("mine.py", code.replace("\n", "\r\n"))
    assert sources() == before, "line ends are no edit"
    write("far.py", "SCORE = 0.9\n")
    after = sources()
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, True, True, False]
    write("own_pack/beside.py", "SCORE = 0.9\n")
    assert sources()[3] != before[3]


def test_the_place_of_a_file_is_not_in_its_identity(write):
    """A copy of a file elsewhere finds the answers that were stored before."""
    write("my.py", PLAIN)
    write("elsewhere/my.py", PLAIN)
    assert model("my.py").identity() == model("elsewhere/my.py").identity()


@pytest.mark.slow
def test_a_bench_of_own_classes(write, small_data, lvlm_ad_command):
    """A plain class, a batching one, a baseline and one with an option are measured from their files alone."""
    for name, content in (("my", PLAIN), ("many", TOGETHER), ("scores", SCORES), ("options", OPTIONS)):
        write(f"{name}.py", content)
    models = [part for name in ("my", "many", "scores", "options") for part in ("-m", f"{name}.py")]
    common = ("--no-reference-rows", "--data", small_data, *GRID, "--set", "word=0.875", "--resamples", "0", "--json")
    done = lvlm_ad_command("bench", "--category", "bolt", *models, *common)
    assert done.returncode == 0, done.stderr
    assert {run["model"] for run in json.loads(done.stdout)["runs"]} == {
        *("my", "many", "scores", "scores (dense)", "options")
    }
    records = {run.manifest.row_name: run for run in map(read_run, find_runs(small_data.parent / "runs"))}
    assert {one.image_score for one in records["options"].predictions} == {0.875}
    assert {len(one.regions) for one in records["my"].predictions} == {1}
    sizes = [int(size) for size in (small_data.parent / "sizes.txt").read_text().split()]
    assert sum(sizes) == len(records["many"].predictions)
    assert max(sizes) <= 3


@pytest.mark.parametrize(
    ("method", "body", "message"),
    [
        ("answer", "return Answer('0.5', 'weird')", "the outcome 'weird'"),
        ("answer", "return Answer(None)", "NoneType as text"),
        ("answer", "return 3", "Odd.answer returned int; it must return an Answer or a text"),
        ("answer", "async def later(): pass\n        return later()", "Odd.answer returned coroutine"),
        ("answer", "raise SystemExit(7)", "the backend Odd raised SystemExit: 7 (odd.py, line 6)"),
        ("answer", "return json.loads('{')", "the backend Odd raised JSONDecodeError: "),
        ("answer", "import nobodys_lib", "the backend Odd needs the module 'nobodys_lib', which is not installed"),
        ("answer_many", "raise SystemExit(7)", "the backend Odd raised SystemExit: 7 (odd.py, line 6)"),
        ("score", "return None", "The baseline odd returned None; it must return DenseScores"),
        ("score", "raise ValueError('odd')", "The baseline odd raised ValueError: odd"),
        ("score", "import nobodys_lib", "The baseline odd needs the module 'nobodys_lib'"),
        ("score", "return DenseScores(0.5, MAP[..., None])", "of shape (96, 96, 1); it must be the image's (96, 96)"),
        ("score", "return DenseScores('0.5', MAP)", "gave '0.5' as image score; it must be a float"),
        ("score", "return DenseScores(0.5, MAP, parts=(0.5,))", "gave parts but has no "),
    ],
)
def test_an_odd_result_ends_the_command_with_one_line(method, body, message, write, kept_data, lvlm_ad_command):
    """Whatever a plugin returns or raises, the message names it and there is no traceback."""
    write(
        "odd.py",
        "import json\nimport numpy as np\nfrom lvlm_ad.backend import Answer\nclass Odd:\n"
        f"    def {method}(self, given):\n        {body}\n"
        "from lvlm_ad.baseline import DenseScores\nMAP = np.zeros((96, 96), np.float32)\n",
    )
    only_one = ("--limit", "1", "--category", "bolt", "--no-reference-rows")
    done = lvlm_ad_command(
        *("bench", "--model", "odd.py", "--data", kept_data, *only_one, *GRID, "--set", "max_retries=0")
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("body", ["raise ValueError('odd')", "return None", "return [2.0 for _ in parts]"])
def test_an_odd_category_ends_the_command_with_one_line(body, write, kept_data, lvlm_ad_command):
    """Whatever ``finalize_category`` does."""
    write("odd.py", SCORES.replace("return [part for part, in parts]", body))
    common = ("--limit", "1", "--category", "bolt", "--no-reference-rows", "--data", kept_data, *GRID)
    done = lvlm_ad_command("bench", "--model", "odd.py", *common)
    assert done.returncode == 2, done.stderr
    assert "finalize_category" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_of_a_plugin_is_not_in_the_json(write, small_data, lvlm_ad_process):
    """With --json, stdout holds one JSON object; what the model prints goes to stderr."""
    write("loud.py", "print('loading')\n" + PLAIN.replace("return", "print('asked'); return"))
    done = lvlm_ad_process(
        "bench", "-m", "loud.py", "--no-reference-rows", "--data", small_data, "--limit", "1", *GRID, "--json"
    )
    assert isinstance(json.loads(done.stdout), dict), done.stderr
    assert "loading" in done.stderr
    assert "asked" in done.stderr


def test_models_describes_an_own_class(write, lvlm_ad_command):
    """Its options with their types, values and meanings; nothing is cut off."""
    path = write("options.py", OPTIONS)
    found = json.loads(lvlm_ad_command("models", path, "--json").stdout)
    assert (found["kind"], found["description"]) == ("backend", "Always answers the same word.")
    options = {option["name"]: option for option in found["options"]}
    assert options["word"] == {
        "name": "word",
        "type": "str",
        "value": "0.5",
        "required": False,
        "about": "The word of the answer.",
        "changes_answers": True,
    }
    assert (options["size"]["value"], options["size"]["type"]) == ("small", "one of small, large")
    shown = lvlm_ad_command("models", path, env={"COLUMNS": ""}).stdout
    assert "and-a-third-one/weights.safetensors  (Path)" in shown
    assert "The word of the answer. (str)" in " ".join(shown.split())
