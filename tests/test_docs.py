"""The documentation is true: every block of code runs, or says why not and is well formed; links lead somewhere."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lvlm_ad.plugins import build, find_model, load_method
from lvlm_ad.presets import Protocol, parse_settings
from lvlm_ad.testing import BACKEND_CHECKS, check_backend

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
RUN = {"bash", "python"}
DATA = {"text", "toml", "yaml", "csv", "json", "bibtex"}
"""What is shown, and not run: output, files. With a title, a file that what follows uses."""

DRIVER = """
import json, pathlib, subprocess, sys

if __name__ == "__main__":
    space = {"__name__": "__main__"}
    for place, kind, code in json.load(open(sys.argv[1])):
        print(f"== {place}", flush=True)
        if kind == "bash":
            subprocess.run(["bash", "-euo", "pipefail", "-c", code], check=True)
        elif kind == "python":
            exec(compile(code, place, "exec"), space)
        else:
            path = pathlib.Path(kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its place, language, title, why it is not run, what is to be run before it, and its text."""

    place: str
    language: str
    title: str
    not_run: str | None
    before: tuple[tuple[str, str], ...]
    code: str


def name_of(page):
    return str(page.relative_to(REPOSITORY))


def blocks(page):
    """The blocks of a page. Comments just above a fence speak of it."""
    found, lines, at = [], page.read_text(encoding="utf-8").split("\n"), 0
    while at < len(lines):
        fence = re.fullmatch(r"( *)```(\w*) *(?:title=\"([^\"]+)\")?", lines[at])
        if fence is None:
            assert "```" not in lines[at], f"{name_of(page)}:{at + 1}: a fence that the test does not know"
            at += 1
            continue
        indent, language, title = fence.groups()
        end = next(i for i in range(at + 1, len(lines)) if lines[i] == f"{indent}```")
        above = []
        while at - len(above) > 0 and re.fullmatch(r" *<!-- .* -->", lines[at - len(above) - 1]):
            above.insert(0, lines[at - len(above) - 1].strip()[5:-4])
        reasons = [one.removeprefix("not run: ") for one in above if one.startswith("not run: ")]
        before = tuple(
            (kind, one.removeprefix(f"{kind} first: "))
            for one in above
            for kind in ("bash", "python")
            if one.startswith(f"{kind} first: ")
        )
        code = "\n".join(line.removeprefix(indent) for line in lines[at + 1 : end]) + "\n"
        place = f"{name_of(page)}:{at + 1}"
        found.append(Block(place, language, title or "", reasons[0] if reasons else None, before, code))
        at = end + 1
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def commands(code):
    """The calls of lvlm-ad in a shell script, as lists of arguments."""
    joined = code.replace("\\\n", " ")
    for line in joined.splitlines():
        for part in re.split(r"&&|\||;", line.partition("  #")[0]):
            words = shlex.split(part, comments=True)
            if words[:1] == ["lvlm-ad"]:
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_marked(page):
    """It has a language; what is not run says why; nothing is hidden in an indented block."""
    for block in blocks(page):
        assert block.language in RUN | DATA, f"{block.place}: {block.language!r} is not known"
        assert block.not_run is None or len(block.not_run) > 10, f"{block.place}: why is it not run?"
        assert block.not_run is None or block.language in RUN, f"{block.place} would not be run anyway"
    if name_of(page) != "docs/cli.md":
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"\n\n    (lvlm-ad|pip|python|export|import) ", text), "a block without a fence"


@pytest.mark.parametrize(
    "block", [block for block in ALL if block.not_run and block.language == "bash"], ids=lambda block: block.place
)
def test_commands_that_are_not_run_are_well_formed(block, command_line):
    """Each command, option, model and setting in them exists."""
    for arguments in commands(block.code):
        if "..." in arguments:
            continue
        command = command_line
        context = command.make_context("lvlm-ad", list(arguments), resilient_parsing=False)
        while getattr(command, "commands", None):
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, rest, parent=context)
        settings = parse_settings(list(context.params.get("settings") or []))
        of_models = context.params.get("name") if command.name == "models" else None
        models = context.params.get("models") or context.params.get("model") or of_models or []
        known = set(Protocol.model_fields)
        for model in [models] if isinstance(models, str) else models:
            # A package or file of the reader's own is not here.
            known |= set() if model.startswith(("my-", "my_")) else find_model(model, {})[1]
        method = context.params.get("method") or "regions"
        known |= set() if method.startswith("my-") or method.endswith(".py") else load_method(method, {})[1]
        assert set(settings) <= known, f"{block.place}: {set(settings) - known}"


RUN_PAGES = [page for page in PAGES if any(one.language in RUN and one.not_run is None for one in blocks(page))]


@pytest.mark.heavy
@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
def test_the_blocks_of_a_page_run(page, tmp_path):
    """One after the other, in one folder, as a reader would."""
    steps = []
    for block in blocks(page):
        steps += [(block.place, kind, code) for kind, code in block.before]
        if block.title:
            steps.append((block.place, block.title, block.code))
        elif block.language in RUN and block.not_run is None:
            steps.append((block.place, block.language, block.code))
    (tmp_path / "driver.py").write_text(DRIVER)
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    folder = tmp_path / "here"
    folder.mkdir()
    # The cache of the session is kept too: all pages use one demo.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTEST_"))}
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "COLUMNS": "120",
        # What a command warns of in a first program of a reader's would be a defect here.
        "PYTHONWARNINGS": "error::DeprecationWarning:__main__",
    }
    done = subprocess.run(
        [sys.executable, str(tmp_path / "driver.py"), str(tmp_path / "steps.json")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_within_the_project_lead_somewhere(page):
    """A file that is there, and in pages a heading that is there."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{name_of(page)}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{name_of(page)}: {target}"


def anchors(page):
    """The headings of a page as addresses, as GitHub and MkDocs both make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.heavy
def test_the_notebook_runs(tmp_path, monkeypatch):
    """Every cell, as it is written; it is made by docs/make_notebook.py."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("pandas")
    pytest.importorskip("ipykernel")
    made = subprocess.run([sys.executable, str(REPOSITORY / "docs" / "make_notebook.py"), "--check"], check=False)
    assert made.returncode == 0
    book = nbformat.read(REPOSITORY / "docs" / "quickstart.ipynb", as_version=4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        "".join(str(one.get("data", "")) for one in cell.outputs) for cell in book.cells if cell.cell_type == "code"
    ]
    assert "<th>contrast (dense)</th>" in shown[0]
    assert "<caption>contrast on demo: 24 images</caption>" in shown[1]
    assert "image_score" in shown[2]
    assert "<th>guess</th>" in shown[4]
    assert "0.7" in shown[5]


@pytest.mark.heavy
def test_the_pictures_can_be_drawn(tmp_path):
    """The script that draws the documentation's pictures draws each of them, here of few images."""
    pytest.importorskip("playwright")
    if shutil.which("chromium") is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    script = REPOSITORY / "docs" / "make_pictures.py"
    subprocess.run([sys.executable, str(script), str(tmp_path), "--few"], check=True)
    images = REPOSITORY / "docs" / "images"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in images.iterdir())


