"""Plugins of strangers: installed for real, found from anywhere, and blamed rightly when they are broken."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lvlm_ad.errors import PluginError
from lvlm_ad.plugins import load_plugin

PACKAGE = Path(__file__).with_name("plugin")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install distributions into a folder on the path: name -> (group, entry, module source)."""

    def install(distribution, group, entry, source):
        module = entry.split("=")[1].strip().split(":")[0]
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[lvlm_ad.{group}]\n{entry}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()

    return install


def test_a_strangers_package_works_from_another_folder(tmp_path):
    """The package tests/plugin, really installed with pip, is found by the command line from an empty folder."""
    source, target, empty = tmp_path / "src", tmp_path / "site", tmp_path / "empty"
    shutil.copytree(PACKAGE, source)
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(target)]
    built = subprocess.run([*pip, str(source)], capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"pip cannot build a package here: {built.stderr.strip().splitlines()[-1:]}")
    code = f"import sys; sys.path.insert(0, {str(target)!r}); from lvlm_ad.cli import app; app()"
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, "bench", "-m", "example-backend", "-m", "example-baseline", "--no-frame"),
            *("--limit", "2", "--set", "score=0.75"),
        ],
        capture_output=True,
        text=True,
        cwd=empty,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {line.split("-demo-")[0] for line in (path.name for path in (empty / "runs").iterdir()) if "-demo-" in line}
    assert rows == {"example-backend", "example-baseline", "example-baseline-dense"}


def test_a_broken_plugin_is_blamed_with_its_owner(installed):
    """The message names the package, its version and the cause; other plugins still load."""
    installed("lvlm-broken", "backends", "broken = broken_one:B", "raise RuntimeError('no luck')")
    with pytest.raises(PluginError, match=r"'broken' of lvlm-broken 1\.5 .* RuntimeError: no luck"):
        load_plugin("backend", "broken")
    assert load_plugin("backend", "scripted").__name__ == "ScriptedBackend"


def test_a_missing_extra_names_the_command(installed, monkeypatch):
    """A plugin that needs an uninstalled module says how to get it; of an installed one, what it lacks."""
    installed("lvlm-newer", "backends", "newer = newer_one:B", "import json.nothing")
    with pytest.raises(PluginError, match=r"there is no module 'json\.nothing', though 'json' is installed"):
        load_plugin("backend", "newer")
    monkeypatch.setattr("lvlm_ad.plugins.classes.find_spec", lambda _module: None)
    installed("lvlm-needy", "backends", "needy = needy_one:B", "raise ModuleNotFoundError('x', name='open_clip.model')")
    with pytest.raises(PluginError, match=r"needs the module 'open_clip'.*pip install 'lvlm-ad\[clip\]'"):
        load_plugin("backend", "needy")


def test_a_name_offered_twice_names_both_owners(installed):
    """Two packages with one name are both named; neither is taken silently."""
    installed("lvlm-one", "backends", "twin = twin_one:B", "class B: pass")
    installed("lvlm-two", "backends", "twin = twin_two:B", "class B: pass")
    with pytest.raises(PluginError, match=r"offered twice, by lvlm-(one|two) 1\.5 and by lvlm-(one|two) 1\.5"):
        load_plugin("backend", "twin")


def test_what_is_no_class_is_refused(installed):
    """An entry point must name a class that can answer or score, in the group of its kind."""
    installed("lvlm-odd", "baselines", "odd = odd_one:f", "def f(): pass")
    with pytest.raises(PluginError, match=r"'odd' of lvlm-odd 1\.5, odd_one:f, is function, not a class"):
        load_plugin("baseline", "odd")
    installed("lvlm-void", "baselines", "void = void_one:B", "class B: pass")
    with pytest.raises(PluginError, match="has none of the methods answer, answer_many and score"):
        load_plugin("baseline", "void")
    installed("lvlm-astray", "baselines", "astray = astray_one:B", "class B:\n    def answer(self, request): return ''")
    with pytest.raises(PluginError, match=r"is a backend; its package declares it in lvlm_ad\.baselines"):
        load_plugin("baseline", "astray")


def test_an_unknown_plugin_names_the_nearest():
    """A wrong plugin name is answered with the right one."""
    with pytest.raises(PluginError, match="Did you mean 'openai'"):
        load_plugin("backend", "opnai")
