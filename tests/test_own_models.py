"""A class of one's own, named by its file or its module: found, built, asked, and blamed in the right line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.backend import Backend, BackendOptions, ManyBackend, Request
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import ConfigError, PluginError
from lvlm_ad.evaluate import RunConfig, bench
from lvlm_ad.plugins import build, find_model, load_plugin
from lvlm_ad.plugins.named import is_own, load_own, own_name
from lvlm_ad.runs import find_runs, read_run
from lvlm_ad.testing import BACKEND_CHECKS

PLAIN = "class Mine:\n    def answer(self, request):\n        return 'image anomaly score: 0.5; region 1: 0.25'\n"

TOGETHER = """
class Together:
    max_batch_size = 3
    def answer_many(self, requests):
        with open("sizes.txt", "a") as file:
            file.write(f"{len(requests)} ")
        return [f"image anomaly score: 0.{len(one.images[0].data) % 10}" for one in requests]
"""

SCORES = """
import numpy as np
from lvlm_ad.baseline import DenseScores

class Bright:
    def score(self, view):
        grey = view.image.mean(axis=2).astype(np.float32) / 255
        return DenseScores(float(grey.max()), grey)
"""

OPTIONS = '''
from lvlm_ad.backend import Backend, BackendOptions

class Options(BackendOptions):
    word: str = "0.5"
    """What is said."""

class Speaker(Backend):
    """Says what it is told to say."""
    Options = Options
    def answer(self, request):
        return f"image anomaly score: {self.options.word}"
'''


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a file of the user's own into the current folder, whose imports are forgotten later."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def made(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    yield made
    for name in set(sys.modules) - before:
        if name.startswith(("lvlm_ad_file_", "own_")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "own", "shown"),
    [
        ("my.py", True, "my"),
        ("./a b/my.py", True, "my"),
        ("my.py:Mine", True, "Mine"),
        ("package.module:Mine", True, "Mine"),
        ("gpt-4v", False, None),
        ("vllm:8000", False, None),
        ("my.toml", False, None),
        ("http://a:80", False, None),
        ("a/b:C", False, None),
    ],
)
def test_names_of_files_and_classes(name, own, shown):
    """Anything else is a preset or an installed plugin; a table names the class, or the file."""
    assert is_own(name) == own
    if own:
        assert own_name(name) == shown


def test_ten_lines_are_a_backend(write):
    """A class of no ancestry with ``answer``, by its file, its name in the file or its module."""
    write("my.py", PLAIN)
    write("own_package/inner.py", PLAIN)
    for name in ("my.py", "my.py:Mine", "own_package.inner:Mine"):
        kind, plugin = load_own(name)
        assert kind == "backend"
        assert issubclass(plugin, Backend)
        backend = build(find_model(name, {})[0])
        assert backend.answer(Request((), "?")) == "image anomaly score: 0.5; region 1: 0.25"


def test_each_method_makes_its_kind(write):
    """``answer_many`` gathers questions, ``score`` is a baseline; subclasses of the contracts stay what they are."""
    write("many.py", TOGETHER)
    write("scores.py", SCORES)
    write("options.py", OPTIONS)
    assert issubclass(load_own("many.py")[1], ManyBackend)
    kind, plugin = load_own("scores.py")
    assert (kind, issubclass(plugin, Baseline)) == ("baseline", True)
    assert load_own("options.py")[1].__mro__[1] is Backend


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (None, "absent.py", "absent.py cannot be read: No such file"),
        (PLAIN + PLAIN.replace("Mine", "Other"), "my.py", "it holds several: Mine, Other; name one, as in my.py:Mine"),
        ("x = 1\n", "my.py", "it holds none"),
        (PLAIN, "my.py:Mien", "there is no 'Mien' in it. Did you mean 'Mine'"),
        ("class Mine: pass\n", "my.py:Mine", "has none of the methods"),
        (PLAIN + "Mine = 3\n", "my.py:Mine", "is int, not a class"),
        ("a = 1\nb = a / 0\n", "my.py", r"ZeroDivisionError: division by zero \(.*my.py, line 2\)"),
        ("a = 1\nb = = 2\n", "my.py", r"SyntaxError: invalid syntax \(.*my.py, line 2\)"),
        (
            "\nimport open_clip_of_nobody\n",
            "my.py",
            r"needs the module 'open_clip_of_nobody', which is not installed \(.*my.py, line 2\)",
        ),
        (
            "class Mine:\n    def answer(self): return ''\n",
            "my.py",
            r"answer\(self\) must be callable with self and a req",
        ),
        ("raise SystemExit(3)\n", "my.py", r"SystemExit: 3 \(.*my.py, line 1\)"),
        ("", "own_nothing.here:Mine", "needs the module 'own_nothing'"),
        ("from .words import WORD\n", "my.py", "attempted relative import.*as in package.module:Class"),
        (
            "class Mine:\n    async def answer(self, request): return ''\n",
            "my.py",
            "answer is async; it must be a plain",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(write, content, name, says):
    """One error: which file, what, and where in it."""
    if content is not None:
        write("my.py", content)
    with pytest.raises(PluginError, match=says):
        load_own(name)


def test_classes_are_built_as_they_want_to_be(write):
    """With their options where they ask for them, and else as they are: a data class keeps its own defaults."""
    write(
        "own.py",
        "from dataclasses import dataclass\n"
        "class Says:\n"
        "    def answer(self, request): return str(self.said)\n"
        "@dataclass\nclass Fields(Says):\n    said: float = 0.25\n"
        "class Nothing(Says):\n    def __init__(self): self.said = 1\n"
        "class Options(Says):\n    def __init__(self, options=None): self.said = type(options).__name__\n"
        "class Wants(Says):\n    def __init__(self, settings): self.said = type(settings).__name__\n"
        "class Any(Says):\n    def __init__(self, *args, said=3): self.said = said\n",
    )
    said = {
        name: build(find_model(f"own.py:{name}", {})[0]).answer(Request((), "?"))
        for name in ("Fields", "Nothing", "Options", "Wants", "Any")
    }
    assert said == {
        "Fields": "0.25",
        "Nothing": "1",
        "Options": "BackendOptions",
        "Wants": "BackendOptions",
        "Any": "3",
    }


def test_what_a_model_prints_is_not_in_the_way(write, small_data, lvlm_ad_command):
    """With --json, stdout holds one JSON object; what the model prints goes to stderr."""
    write(
        "loud.py",
        "print('loading')\n"
        "class Loud:\n    def answer(self, request):\n        print('asked')\n        return 'image score: 0.5'\n",
    )
    for command in (
        ("models", "loud.py", "--json"),
        ("check-backend", "loud.py", "--json"),
        ("bench", "-m", "loud.py", "--no-frame", "--data", str(small_data), "--limit", "1", "--json"),
    ):
        done = lvlm_ad_command(*command)
        assert isinstance(json.loads(done.stdout), dict), done.stderr
        assert "loading" in done.stderr


def test_options_are_numbers(write):
    """What is spelled as a number and is none is refused."""
    write("sharp.py", OPTIONS.replace('word: str = "0.5"', "sharpness: float = 1.0"))
    for value in ("nan", "1e999", "-inf"):
        with pytest.raises(ConfigError, match="setting sharpness: Input should be a finite number"):
            build(find_model("sharp.py", {"sharpness": value})[0])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"frobnicate": 1}, "RunConfig has no field 'frobnicate'"),
        ({"modles": ["chance"]}, "no field 'modles'. Did you mean 'models'"),
        ({"limit": "two"}, "limit: Input should be a valid integer"),
        ({"engine": "dask"}, "engine: Input should be 'local' or 'ray'"),
        ({"models": [Request]}, r"takes names, not classes: .* models=\['FILE.py:Request'\]"),
        ({"models": 3}, "models takes names; 3 is int"),
        ({"config": "contrast"}, r"takes a RunConfig or its fields by name: bench\(models=\['contrast'\]\)"),
        ({"config": ["contrast"]}, r"as bench\(models=\['contrast'\]\); \['contrast'\] is neither"),
    ],
)
def test_a_bench_from_python_refuses_in_one_line(options, says):
    """Names and values that no field can hold."""
    with pytest.raises(ConfigError, match=says):
        bench(**options)


def test_texts_do_for_numbers_and_paths():
    """As on the command line."""
    config = RunConfig(limit="2", out="here", max_cost="0.5", models="chance")
    assert (config.limit, config.out, config.max_cost, config.models) == (2, Path("here"), 0.5, ("chance",))


def test_an_error_while_asking_names_the_line(write, small_data, lvlm_ad_command):
    """The line of one's own file, not of the library that it calls; without the folder, which is nobody's business."""
    write("boom.py", "import json\nclass Boom:\n    def answer(self, request):\n        return json.loads('{')\n")
    done = lvlm_ad_command(
        *("bench", "-m", "boom.py", "--no-frame", "--data", str(small_data), "--limit", "1"),
        *("--set", "image_size=96", "--set", "max_retries=0"),
    )
    assert done.returncode == 2
    assert "the backend Boom raised JSONDecodeError: " in done.stderr
    assert "(boom.py, line 4)" in done.stderr


def test_the_content_of_a_file_decides_what_was_answered(write):
    """Stored answers of a class that has changed are not taken for the new one's; line ends are no change."""
    identities = []
    for content in (PLAIN, PLAIN.replace("\n", "\r\n"), PLAIN.replace("0.25", "0.75")):
        path = write("my.py", "")
        path.write_bytes(content.encode())
        identities.append(build(find_model("my.py", {})[0]).identity())
    assert identities[0] == identities[1] != identities[2]
    assert "my.py" not in json.dumps(identities), "not where it lies"