def test_every_picture_is_shown():
    """Each picture of the documentation is on a page, with a text that says what is seen."""
    shown = [one for page in PAGES for one in re.findall(r"!\[([^\]]*)\]\(\S*images/(\S+)\)", page.read_text("utf-8"))]
    assert {name for _, name in shown} == {path.name for path in (REPOSITORY / "docs" / "images").iterdir()}
    assert all(text.strip() for text, _ in shown)


@pytest.mark.heavy
def test_the_site_builds(tmp_path):
    """Without a warning: every link and heading is there, every docstring can be read, nothing is fetched."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "-f", str(REPOSITORY / "mkdocs.yml"), "-d", str(site)],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    pages = list(site.rglob("*.html"))
    assert len(pages) > sum(page.parent.name != REPOSITORY.name for page in PAGES) > 20
    asked = re.compile(r"<(?:script|link|img|source|iframe)[^>]+(?:src|href)=[\"']?(https?:[^\"' >]+)")
    for page in pages:
        fetched = [one for one in asked.findall(page.read_text(encoding="utf-8")) if "canonical" not in one]
        assert fetched == [], f"{page.name} is not whole without the network"


class Looks(BaseHTTPRequestHandler):
    """The model in the data centre of the tutorial: it says how many pictures it was shown, and how large they are."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        size = sum(len(picture) for picture in asked["pictures"])
        reply = json.dumps({"text": f"image anomaly score: 0.{size}.", "tokens": 9}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        """Say nothing."""


@pytest.mark.heavy
@pytest.mark.parametrize("file", ["my_backend.py", "house_model.py", "together.py"])
def test_the_tutorials_backends_keep_the_contract(file, tmp_path):
    """The page recommends the check, so its own classes pass it."""
    written = {block.title: block.code for block in blocks(REPOSITORY / "docs" / "tutorials" / "own-backend.md")}
    (tmp_path / file).write_text(written[file])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Looks)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = {"url": f"http://127.0.0.1:{server.server_port}/look"} if file == "house_model.py" else {}
        assert check_backend(build(find_model(str(tmp_path / file), url)[0])) == list(BACKEND_CHECKS)
    finally:
        server.shutdown()
        server.server_close()
