"""No command runs a file of the current folder that has the name of a module; the user's own model does run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lvlm_ad.children import folder_of, python_command, search_path

SHADOWED = ("email", "joblib", "json", "multiprocessing", "numpy", "pandas", "random", "sitecustomize", "threadpoolctl")
"""Modules of Python's own library, installed ones, and ones that libraries use if they are there."""

TASK = """
class Slow:
    def load(self, item):
        return item

    def run(self, loaded):
        import json, multiprocessing, random, sys
        return [sys.path, json.dumps(loaded)]
"""

OWN_MODEL = """
from beside_it import TEXT

class Mine:
    def answer(self, request):
        import imported_later
        return TEXT
"""


@pytest.fixture
def odd_folder(tmp_path, monkeypatch):
    """The current folder, with files that have the names of modules; each leaves a mark when it is run."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in SHADOWED:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\n")
    monkeypatch.chdir(folder)
    yield folder
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def run(*command):
    """Run a command and return what it printed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("odd_folder")
def test_another_python_does_not_look_into_the_current_folder():
    """It imports what is installed, and so does a Python that it starts in turn."""
    inner = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import json, random, email'], check=True)"
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    command = python_command(f"import json, numpy; {inner}; print(numpy.__name__, sys.argv[1:])", "a", "b")
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "numpy ['a', 'b']\n"


@pytest.mark.parametrize("entry", ["", ".", "absolute"])
def test_however_the_current_folder_is_written_it_is_left_out(odd_folder, monkeypatch, entry):
    """Also as "." or in full; other folders keep their order."""
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", [str(odd_folder) if entry == "absolute" else entry, *before])
    assert search_path() == [one for one in before if os.path.realpath(one) != str(odd_folder)]


@pytest.mark.usefixtures("odd_folder")
def test_dividing_processes_do_not_look_there(tmp_path):
    """A script that divides images in several processes, started with "-c", runs nothing of the folder there."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "slow_task.py").write_text(TASK)
    script = (
        f"import sys; sys.path[:] = [*sys.path[1:], {str(elsewhere)!r}]\n"
        "from slow_task import Slow\nfrom lvlm_ad.engines import LocalEngine\n"
        "from lvlm_ad.workers import Workers\nsys.path.insert(0, '')\n"
        "workers = Workers(seconds_here=0)\n"
        "for _, (path, _) in LocalEngine(workers).map(Slow(), range(2)): print('' in path)\nworkers.close()"
    )
    assert run(sys.executable, "-c", script) == "False\nFalse\n"


@pytest.mark.usefixtures("odd_folder")
def test_a_module_command_does_not_look_there():
    """``python -m lvlm_ad`` takes the current folder, which Python puts first, off the path."""
    assert run(sys.executable, "-m", "lvlm_ad", "--version").startswith("lvlm-ad ")


@pytest.mark.slow
def test_your_own_model_and_its_neighbours_are_found(odd_folder):
    """A model's file may import files beside it, at once or later, here and in a check."""
    (odd_folder / "mine.py").write_text(OWN_MODEL)
    (odd_folder / "beside_it.py").write_text("TEXT = 'image anomaly score: 0.25'")
    (odd_folder / "imported_later.py").write_text("")
    assert "checks passed" in run(sys.executable, "-m", "lvlm_ad", "check-backend", "mine.py")


def test_the_folder_of_a_module_is_that_of_its_package():
    """A module deep in a package, a package and a module without a file."""
    import email
    import email.mime.text

    assert folder_of(email) == folder_of(email.mime.text) == str(Path(os.__file__).resolve().parent)
    assert folder_of(sys) == folder_of(None) == ""
