"""Plugins of installed packages: found by name, and named with their package when something is wrong."""

import doctest
import importlib
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from lvlm_ad.errors import ConfigError, PluginError
from lvlm_ad.plugins import build, clashes, find_model, load_plugin
from lvlm_ad.plugins.entries import installed, owner
from lvlm_ad.presets import preset_names

REPOSITORY = Path(__file__).parents[2]
WITH_EXAMPLES = [
    f"lvlm_ad_{'.'.join(path.relative_to(REPOSITORY).with_suffix('').parts).removesuffix('.__init__')}"
    for folder in ("backends", "baselines")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
ANSWERS = "class B:\n    def answer(self, request): return 'image anomaly score: 0.5'\n"
SCORES = (
    "import numpy as np\nfrom lvlm_ad.baseline import DenseScores\n"
    "class B:\n    def score(self, view): return DenseScores(0.5, np.zeros(view.image.shape[:2], np.float32))\n"
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_of_our_own_plugins_run(module):
    """Each example in a docstring of backends/ and baselines/ prints what it says."""
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_packages_are_read_again_when_a_folder_of_packages_changes(tmp_path, monkeypatch):
    """A file that a user's folder gains changes nothing; a package that is installed there is found at once."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    before = installed("backend")
    (tmp_path / "mine.py").write_text("")
    assert installed("backend") is before
    package = tmp_path / "later-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: later\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[lvlm_ad.backends]\nlater = later:Later\n")
    assert [owner(entry) for entry in installed("backend")["later"]] == ["later 1.0"]
    assert "later" not in installed("method")


@pytest.mark.slow
def test_a_package_of_somebody_else_works_from_another_folder(tmp_path):
    """The package tests/plugin, installed with pip, is measured by a command that runs in an empty folder."""
    source, target, empty = tmp_path / "src", tmp_path / "site", tmp_path / "empty"
    shutil.copytree(REPOSITORY / "tests" / "plugin", source)
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(target)]
    built = subprocess.run([*pip, str(source)], capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"pip cannot build a package here: {built.stderr.strip().splitlines()[-1:]}")
    code = f"import sys; sys.path.insert(0, {str(target)!r}); from lvlm_ad.cli import app; app()"
    quick = ("--no-reference-rows", "--no-report", "--resamples", "0", "--division", "grid")
    models = ("-m", "example-backend", "-m", "example-baseline", *quick)
    settings = ("--method", "example-method", "--set", "times=3", "--set", "score=0.75")
    done = subprocess.run(
        [sys.executable, "-c", code, "bench", *models, "--limit", "2", *settings],
        capture_output=True,
        text=True,
        cwd=empty,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {path.name.split("-demo-")[0] for path in (empty / "runs").iterdir() if "-demo-" in path.name}
    assert rows == {"example-backend-example-method", "example-baseline", "example-baseline-dense"}


@pytest.mark.parametrize(
    ("group", "entry", "source", "message"),
    [
        (
            "backends",
            "x = one_x:B",
            "raise RuntimeError('no luck')",
            r"one_x:B: RuntimeError: no luck \(.*line 1\)\.",
        ),
        ("backends", "x = one_x:B", "raise SystemExit(3)", "SystemExit: 3"),
        ("backends", "x = one_x:C", ANSWERS, "module 'one_x' has no attribute 'C'"),
        ("backends", "x = one_x", ANSWERS, "one_x, is module, not a class with answer or score"),
        ("baselines", "x = one_x:f", "def f(): pass", "one_x:f, is function, not a class"),
        ("baselines", "x = one_x:B", "class B: pass", "has none of the methods answer, answer_many, score"),
        ("baselines", "x = one_x:B", ANSWERS, r"is a backend; its package declares it in lvlm_ad\.baselines"),
        ("backends", "x = one_x:B", "import json.nothing", "No module named 'json.nothing'"),
        ("backends", "x = one_x:B", "import fancy.core", r"line 1\); install the package that brings 'fancy'\."),
        ("backends", "x = one_x:B", "raise ModuleNotFoundError(name='open_clip')", r"pip install 'lvlm-ad\[clip\]'"),
    ],
)
def test_a_broken_plugin_is_named_with_its_package(group, entry, source, message, install):
    """The message names plugin, package, version, cause and remedy; other plugins still load."""
    install("of-x", group, entry, source)
    kind = group.removesuffix("s")
    with pytest.raises(PluginError, match=rf"The {kind} 'x' of of-x 1\.5.*{message}"):
        load_plugin(kind, "x")
    assert load_plugin("backend", "scripted").cls.__name__ == "ScriptedBackend"


def test_a_name_of_two_packages_names_both(install):
    """Neither is used silently."""
    install("of-one", "backends", "twin = twin_one:B", ANSWERS)
    install("of-two", "backends", "twin = twin_two:B", ANSWERS)
    with pytest.raises(PluginError, match=r"offered twice, by of-(one|two) 1\.5 and by of-(one|two) 1\.5"):
        load_plugin("backend", "twin")
    assert re.search(r"twin is offered by of-\w+ 1\.5 and by of-\w+ 1\.5", clashes([])["twin"])


def test_a_name_of_lvlm_ad_stays_its_own(install, kept_data, lvlm_ad_command):
    """A plugin of another package with the same name, of either kind, is reported and changes nothing."""
    install("of-one", "baselines", "contrast = one_contrast:B", SCORES)
    install("of-two", "backends", "oracle = two_oracle:B", ANSWERS)
    install("of-three", "backends", "gpt-4o = three_gpt:B", ANSWERS)
    for name in ("contrast", "oracle", "gpt-4o"):
        assert find_model(name, {})[0].plugin.cls.__module__.startswith(("lvlm_ad_baselines.", "lvlm_ad_backends."))
    found = clashes(preset_names("models"))
    assert set(found) == {"contrast", "oracle", "gpt-4o"}
    assert found["contrast"] == (
        f"contrast is offered by lvlm-ad {version('lvlm-ad')} and by of-one 1.5; if lvlm-ad has one, that is used."
    )
    done = lvlm_ad_command("bench", "-m", "contrast", "--limit", "1", "--data", kept_data, "--division", "grid")
    assert "of-one 1.5" in " ".join(done.stderr.split())


def test_unknown_names_get_the_nearest():
    """A misspelled name is answered with the right one."""
    with pytest.raises(PluginError, match="Did you mean 'openai'"):
        load_plugin("backend", "opnai")
    with pytest.raises(ConfigError, match=r"Did you mean 'contrast'.*FILE\.py or module:Class"):
        find_model("contrasts", {})


def test_a_listing_imports_no_plugin_of_others(install, lvlm_ad_command):
    """``lvlm-ad models`` lists a plugin that would end the process; naming it imports it and reports one line."""
    install("of-x", "backends", "ends = ends_one:B", "raise SystemExit(3)")
    listed = {model["name"]: model for model in json.loads(lvlm_ad_command("models", "--json").stdout)["models"]}
    assert listed["ends"]["description"] == "backend of of-x 1.5"
    assert listed["ends"]["ready"] is None
    assert listed["contrast"]["ready"] is True
    done = lvlm_ad_command("models", "ends")
    assert (done.returncode, "SystemExit: 3" in done.stderr) == (2, True)


def test_an_edit_of_a_package_under_development_is_another_model(install, write):
    """A package outside site-packages has no version that tells its states apart, so its code is hashed."""
    install("of-x", "backends", "dev = dev_one:B", ANSWERS)
    before = build(find_model("dev", {})[0]).identity()
    write("site/dev_one.py", ANSWERS.replace("0.5", "0.7"))
    sys.modules.pop("dev_one")
    assert build(find_model("dev", {})[0]).identity()["source"] != before["source"]
