"""A run folder that a stranger sent: reported and verified, it runs nothing and opens nothing but its own files."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.evaluate import bench
from lvlm_ad.files import read_arrays
from lvlm_ad.runs import read_run

WATCH = """
import json, os, sys
from pathlib import Path
seen = {}
DANGEROUS = ("socket.connect", "socket.getaddrinfo", "subprocess", "os.system", "os.exec", "os.posix_spawn",
    "os.fork", "pickle.find_class", "urllib.", "ctypes.dlopen", "sqlite3.load_extension")
def hook(event, given):
    if event == "open" and isinstance(given[0], (str, bytes)):
        seen.setdefault("open", set()).add(os.path.abspath(os.fsdecode(given[0])))
    elif event.startswith(DANGEROUS):
        seen.setdefault(event, set()).add(repr(given)[:200])
from lvlm_ad.cli import main
import lvlm_ad.report.run_page, lvlm_ad.evaluate.verify_all, lvlm_ad.report.board_page
sys.addaudithook(hook)
status = 0
try:
    main()
except SystemExit as error:
    status = error.code
found = {event: sorted(values) for event, values in seen.items()}
Path(os.environ["SEEN"]).write_text(json.dumps({"status": status, **found}))
"""


@pytest.fixture(scope="module")
def made(kept_data, tmp_path_factory):
    """A run that somebody made elsewhere."""
    out = tmp_path_factory.mktemp("elsewhere")
    return bench(data=kept_data, out=out, frame=False, models=["contrast"], resamples=50)[0].dir


@pytest.fixture
def stranger(made, tmp_path):
    """A copy of it, in a folder of its own."""
    return shutil.copytree(made, tmp_path / "sent" / "run")


def watched(tmp_path, *arguments):
    """Run the command and return what it did, by audit event."""
    seen, home = tmp_path / "seen.json", tmp_path / "home"
    home.mkdir(exist_ok=True)
    env = {**os.environ, "SEEN": str(seen), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "COLUMNS": "160"}
    command = [sys.executable, "-c", WATCH, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path, timeout=120)
    assert seen.exists(), done.stderr
    return json.loads(seen.read_text()), done


def not_its_own(did, *allowed):
    """What was opened beside the installation, the system's fonts and caches, and what is allowed."""
    paths = sysconfig.get_paths()
    own = [paths["purelib"], paths["stdlib"], sys.prefix, sys.base_prefix, Path(__file__).parents[2], "/proc", "/dev"]
    own += ["/usr/share", "/usr/lib", "/etc/ssl", "/etc/mime.types", "/etc/localtime", "/sys", *allowed]
    own = [os.path.realpath(place) for place in own]
    return [path for path in did["open"] if not os.path.realpath(path).startswith(tuple(own))]


@pytest.mark.parametrize("kind", ["report", "leaderboard"])
def test_a_strangers_run_opens_its_own_files_alone(kind, stranger, tmp_path):
    """By Python's own audit events: no other file, socket, process or pickle; notes beside the run are not read."""
    canary = tmp_path / "secret"
    (canary / "good").mkdir(parents=True)
    shutil.copy(stranger / "run.json", canary / "good" / "a.png")
    fingerprint = json.loads((stranger / "run.json").read_text())["dataset"]["fingerprint"]
    note = {fingerprint: {"name": "folder", "root": str(canary), "mask_threshold": None, "divided_by": []}}
    (stranger.parent / "places.json").write_text(json.dumps(note))
    if kind == "report":
        arguments = ("report", stranger, "-o", tmp_path / "page")
    else:
        arguments = ("leaderboard", stranger.parent, "--verify", "--format", "html", "-o", tmp_path / "page.html")
    did, done = watched(tmp_path, *arguments)
    opened, status = did.pop("open"), did.pop("status")
    assert did == {}, did
    assert not_its_own({"open": opened}, stranger, tmp_path / "page", tmp_path / "home", tmp_path / "seen.json") == [
        path for path in opened if path.startswith(f"{tmp_path}{os.sep}.page.html.")
    ]
    if kind == "report":
        assert "Where the images" in done.stderr
        assert "--data" in done.stderr
    else:
        assert status in {0, None}, done.stderr


