"""Plugins of strangers: installed for real, found from anywhere, and blamed rightly when they are broken."""

import importlib
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from lvlm_ad import __version__
from lvlm_ad.errors import ConfigError, PluginError
from lvlm_ad.evaluate import RunConfig, bench
from lvlm_ad.plugins import clashes, find_model, load_plugin, unreadable
from lvlm_ad.presets import preset_names
from lvlm_ad.progress import Silent

PACKAGE = Path(__file__).with_name("plugin")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install distributions into a folder on the path: name -> (group, entry, module source, requirements)."""

    def install(distribution, group, entry, source, requires=()):
        module = entry.split("=")[1].strip().split(":")[0]
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        wanted = "".join(f"Requires-Dist: {one}\n" for one in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n{wanted}")
        (info / "RECORD").write_text(f"{module}.py,,\n")
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
    monkeypatch.setattr("lvlm_ad.missing.find_spec", lambda _module: None)
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


ANSWERS = "class B:\n    def answer(self, request): return 'image anomaly score: 0.5'\n"
SCORES = (
    "import numpy as np\nfrom lvlm_ad.baseline import DenseScores\n"
    "class B:\n    def score(self, view): return DenseScores(0.5, np.zeros(view.image.shape[:2], np.float32))\n"
)


def test_a_name_of_ours_stays_ours(installed):
    """A stranger's plugin of the same name, of either kind, is told with both owners and stops nothing."""
    installed("lvlm-frame", "baselines", "contrast = frame_one:B", SCORES)
    installed("lvlm-gate", "backends", "openai = gate_one:B", ANSWERS)
    installed("lvlm-across", "backends", "oracle = across_one:B", ANSWERS)
    installed("lvlm-preset", "backends", "gpt-4o = preset_one:B", ANSWERS)
    assert load_plugin("baseline", "contrast").__module__ == "lvlm_ad_baselines.contrast"
    assert load_plugin("backend", "openai").__module__ == "lvlm_ad_backends.openai"
    for name in ("contrast", "oracle", "gpt-4o"):
        assert find_model(name, {})[0].plugin.__module__.startswith(("lvlm_ad_baselines.", "lvlm_ad_backends."))
    said = clashes(preset_names("models"))
    assert set(said) == {"contrast", "openai", "oracle", "gpt-4o"}
    assert said["contrast"] == (
        f"contrast is the baseline of lvlm-ad {version('lvlm-ad')}; the baseline 'contrast' of lvlm-frame 1.5 is not "
        "reached by it."
    )
    assert "backend 'gpt-4o' of lvlm-preset 1.5" in said["gpt-4o"]


def test_a_bench_says_that_a_name_is_claimed_twice(installed, kept_data, tmp_path):
    """The frame rows of every table stay ours, and the user hears of the other."""
    installed("lvlm-frame", "baselines", "contrast = frame_two:B", SCORES)
    installed("lvlm-other", "baselines", "mine = other_two:B", SCORES)
    heard = []

    class Hears(Silent):
        def note(self, text):
            heard.append(text)

    config = RunConfig(
        models=["mine"], data=kept_data, out=tmp_path / "runs", limit=1, resamples=0, settings={"image_size": 96}
    )
    rows = {run.manifest.row_name for run in bench(config, Hears())}
    assert {"mine", "contrast", "chance", "oracle"} <= rows
    assert [text for text in heard if "lvlm-frame 1.5" in text]


@pytest.mark.parametrize("content", [b"[lvlm_ad.backends]\nno equals sign\n", b"[lvlm_ad.backends]\n\xff\xfe = a:B\n"])
def test_a_package_that_cannot_be_read_is_left_out(installed, content, tmp_path):
    """It is named with what is wrong; all others are found."""
    installed("lvlm-fine", "backends", "fine = fine_one:B", ANSWERS)
    installed("lvlm-garbled", "backends", "garbled = garbled_one:B", ANSWERS)
    (tmp_path / "lvlm_garbled-1.5.dist-info" / "entry_points.txt").write_bytes(content)
    assert load_plugin("backend", "fine")
    assert load_plugin("backend", "scripted").__name__ == "ScriptedBackend"
    (said,) = unreadable()
    assert said.startswith("The entry points of lvlm-garbled 1.5 cannot be read (")
    with pytest.raises(ConfigError, match=r"no model 'garbled'.*The entry points of lvlm-garbled 1\.5 cannot be read"):
        find_model("garbled", {})


def test_a_package_without_a_name_is_told_by_its_place(installed, tmp_path):
    """Not as None None."""
    installed("lvlm-nameless", "backends", "nameless = nameless_one:B", "raise RuntimeError('no luck')")
    (tmp_path / "lvlm_nameless-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\n")
    with pytest.raises(
        PluginError, match=r"'nameless' of a package in .*lvlm_nameless-1\.5\.dist-info whose record"
    ) as it:
        load_plugin("backend", "nameless")
    assert "None" not in str(it.value)


