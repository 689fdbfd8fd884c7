"""Packages to begin with: they work as they are written."""

import json
import os
import subprocess
import sys

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.new_plugin import new_plugin
from lvlm_ad.testing import CHECKS


def run(*command, **changes):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        env={**kept, **changes.pop("env", {})},
        **changes,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["backend", "baseline", "method"])
def test_a_new_package_keeps_its_contract(kind, tmp_path, lvlm_ad_command, monkeypatch):
    """The command writes four files and says what to do next; the class in them passes every check."""
    folder = tmp_path / "made"
    done = lvlm_ad_command(f"new-{kind}", "my-model2", "--out", folder)
    assert done.returncode == 0, done.stderr
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert written == ["README.md", "pyproject.toml", "src/lvlm_ad_my_model2/__init__.py", "tests/test_contract.py"]
    use = "check-method" if kind == "method" else "bench --model"
    assert f"pip install -e {folder} && lvlm-ad {use} my-model2" in done.stderr
    monkeypatch.syspath_prepend(str(folder / "src"))
    done = lvlm_ad_command(f"check-{kind}", f"lvlm_ad_my_model2:MyModel2{kind.capitalize()}")
    del sys.modules["lvlm_ad_my_model2"]
    assert done.returncode == 0, done.stderr


USED = {
    "backend": (["--model", "my-model2"], {"my-model2"}),
    "baseline": (["--model", "my-model2"], {"my-model2", "my-model2 (dense)"}),
    "method": (["--model", "guess.py", "--method", "my-model2"], {"guess (my-model2)"}),
}
"""Kind -> options of a bench that uses the new package, and the rows that it measures."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", USED)
def test_a_new_package_works_when_installed(kind, tmp_path):
    """Installed by pip, it is measured by name on the demo; its own tests pass, and a linter has no complaint."""
    folder = new_plugin(kind, "my-model2", tmp_path / "made")
    linted = run(sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,W,I,UP,B", folder, cwd=tmp_path)
    assert linted.returncode == 0, linted.stdout
    target, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", target)
    built = run(*pip, folder)
    if built.returncode:
        pytest.skip(f"pip cannot build a package here: {built.stderr.strip().splitlines()[-1:]}")
    here = {"PYTHONPATH": str(target)}
    (empty / "guess.py").write_text("class Guess:\n    def answer(self, request): return 'image anomaly score: 0.5'\n")
    options, rows = USED[kind]
    quick = ("--no-reference-rows", "--no-report", "--resamples", "0", "--division", "grid")
    bench = ("bench", *options, *quick, "--limit", "2", "--json")
    done = run(sys.executable, "-m", "lvlm_ad", *bench, cwd=empty, env=here)
    assert done.returncode == 0, done.stderr
    assert {row["model"] for row in json.loads(done.stdout)["runs"]} == rows
    tested = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder, cwd=empty, env=here)
    assert f"{len(CHECKS[kind])} passed" in tested.stdout, tested.stdout


@pytest.mark.parametrize("name", ["", "My-Model", "my_model", "-a", "a-", "a--b", "1st", "../a", "é", "a b", "a\nb"])
def test_what_cannot_be_a_name_is_refused(name, tmp_path, monkeypatch):
    """It becomes a folder, a package and a class; the message says what can be, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="small letters and digits"):
        new_plugin("backend", name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    """Neither a folder that is there nor the name of a model that is there."""
    with pytest.raises(ConfigError, match="exists already; nothing was written"):
        new_plugin("baseline", "mine", tmp_path)
    for taken in ("gpt-4v", "openai", "oracle"):
        with pytest.raises(ConfigError, match=f"There is a model '{taken}' already"):
            new_plugin("backend", taken, tmp_path / "other")
    with pytest.raises(ConfigError, match="There is a method 'boxes' already"):
        new_plugin("method", "boxes", tmp_path / "other")
    with pytest.raises(ConfigError, match="A package lvlm_ad_backends is installed already"):
        new_plugin("baseline", "backends", tmp_path / "other")
    assert list(tmp_path.iterdir()) == []