def test_a_bench_with_classes_of_ones_own(write, small_data, lvlm_ad_command):
    """Plain, many at once, a baseline and one with an option, from their files alone; a change is asked anew."""
    for name, content in (("my", PLAIN), ("many", TOGETHER), ("scores", SCORES), ("options", OPTIONS)):
        write(f"{name}.py", content)
    models = [part for name in ("my", "many", "scores", "options") for part in ("-m", f"{name}.py")]
    common = ("--no-frame", "--no-report", "--data", str(small_data), "--set", "image_size=96", "--set", "min_area=0")
    common += ("--set", "word=0.875", "--json")
    done = lvlm_ad_command("bench", *models, *common)
    assert done.returncode == 0, done.stderr
    runs = {run["model"]: run for run in json.loads(done.stdout)["runs"]}
    assert set(runs) == {"my", "many", "scores", "scores (dense)", "options"}
    folder = small_data.parent / "runs"
    records = {run.manifest.row_name: run for run in map(read_run, find_runs(folder))}
    assert {one.image_score for one in records["options"].predictions} == {0.875}
    assert {len(one.regions) for one in records["my"].predictions} == {1}
    sizes = [int(size) for size in (small_data.parent / "sizes.txt").read_text().split()]
    assert sum(sizes) == len(records["many"].predictions)
    assert 1 < max(sizes) <= 3