def test_a_listing_runs_no_strangers_code(installed, tmp_path, lvlm_ad_command):
    """Whatever that would do; who asks for the model imports it, and hears in one line what it did."""
    sources = {"exits": "import os; os._exit(9)", "stops": "raise KeyboardInterrupt", "leaves": "raise SystemExit(3)"}
    for name, source in sources.items():
        installed(f"lvlm-{name}", "backends", f"{name} = {name}_one:B", source)
    installed("lvlm-shadow", "baselines", "contrast = shadow_one:B", SCORES)
    path = {"PYTHONPATH": str(tmp_path)}
    done = lvlm_ad_command("models", "--json", env=path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    listed = {model["name"]: model for model in found["models"]}
    assert listed["exits"] == {
        "name": "exits",
        "kind": "backend",
        "plugin": "exits",
        "description": "backend of lvlm-exits 1.5",
        "ready": None,
        "why_not": "",
        "needs": "",
    }
    assert listed["contrast"]["ready"] is True
    assert [note for note in found["notes"] if "lvlm-shadow 1.5" in note and "of lvlm-ad " in note]
    shown = lvlm_ad_command("models", env=path)
    assert "not loaded" in shown.stdout
    assert "lvlm-shadow 1.5" in " ".join(shown.stdout.split())
    for name, says in (("stops", "KeyboardInterrupt, though nobody pressed Ctrl-C"), ("leaves", "SystemExit: 3")):
        done = lvlm_ad_command("models", name, env=path)
        assert done.returncode == 2
        assert says in done.stderr
        assert f"of lvlm-{name} 1.5" in done.stderr


@pytest.mark.parametrize(
    ("entry", "source", "says"),
    [
        (
            "astray = astray_two.deep:B",
            "",
            r"there is no module 'astray_two\.deep', which its package declares by astray = 'astray_two\.deep:B'",
        ),
        (
            "astray = astray_three:C",
            "class B: pass",
            r"there is no 'C' in astray_three \(.*astray_three\.py\), .* astray = 'astray_three:C'\. Known: B",
        ),
        ("astray = astray_four", "", r"declared as astray = 'astray_four'; it must name a class, as package\.module"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_quoted(installed, entry, source, says, tmp_path):
    """With its package, and no line of Python's own."""
    installed("lvlm-astray", "backends", entry.replace(".deep", ""), source)
    (tmp_path / "lvlm_astray-1.5.dist-info" / "entry_points.txt").write_text(f"[lvlm_ad.backends]\n{entry}\n")
    with pytest.raises(PluginError, match=rf"'astray' of lvlm-astray 1\.5 .*{says}") as caught:
        load_plugin("backend", "astray")
    assert "line" not in str(caught.value)


def test_no_line_zero_is_blamed(installed):
    """A file that cannot be read as Python at all has no line."""
    installed("lvlm-nul", "backends", "nul = nul_one:B", "\0")
    with pytest.raises(PluginError, match=r"'nul' of lvlm-nul 1\.5 cannot be loaded") as caught:
        load_plugin("backend", "nul")
    assert "line 0" not in str(caught.value)
    assert "None" not in str(caught.value)


def test_a_package_for_another_version_says_so(installed):
    """Where it cannot be loaded, whatever it says went wrong."""
    installed("lvlm-ahead", "backends", "ahead = ahead_one:B", "from lvlm_ad.backend import Newer", ["lvlm-ad>=9.0"])
    with pytest.raises(
        PluginError, match=rf"cannot import name .* It wants lvlm-ad>=9\.0, and this is {__version__}\."
    ):
        load_plugin("backend", "ahead")
    installed("lvlm-level", "backends", "level = level_one:B", "raise RuntimeError('x')", ["lvlm-ad>=0.1", "numpy"])
    with pytest.raises(PluginError) as caught:
        load_plugin("backend", "level")
    assert "wants" not in str(caught.value)


def test_a_strangers_extra_is_named_by_its_command(installed, kept_data, tmp_path, lvlm_ad_command):
    """As its own package declares it, at import and while it answers."""
    wants = ['fancylib>=2; extra == "gpu"', "Other_Lib>=1,<3", "numpy"]
    installed("st-gpu", "backends", "st-gpu = st_gpu_one:B", "import fancylib.core", wants)
    with pytest.raises(
        PluginError, match=r"needs the module 'fancylib'.*st_gpu_one\.py, line 1\); pip install 'st-gpu\[gpu\]'"
    ):
        load_plugin("backend", "st-gpu")
    installed("st-plain", "backends", "st-plain = st_plain_one:B", "import other_lib", wants)
    with pytest.raises(PluginError, match=r"pip install 'Other_Lib>=1,<3'"):
        load_plugin("backend", "st-plain")
    late = "class B:\n    def answer(self, request):\n        import fancylib\n"
    installed("st-late", "backends", "st-late = st_late_one:B", late, wants)
    done = lvlm_ad_command(
        *("bench", "-m", "st-late", "--limit", "1", "--no-frame", "--data", kept_data, "--set", "image_size=96"),
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "the backend B needs the module 'fancylib', which is not installed (st_late_one.py, line 3)" in done.stderr
    assert "pip install 'st-late[gpu]'" in done.stderr