def test_a_model_that_a_run_names_is_not_looked_for(stranger, kept_data, tmp_path):
    """A run that says that it was divided by SAM names weights; they are neither opened nor fetched."""
    manifest = json.loads((stranger / "run.json").read_text())
    manifest["division"]["method"] = "sam"
    manifest["division"]["options"] = {"sam_model": str(tmp_path / "weights"), "sam_weights": "0" * 64}
    (stranger / "run.json").write_text(json.dumps(manifest))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    did, done = watched(tmp_path, "report", stranger, "--data", kept_data, "-o", tmp_path / "page")
    assert "has divided nothing on this machine" in " ".join(done.stderr.split())
    assert not [path for path in did["open"] if path.startswith(str(tmp_path / "weights"))]
    assert not any(event.startswith("socket") for event in did)


@pytest.mark.parametrize("name", ["run.json", "metrics.json", "predictions.jsonl", "pixels.npz"])
@pytest.mark.parametrize("kind", ["link out", "pipe", "folder", "link to nothing"])
def test_what_is_no_file_of_the_run_is_not_read(name, kind, stranger, tmp_path):
    """A link to somebody's file, a pipe that never ends: one line, at once."""
    path = stranger / name
    path.unlink()
    if kind == "link out":
        (tmp_path / "secret.txt").write_text("secret words")
        path.symlink_to(tmp_path / "secret.txt")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nothing")
    with pytest.raises(RunError) as caught:
        read_run(stranger)
    assert "secret words" not in str(caught.value)
    assert name in str(caught.value)


class _Trap:
    def __reduce__(self):
        return (os.system, ("touch trapped",))


def _npz(path, name, data):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)


def _head(shape, dtype="<i8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_an_archive_runs_nothing_and_takes_no_more_than_it_holds(stranger, tmp_path, monkeypatch):
    """A pickle, a head that promises a petabyte, and zeros that unpack to gigabytes are each refused."""
    monkeypatch.chdir(tmp_path)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    _npz(stranger / "pixels.npz", "lengths.npy", file.getvalue() + pickle.dumps([_Trap()]))
    with pytest.raises(RunError, match="damaged"):
        read_run(stranger)
    assert not (tmp_path / "trapped").exists()
    _npz(stranger / "pixels.npz", "lengths.npy", _head((1 << 50,)))
    with pytest.raises(RunError, match="by its head"):
        read_run(stranger)
    _npz(stranger / "pixels.npz", "lengths.npy", _head((1 << 20,), "|u1") + bytes(1 << 20))
    with (stranger / "pixels.npz").open("rb") as archive, pytest.raises(ValueError, match="it unpacks to"):
        read_arrays(archive, largest=1 << 19)
    with (stranger / "pixels.npz").open("rb") as archive:
        assert read_arrays(archive)["lengths"].shape == (1 << 20,)


@pytest.mark.parametrize("place", ["report", "report/pictures", "report/pictures/00000.webp", "report/figures"])
def test_nothing_is_written_through_a_strangers_links(place, stranger, kept_data, tmp_path, lvlm_ad_command):
    """Folders and files that lead elsewhere are refused, in one line."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "index.html").write_text("mine")
    link = stranger / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim / "index.html" if place.endswith("webp") else victim)
    done = lvlm_ad_command("report", stranger, "--data", kept_data, "--figures")
    assert done.returncode == 2
    assert "remove it" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in victim.iterdir()] == ["index.html"]
    assert (victim / "index.html").read_text() == "mine"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_page_takes_the_place_of_what_a_stranger_put_there(kind, stranger, tmp_path, lvlm_ad_command):
    """A link is replaced, not followed; a pipe is replaced, not waited for. What the user names may be a device."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    pages = [stranger / "report" / "index.html", stranger.parent / "leaderboard.html"]
    (stranger / "report").mkdir()
    for page in pages:
        if kind == "link":
            page.symlink_to(victim)
        else:
            os.mkfifo(page)
    assert lvlm_ad_command("report", stranger, "--no-pictures").returncode == 0
    assert lvlm_ad_command("leaderboard", stranger.parent, "-f", "html").returncode == 0
    assert all(page.is_file() and not page.is_symlink() for page in pages)
    assert victim.read_text() == "mine"
    assert "contrast" in lvlm_ad_command("leaderboard", stranger.parent, "-f", "csv", "-o", "/dev/stdout").stdout
