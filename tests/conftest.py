"""What tests share: paths to data outside the project, small images, a small data set, an endpoint, a browser."""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

# On a busy machine any example may take long; how long is never what a test is about.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")

collect_ignore = ["tiny_gguf.py", "tiny_lvlms.py", "tiny_sams.py", "tiny_tokenizer.py"]
"""Scripts that need transformers or llama.cpp, which doctest would import."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared():
    """The folder with test cases and real images beside the project; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the folder shared/ with cases and real images is not beside this checkout")
    return SHARED


@pytest.fixture
def photo():
    """A colour photograph, uint8 (400, 600, 3)."""
    from skimage import data

    return data.coffee()


def write_image(path, pixels):
    """Write an array as an image file, its folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_small_data(root):
    """Write a data set in the MVTec layout: two categories, 3 good and 3 defective images each, with masks."""
    draw = np.random.default_rng(0)
    for category in ("bolt", "nut1"):
        for index in range(3):
            for split in ("train", "test"):
                write_image(root / category / split / "good" / f"{index:03}.png", _grain(draw))
            pixels, mask = _grain(draw), np.zeros((96, 120), np.uint8)
            row, column = 10 + 20 * index, 15 + 30 * index
            mask[row : row + 18, column : column + 18] = 255
            pixels[mask > 0] = (220, 40, 40)
            write_image(root / category / "test" / "hole" / f"{index:03}.png", pixels)
            write_image(root / category / "ground_truth" / "hole" / f"{index:03}_mask.png", mask)
    return root


@pytest.fixture(scope="session")
def region_question():
    """A function that returns the question about numbered regions, and the object that filled its prompt."""
    from lvlm_ad.backend import Capabilities
    from lvlm_ad.methods import AskedModel, View
    from lvlm_ad.methods.regions import region_request
    from lvlm_ad.prompts import Questioner

    def ask(dataset, protocol, prompt, image, regions, *, category, seed=0):
        questioner = Questioner(dataset, protocol, prompt, seed=seed)
        view = View(
            image=image,
            original=image,
            category=category,
            class_name=questioner.class_name(category),
            regions=regions,
            seed="",
            protocol=protocol,
            fill=lambda values: questioner.text(category, values),
            references=questioner.references(category),
            model=AskedModel(capabilities=Capabilities(schema=True)),
            format=prompt.format,
        )
        return region_request(view), questioner

    return ask


@pytest.fixture
def small_data(tmp_path):
    """The folder of a small data set, the test's own: see ``write_small_data``."""
    return write_small_data(tmp_path / "small")


@pytest.fixture(scope="session")
def kept_data(tmp_path_factory):
    """The same for tests that leave it as it is."""
    return write_small_data(tmp_path_factory.mktemp("kept") / "small")


BOX_DRAWER = '''
import json, hashlib
from lvlm_ad.backend import Answer, Capabilities, Usage

class Drawer:
    """Answers by what it is asked for and by its picture; knows neither label nor defect."""
    capabilities = Capabilities(concurrency=1)

    def answer(self, request):
        drawn = int(request.images[-1].digest[:4], 16)
        score = 0.2 + 0.1 * (drawn % 7)
        if "box" in request.text:
            at = 100 + drawn % 600
            text = json.dumps([{"bbox_2d": [at, at, at + 250, at + 200], "label": "<b>hole</b>"}] if drawn % 3 else [])
        else:
            text = f"image anomaly score: {score:.2f}; region 1: {score:.2f}."
        return Answer(text, usage=Usage(800, None, 20))
'''


@pytest.fixture(scope="session")
def method_runs(kept_data, tmp_path_factory):
    """Runs of one model by several methods and their oracles, by the names of their rows; tests leave them as they are.

    Six images at 96 x 96 pixels, in 16 cells where a method needs regions; zoom asks three questions about each.
    """
    import lvlm_ad

    folder = tmp_path_factory.mktemp("methods")
    (folder / "drawer.py").write_text(BOX_DRAWER)
    (folder / "drawer.toml").write_text(f'backend = "{folder / "drawer.py"}"\nconvention = "qwen3_1000"\n')
    settings = {"image_size": 96, "division": "grid", "grid_rows": 4, "grid_columns": 4, "min_area": 0}
    common = {"data": kept_data, "categories": "bolt", "out": folder / "out", "resamples": 50}
    found = {}
    for method, models, more in (
        ("regions", [str(folder / "drawer.toml")], {}),
        ("boxes", [str(folder / "drawer.toml"), "oracle"], {}),
        ("zoom", [str(folder / "drawer.toml")], {"zoom_budget": 2, "number_size": 7, "border_width": 1}),
    ):
        runs = lvlm_ad.bench(models=models, method=method, settings=settings | more, reference_rows=False, **common)
        found |= {run.manifest.row_name: run for run in runs}
    return found


