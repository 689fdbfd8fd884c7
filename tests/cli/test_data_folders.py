"""``leaderboard --data``: one folder, or a folder for each data set by its name."""

import shutil
from pathlib import Path

import pytest

from lvlm_ad.cli.data_folders import data_folders
from lvlm_ad.errors import ConfigError


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """The test is in a folder with two data sets, one of them with "=" in its path."""
    monkeypatch.chdir(tmp_path)
    for name in ("mvtec", "size=96/visa", "a=b"):
        Path(name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        (["mvtec"], Path("mvtec")),
        (["nowhere"], Path("nowhere")),
        (["./a=b"], Path("a=b")),
        (["size/x=96"], Path("size/x=96")),
        (["mvtec=mvtec"], {"mvtec": [Path("mvtec")]}),
        (["mvtec=mvtec", "visa=size=96/visa"], {"mvtec": [Path("mvtec")], "visa": [Path("size=96/visa")]}),
        (["folder=mvtec", "folder=a=b"], {"folder": [Path("mvtec"), Path("a=b")]}),
        (["demo=new"], {"demo": [Path("new")]}),
    ],
)
def test_a_name_stands_before_the_first_sign(values, expected):
    """Without a name, a value is a path; so is one with a folder before "="; the demo's folder may be new."""
    assert data_folders(values) == expected


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["mvtek=mvtec"], "--data: there is no data set 'mvtek'. Did you mean 'mvtec'?"),
        (["=mvtec"], "--data: there is no data set ''. Known: "),
        (["a=b"], "--data 'a=b': write './' before a path that contains '='."),
        (["mvtec=mvtec", "mvtec=other"], "--data mvtec: there is no folder 'other'."),
        (["mvtec=nowhere"], "--data mvtec: there is no folder 'nowhere'."),
        (["mvtec="], "--data mvtec: there is no folder ''."),
        (["demo="], "--data demo: there is no folder ''."),
        (["mvtec=mvtec", "mvtec"], "--data 'mvtec' has no name; if you give several data sets, give each as NAME=PATH"),
        (["mvtec", "other"], "--data 'mvtec' has no name"),
    ],
)
def test_what_is_wrong_is_one_line(values, says):
    """It quotes the value, and says what to do."""
    with pytest.raises(ConfigError) as error:
        data_folders(values)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_data_sets_of_several_names_are_compared(lvlm_ad_command, finished, kept_data):
    """Runs of a data set that is not given are kept; a message and the table say so. A forged mask is found."""
    out, runs, _ = finished
    name = runs[0]["dataset"]
    command = ("leaderboard", out, "--verify", "--format", "md")
    compared = lvlm_ad_command(*command, "--data", f"{name}={kept_data}", "--data", "demo=new")
    assert (compared.returncode, "not compared" in compared.stdout + compared.stderr) == (0, False)
    others = lvlm_ad_command(*command, "--data", "demo=new")
    assert others.returncode == 0
    assert f"Labels and pixel counts of runs on {name} were not compared with the images and masks" in others.stderr
    assert "labels and pixel counts were not compared with the images and masks" in others.stdout
    shutil.copytree(kept_data, "changed")
    mask = next(Path("changed").rglob("*_mask.png"))
    shutil.copy(next(Path("changed").rglob("good/*.png")), mask)
    false = lvlm_ad_command(*command, "--data", f"{name}=changed", "--data", "demo=new")
    assert false.returncode == 2
    assert "are not those that" in false.stderr


def test_a_wrong_name_is_found_before_runs_are_read(lvlm_ad_command):
    """One line, and exit status 2."""
    done = lvlm_ad_command("leaderboard", "nowhere", "--verify", "--data", "mvtek=mvtec")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["lvlm-ad: --data: there is no data set 'mvtek'. Did you mean 'mvtec'?"]
