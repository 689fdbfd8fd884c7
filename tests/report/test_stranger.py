"""A run folder that a stranger sent: its pages open nothing but its own files."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

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
import lvlm_ad.report.run_pages, lvlm_ad.evaluate.verify, lvlm_ad.report.board_page
sys.addaudithook(hook)
status = 0
try:
    main()
except SystemExit as error:
    status = error.code
found = {event: sorted(values) for event, values in seen.items()}
Path(os.environ["SEEN"]).write_text(json.dumps({"status": status, "search": sys.path, **found}))
"""


def watched(tmp_path, *arguments):
    """Run the command in a process of its own; return its audit events and the finished process."""
    seen, home = tmp_path / "seen.json", tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "SEEN": str(seen), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "COLUMNS": "160"}
    command = [sys.executable, "-c", WATCH, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path, timeout=120)
    assert seen.exists(), done.stderr
    return json.loads(seen.read_text()), done


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["report", "leaderboard"])
def test_a_strangers_run_opens_its_own_files_alone(kind, run_folder, tmp_path):
    """No other file, socket, process or pickle, by Python's audit events; a note beside the run is not read."""
    secret = tmp_path / "secret" / "good"
    secret.mkdir(parents=True)
    shutil.copy(run_folder / "run.json", secret / "a.png")
    fingerprint = json.loads((run_folder / "run.json").read_text())["dataset"]["fingerprint"]
    note = {fingerprint: {"name": "folder", "root": str(secret.parent), "mask_threshold": None, "divided_by": []}}
    (run_folder.parent / "places.json").write_text(json.dumps(note))
    if kind == "report":
        arguments = ("report", run_folder, "-o", tmp_path / "page")
    else:
        page = tmp_path / "page" / "leaderboard.html"
        arguments = ("leaderboard", run_folder.parent, "--verify", "--format", "html", "-o", page)
    did, done = watched(tmp_path, *arguments)
    opened, search, status = did.pop("open"), did.pop("search"), did.pop("status")
    assert did == {}
    installed = [sysconfig.get_paths()["stdlib"], sys.prefix, sys.base_prefix, *filter(None, search)]
    system = ["/proc", "/dev", "/sys", "/usr/share", "/usr/lib", "/etc/ssl", "/etc/mime.types", "/etc/localtime"]
    own = [run_folder, tmp_path / "page", tmp_path / "home", tmp_path / "seen.json", Path(__file__).parents[2]]
    allowed = tuple(os.path.realpath(place) for place in (*installed, *system, *own))
    assert [path for path in opened if not os.path.realpath(path).startswith(allowed)] == []
    if kind == "report":
        assert (status, "name their folder with --data" in done.stderr) == (2, True)
    else:
        assert (status, page.is_file()) == (0, True), done.stderr