def _grain(draw):
    """A cloudy grey ground: superpixels need something to hold on to."""
    coarse = Image.fromarray(draw.integers(60, 180, size=(6, 8, 3)).astype(np.uint8))
    return np.array(coarse.resize((120, 96), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Broken:
    """A reply that breaks off: "reset" before its first byte, "half" in its body; or "drip": never ends."""

    how: str


def break_off(handler, how):
    """Send what a ``Broken`` says and end the connection."""
    handler.close_connection = True
    if how == "half":
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    elif how == "drip":
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                handler.wfile.write(b" ")
                time.sleep(0.05)
    else:
        # No lingering: closing then resets the connection.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()


class Endpoint:
    """A small chat-completions endpoint on the loopback interface; it answers what ``reply`` returns.

    Attributes:
        reply: from the request's JSON to a text, a (status, body, headers) triple, or a ``Broken``; body is JSON or
            raw bytes.
        models: what GET /v1/models lists; None: status 404.
        asked: the JSON of every request that arrived, in order.
        answered: the JSON of every request whose answer was sent completely.
        headers: the headers of every request.
    """

    def __init__(self):
        self.reply = lambda _body: "image anomaly score: 0.5."
        self.models = None
        self.asked, self.answered, self.headers = [], [], []
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                served = endpoint.models if self.path == "/v1/models" else None
                listed = [{"id": name, "object": "model", "created": 1, "owned_by": "test"} for name in served or []]
                body = {"object": "list", "data": listed} if served is not None else {"error": {"message": "no"}}
                data = json.dumps(body).encode()
                self.send_response(404 if served is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                size = int(self.headers["Content-Length"])
                data = self.rfile.read(size)
                if len(data) < size:
                    # The client was killed while it sent the question.
                    self.close_connection = True
                    return
                body = json.loads(data)
                with endpoint._lock:
                    endpoint.asked.append(body)
                    endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
                given = endpoint.reply(body)
                if isinstance(given, Broken):
                    break_off(self, given.how)
                    return
                status, payload, headers = (200, completion(given), {}) if isinstance(given, str) else given
                data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                try:
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    return
                with endpoint._lock:
                    endpoint.answered.append(body)

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def completion(text, **changes):
    """A chat completion as OpenAI sends it; ``changes`` replace parts of the choice."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, **changes}
    usage = {"prompt_tokens": 800, "completion_tokens": 20, "total_tokens": 820}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub-1",
        "choices": [choice],
        "usage": usage,
    }


@pytest.fixture
def endpoint():
    """A running ``Endpoint``."""
    running = Endpoint()
    yield running
    running.close()


@pytest.fixture(name="broken")
def broken_fixture():
    """The class ``Broken``."""
    return Broken


@pytest.fixture(name="completion")
def completion_fixture():
    """The function ``completion``."""
    return completion


@pytest.fixture(scope="session")
def built_once(tmp_path_factory):
    """A function that returns a folder which one worker of pytest-xdist builds for all; tests leave it as it is.

    Its arguments: the folder's name, and the function that fills it, given its path.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder_of(name, build):
        folder, whole = base / name, base / f"{name}.whole"
        deadline = time.monotonic() + 900
        while not whole.exists():
            try:
                folder.mkdir()
            except FileExistsError:
                # Another worker builds it, or did not end.
                assert time.monotonic() < deadline, f"{folder} was not built"
                time.sleep(0.2)
                continue
            try:
                build(folder)
            except BaseException:
                shutil.rmtree(folder)
                raise
            whole.touch()
        return folder

    return folder_of


def run_script(script, *arguments):
    """Run a script of this folder in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def tiny_lvlm(built_once):
    """A function from a name of ``tiny_lvlms.py`` to the model's folder.

    One process builds them all: importing transformers is what takes long.
    """
    missing = [name for name in ("torch", "torchvision", "transformers", "num2words") if find_spec(name) is None]
    if missing:
        pytest.skip(f"tiny models need {', '.join(missing)}, not installed here")
    if int(version("transformers").partition(".")[0]) < 5:
        pytest.skip(f"transformers {version('transformers')} is too old for these tests; they need 5 or later")
    return built_once("tiny_lvlms", lambda folder: run_script("tiny_lvlms.py", folder)).joinpath


@pytest.fixture(scope="session")
def tiny_sam(built_once):
    """A function from a name of ``tiny_sams.py`` to the model's folder; one process builds them all."""
    return built_once("tiny_sams", lambda folder: run_script("tiny_sams.py", folder)).joinpath


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory):
    """The name of a CLIP model that open_clip has been taught: 4 blocks, 4 x 4 patches, random weights in no time."""
    missing = [name for name in ("torch", "open_clip") if find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra 'clip' needs {', '.join(missing)}, not installed here")
    import open_clip

    vision = {"image_size": 64, "layers": 4, "width": 64, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    path = tmp_path_factory.mktemp("tiny_clip") / "tiny-clip.json"
    path.write_text(json.dumps({"embed_dim": 48, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)
    return path.stem


@dataclass(frozen=True)
class Finished:
    """A command that has ended: its exit status and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def without_report(arguments):
    """A bench writes no report unless told so: drawing takes longer than measuring so few images."""
    if arguments[:1] == ("bench",) and "--report" not in arguments:
        arguments = (*arguments, "--no-report")
    return [str(argument) for argument in arguments]


@pytest.fixture(scope="session")
def command_line():
    """The command line, built once for all tests: building it takes longer than most commands."""
    from typer.main import get_command

    from lvlm_ad.cli import app

    return get_command(app)


@pytest.fixture(scope="session")
def in_process(command_line):
    """Run a command in this process; returns a ``Finished``, and raises what it raises, except ``SystemExit``."""

    def run(arguments, env=None):
        with CliRunner().isolation(env=env) as (stdout, stderr, _):
            with pytest.raises(SystemExit) as ended:
                command_line.main([str(argument) for argument in arguments], prog_name="lvlm-ad")
            sys.stdout.flush()
            sys.stderr.flush()
            return Finished(ended.value.code or 0, stdout.getvalue().decode(), stderr.getvalue().decode())

    return run


@pytest.fixture
def lvlm_ad_command(tmp_path, monkeypatch, in_process):
    """Run a command in this process, in an empty folder; returns a ``Finished``. ``env`` changes the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)

    def run(*arguments, env=None):
        return in_process(without_report(arguments), env)

    return run


@pytest.fixture
def lvlm_ad_process(tmp_path, monkeypatch):
    """Run a command as a process of its own, in an empty folder; returns the finished process, text captured."""
    monkeypatch.chdir(tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}

    def run(*arguments, env=None, **kwargs):
        return subprocess.run(
            [sys.executable, "-m", "lvlm_ad", *without_report(arguments)],
            capture_output=True,
            text=True,
            env={**environment, "COLUMNS": "160", **(env or {})},
            check=False,
            **kwargs,
        )

    return run


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a megabyte, and a function that mounts it anew with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if shutil.which("mount") is None or not mount("size=1m"):
        pytest.skip("a file system of its own can only be mounted by root")
    yield place, lambda *options: mount("remount", *options)
    # Lazily: a process of the test may still have a file open there.
    subprocess.run(["umount", "-l", str(place)], check=True)


@dataclass
class Opened:
    """A page in a browser, the addresses that it requested, and every error and message on the console."""

    page: object
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium, headless."""
    if find_spec("playwright") is None:
        pytest.skip("playwright is not installed here")
    path = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    if not path:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """A function that opens a file in a fresh browser window."""
    contexts = []

    def show(path, *, width=1280, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        opened = Opened(context.new_page())
        page = opened.page
        page.on("request", lambda one: opened.requested.append(one.url))
        page.on("console", lambda one: opened.complaints.append(one.text))
        page.on("pageerror", lambda one: opened.complaints.append(str(one)))
        page.on("dialog", lambda one: (opened.complaints.append(f"dialog {one.message}"), one.dismiss()))
        page.goto(path.resolve().as_uri())
        page.wait_for_load_state("networkidle")
        return opened

    yield show
    for context in contexts:
        context.close()