def test_models_describes_an_own_class(write, lvlm_ad_command):
    """Its options with their types, values and meanings; a setting that it does not have is refused."""
    path = write("options.py", OPTIONS)
    done = lvlm_ad_command("models", path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["description"]) == ("backend", "Says what it is told to say.")
    word = next(option for option in found["options"] if option["name"] == "word")
    assert word == {
        "name": "word",
        "type": "str",
        "value": "0.5",
        "required": False,
        "about": "What is said.",
        "changes_answers": True,
    }
    shown = lvlm_ad_command("models", path)
    assert "What is said. (str)" in " ".join(shown.stdout.split())
    done = lvlm_ad_command("check-backend", path, "--set", "wrod=1")
    assert done.returncode == 2
    assert "has no setting 'wrod'. Did you mean 'word'" in done.stderr


def test_a_description_cuts_nothing_in_a_pipe(write, lvlm_ad_command):
    """Paths are whole, and an enumeration shows what may be given."""
    long = f"/{'a-long-name-of-a-folder/' * 8}weights.safetensors"
    write(
        "own.py",
        "from enum import Enum\nfrom pathlib import Path\nfrom lvlm_ad.backend import BackendOptions\n"
        "class Size(Enum):\n    SMALL = 'small'\n    LARGE = 'large'\n"
        f"class Options(BackendOptions):\n    place: Path = Path({long!r})\n    size: Size = Size.SMALL\n"
        "class Own:\n    Options = Options\n    def answer(self, request): return ''\n",
    )
    done = lvlm_ad_command("models", "own.py", env={"COLUMNS": ""})
    assert f"place                {long}  (Path)" in done.stdout
    assert "(one of small, large)" in done.stdout
    option = json.loads(lvlm_ad_command("models", "own.py", "--json").stdout)["options"][1]
    assert (option["value"], option["type"]) == ("small", "one of small, large")


def test_check_backend_names_each_check(write, lvlm_ad_command):
    """Each with a sentence; a broken class fails by name, and the status says so."""
    good = write("options.py", OPTIONS)
    done = lvlm_ad_command("check-backend", good)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1].endswith(f"{len(BACKEND_CHECKS)} of {len(BACKEND_CHECKS)} checks passed.")
    bad = write("bad.py", "class Bad:\n    def answer(self, request):\n        return 3\n")
    done = lvlm_ad_command("check-backend", bad, "--json")
    assert done.returncode == 2
    wrong = {name for name, found in json.loads(done.stdout)["checks"].items() if found}
    assert "an_answer_is_an_answer" in wrong
    assert "options_are_typed" not in wrong
    done = lvlm_ad_command("check-baseline", good)
    assert done.returncode == 2
    assert "'lvlm-ad check-backend" in done.stderr


def test_a_number_from_numpy_is_no_answer(write):
    """What is neither an Answer nor text is told, and by whom."""
    write("my.py", "import numpy as np\nclass Mine:\n    def answer(self, request): return np.str_('yes')\n")
    assert isinstance(build(find_model("my.py", {})[0]).answer(Request((), "?")), np.str_)


def test_options_are_the_contracts():
    """An options class of one's own forbids what it does not know."""

    class Own(BackendOptions):
        word: str = ""

    assert Own.model_config["extra"] == "forbid"


def test_an_edited_class_is_another_however_it_is_named(tmp_path, monkeypatch):
    """A file's imports from beside it count, at whatever depth; so does a module, and the whole of a package."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far.py").write_text("SCORE = 0.1\n")
    (tmp_path / "near_by.py").write_text("def score():\n    from far import SCORE\n    return SCORE\n")
    text = (
        "class Mine:\n    def answer(self, request):\n        from near_by import score\n        return str(score())\n"
    )
    (tmp_path / "mine.py").write_text(text)
    package = tmp_path / "some_pack_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text(text)
    (package / "beside.py").write_text("")
    names = ("mine.py", "mine.py:Mine", "mine:Mine", "some_pack_of_mine.inner:Mine")

    def sources():
        for module in ("mine", "some_pack_of_mine", "some_pack_of_mine.inner"):
            sys.modules.pop(module, None)
        return [load_plugin("backend", name).source for name in names]

    before = sources()
    assert all(before)
    assert sources() == before, "nothing was edited"
    (tmp_path / "far.py").write_text("SCORE = 0.9\n")
    after = sources()
    assert all(one != other for one, other in zip(before[:3], after[:3], strict=True))
    assert after[3] == before[3]
    (package / "beside.py").write_text("SCORE = 0.9\n")
    assert sources()[3] != before[3]
