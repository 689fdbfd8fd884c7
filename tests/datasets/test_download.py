"""Downloads from a server on the loopback interface that breaks off, changes its file and sends hostile archives."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import download as downloading
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.download import download, fetch
from lvlm_ad.datasets.readers import READERS
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.presets import load_download, preset_names

MB = 1 << 20


class Server:
    """Gives one file, by ranges.

    Attributes:
        content: the file.
        break_after: lists of bytes after which the next replies break off.
        statuses: what the next replies answer instead.
        ranges: whether ranges are given; else always the whole.
        headers: further headers of every reply.
        asked: the Range header of each request, or "".
        sent: bytes given in all.
        slow: seconds to wait after each megabyte.
        gate: where it is not None, a reply waits for it after three megabytes.
    """

    def __init__(self, content):
        self.content, self.break_after, self.statuses = content, [], []
        self.ranges, self.headers, self.asked, self.sent, self.slow, self.location = True, {}, [], 0, 0.0, ""
        self.gate = None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.give(self)

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/data.tar"

    def give(self, handler):
        asked = handler.headers.get("Range", "")
        self.asked.append(asked)
        if self.statuses:
            self.empty(handler, self.statuses.pop(0), {"Location": self.location} if self.location else {})
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        size = len(self.content)
        if start >= size:
            self.empty(handler, 416, {"Content-Range": f"bytes */{size}"})
            return
        handler.send_response(206 if start else 200)
        headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        for name, value in {**headers, "Content-Length": str(size - start), **self.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        end = size if not self.break_after else min(size, start + self.break_after.pop(0))
        try:
            for at in range(start, end, MB):
                part = self.content[at : min(end, at + MB)]
                handler.wfile.write(part)
                self.sent += len(part)
                time.sleep(self.slow)
                if self.gate is not None and at == 2 * MB:
                    self.gate.wait(120)
        except OSError:
            return
        if end < size:
            handler.close_connection = True

    @staticmethod
    def empty(handler, status, headers):
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            handler.send_header(name, value)
        handler.end_headers()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve():
    """A function that starts a ``Server`` of some bytes."""
    running = []

    def start(content):
        running.append(Server(content))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    """Tries follow each other at once."""
    monkeypatch.setattr(downloading, "_WAIT", 0.0)


@pytest.fixture(scope="module")
def content():
    return np.random.default_rng(0).bytes(5 * MB + 17)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_a_file_arrives(serve, content, tmp_path):
    """A file arrives whole, nothing is left beside it, progress is reported in bytes, and it is not fetched twice."""
    server, stages = serve(content), []
    fetch(server.url, tmp_path / "a", digest(content), lambda *stage: stages.append(stage))
    assert (tmp_path / "a").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert ("fetching", len(content), len(content)) in stages
    assert stages[-1][0] == "checking"
    fetch(server.url, tmp_path / "a", digest(content))
    assert server.asked == [""]


def test_a_broken_transfer_is_resumed(serve, content, tmp_path):
    """A transfer that breaks four times goes on where it broke; no byte is sent twice."""
    server, notes = serve(content), []
    server.break_after = [MB, MB, MB, MB]
    fetch(server.url, tmp_path / "a", digest(content), note=notes.append)
    assert (tmp_path / "a").read_bytes() == content
    assert server.asked == ["", *(f"bytes={number * MB}-" for number in (1, 2, 3, 4))]
    assert server.sent == len(content)
    assert len(notes) == 4
    assert f"resuming after {MB:,} bytes" in notes[0]


def test_the_next_call_resumes(serve, content, tmp_path):
    """The bytes received before the tries ran out are kept."""
    server = serve(content)
    server.break_after = [2 * MB, 0, 0, 0, 0]
    with pytest.raises(DataError, match=r"cannot be fetched: .*run the same command again to resume"):
        fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a.partial").stat().st_size == 2 * MB
    fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a").read_bytes() == content
    assert server.sent == len(content)


@pytest.mark.parametrize("have", ["all", "some, but no ranges"])
def test_a_part_that_does_not_fit_is_replaced(serve, content, tmp_path, have):
    """A whole file is taken as it is, and a server without ranges sends everything again."""
    server = serve(content)
    server.ranges = have == "all"
    (tmp_path / "a.partial").write_bytes(content if have == "all" else content[:MB])
    fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a").read_bytes() == content
    assert server.sent == (0 if have == "all" else len(content))


def test_another_file_is_removed(serve, content, tmp_path):
    """A file with another checksum is removed, and both checksums are named."""
    server = serve(b"another file")
    with pytest.raises(DataError, match=f"begins with {digest(b'another file')[:16]}, not {digest(content)[:16]}"):
        fetch(server.url, tmp_path / "a", digest(content))
    assert list(tmp_path.iterdir()) == []


def test_passing_errors_are_tried_again(serve, content, tmp_path):
    """A failure of the server, a rate limit and a time-out are tried again."""
    server = serve(content)
    server.statuses = [500, 503, 429, 408]
    fetch(server.url, tmp_path / "a", digest(content))
    assert len(server.asked) == 5


@pytest.mark.parametrize("status", [401, 404])
def test_final_errors_are_not_tried_again(serve, content, tmp_path, status):
    """A file that is forbidden or missing is an error with its address and what to do."""
    server = serve(content)
    server.statuses = [status]
    with pytest.raises(DataError, match=rf"data.tar answered {status} .*--url"):
        fetch(server.url, tmp_path / "a", digest(content))
    assert len(server.asked) == 1


def test_redirects_lead_to_the_web_alone(serve, content, tmp_path):
    """A redirect to another server is followed, one to a file of this machine or to FTP is not."""
    server, other = serve(content), serve(content)
    server.statuses, server.location = [302], other.url
    fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a").read_bytes() == content
    (tmp_path / "secret").write_text("x")
    for location in ((tmp_path / "secret").as_uri(), "ftp://127.0.0.1/a"):
        server.statuses, server.location = [302], location
        with pytest.raises(DataError, match="cannot be fetched"):
            fetch(server.url, tmp_path / "b", digest(b"x"))
    assert not (tmp_path / "b.partial").exists()
    assert len(server.asked) == 3


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "data.tar", "", "https://"])
def test_other_addresses_are_refused(tmp_path, url):
    """Only http and https are asked."""
    with pytest.raises(ConfigError, match="is not a web address"):
        fetch(url, tmp_path / "a", "0" * 64)


def test_a_file_that_does_not_fit_on_the_disk_is_not_begun(serve, content, tmp_path):
    """A server that announces more bytes than the disk has room for is refused."""
    server = serve(content)
    server.headers = {"Content-Length": str(10**15)}
    with pytest.raises(DataError, match="no room for"):
        fetch(server.url, tmp_path / "a", digest(content))


def test_silence_is_a_broken_transfer(serve, content, tmp_path, monkeypatch):
    """A server that stops sending is asked again, from where it stopped."""
    monkeypatch.setattr(downloading, "_SILENCE", 0.2)
    server, notes = serve(content), []
    server.slow = 0.6

    def note(text):
        notes.append(text)
        server.slow = 0.0

    fetch(server.url, tmp_path / "a", digest(content), note=note)
    assert (tmp_path / "a").read_bytes() == content
    assert "timed out" in notes[0]
    assert len(server.asked) == 2


def test_a_server_that_does_not_answer_is_named(tmp_path):
    """Where nobody listens, one line says so after some tries."""
    with pytest.raises(DataError, match=r"^http://127.0.0.1:9/a cannot be fetched: .*refused"):
        fetch("http://127.0.0.1:9/a", tmp_path / "a", "0" * 64)


def png():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def archive(layout, *more):
    """A tiny data set as a tar archive."""
    picture = png()
    files = {
        "mvtec": {
            "bottle/train/good/000.png": picture,
            "bottle/test/good/000.png": picture,
            "bottle/test/crack/000.png": picture,
            "bottle/ground_truth/crack/000_mask.png": picture,
        },
        "visa": {
            "split_csv/1cls.csv": b"object,split,label,image,mask\n"
            b"candle,test,normal,candle/Data/Images/Normal/0.JPG,\n"
            b"candle,test,anomaly,candle/Data/Images/Anomaly/0.JPG,candle/Data/Masks/Anomaly/0.png\n",
            "candle/Data/Images/Normal/0.JPG": picture,
            "candle/Data/Images/Anomaly/0.JPG": picture,
            "candle/Data/Masks/Anomaly/0.png": picture,
        },
        "nothing": {"README.txt": b"not a data set"},
    }[layout]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz" if layout == "mvtec" else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in more:
            tar.addfile(info)
    return buffer.getvalue()


def preset(path, name, layout, url, data):
    file = path / f"{name}.toml"
    file.write_text(
        f'layout = "{layout}"\npage = "https://page.example"\nlicence = "Free to all"\n'
        f'licence_url = "https://licence.example"\nterms = "none"\nurl = "{url}"\nsha256 = "{digest(data)}"\n'
    )
    return file


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of data sets in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lvlm-ad"


@pytest.mark.parametrize("layout", ["mvtec", "visa"])
def test_a_downloaded_data_set_needs_no_data_option(layout, serve, lvlm_ad_command, tmp_path, cache):
    """After a download with a resumed transfer the data set is found by name; a second download asks nothing."""
    data = archive(layout)
    server = serve(data)
    server.break_after = [len(data) // 2]
    file = preset(tmp_path, layout, layout, server.url, data)
    done = lvlm_ad_command("data", "info", "--dataset", layout)
    assert done.returncode == 2
    assert f"lvlm-ad data download {layout}" in done.stderr
    done = lvlm_ad_command("data", "download", file, "--accept-license")
    assert done.returncode == 0, done.stderr
    assert "Licence: Free to all (https://licence.example)" in done.stderr
    assert f"{layout}: 2 test images, 1 categories in {cache / layout}" in done.stderr
    assert f"Next: lvlm-ad bench --dataset {layout}\n" in done.stderr
    assert [path.name for path in cache.iterdir()] == [layout]
    assert lvlm_ad_command("data", "info", "--dataset", layout).returncode == 0
    asked = len(server.asked)
    assert lvlm_ad_command("data", "download", file).returncode == 0
    assert len(server.asked) == asked


def test_nothing_is_fetched_before_the_licence_is_accepted(serve, lvlm_ad_command, tmp_path, cache):
    """Where nobody can answer, the command names the option that accepts the licence."""
    data = archive("mvtec")
    server = serve(data)
    done = lvlm_ad_command("data", "download", preset(tmp_path, "mvtec", "mvtec", server.url, data))
    assert done.returncode == 2
    assert "--accept-license" in done.stderr.splitlines()[-1]
    assert server.asked == []
    assert not cache.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no pseudo-terminals here")
@pytest.mark.parametrize(("answer", "status"), [("n\n", 2), ("\n", 2), ("y\n", 0), ("\x04", 2), (None, 130)])
def test_the_licence_is_asked_for_on_a_terminal(serve, tmp_path, answer, status):
    """Yes goes on; no, no answer, the end of input and Ctrl-C end it before anything is fetched."""
    import pty

    data = archive("mvtec")
    server = serve(data)
    file = preset(tmp_path, "mvtec", "mvtec", server.url, data)
    ours, theirs = pty.openpty()
    process = start(file, stdin=theirs, options=())
    text = ""
    if answer is None:
        while "[y/N]" not in text:
            text += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
    else:
        os.write(ours, answer.encode())
    text += process.communicate(timeout=60)[1]
    os.close(ours)
    os.close(theirs)
    assert process.returncode == status, text
    assert "Do you accept it? [y/N]" in text
    assert len(server.asked) == (1 if status == 0 else 0)


@pytest.mark.parametrize(
    ("layout", "odd", "message"),
    [("nothing", None, "is not MVTec AD"), ("mvtec", "link", "was refused"), ("mvtec", "cut", "damaged")],
)
def test_an_archive_that_is_not_the_data_set_leaves_no_folder(layout, odd, message, serve, tmp_path, cache):
    """Another archive, a hostile one or a damaged one, though with the right checksum, gives one error."""
    info = tarfile.TarInfo("bottle/odd")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    data = archive(layout, *([info] if odd == "link" else []))
    data = data[: len(data) // 2] if odd == "cut" else data
    file = preset(tmp_path, "mvtec", "mvtec", serve(data).url, data)
    with pytest.raises(DataError, match=message):
        download(load_download(str(file)))
    assert [path.name for path in cache.iterdir()] == ["mvtec.archive"]


def test_a_mirror_and_another_folder(serve, lvlm_ad_command, tmp_path):
    """--url changes the address and not the checksum, --to the folder, and --keep-archive keeps the archive."""
    data = archive("visa")
    server, wrong = serve(data), serve(b"something else")
    file = preset(tmp_path, "house", "visa", "http://127.0.0.1:9/x", data)
    common = ("data", "download", file, "--accept-license", "--to", tmp_path / "to" / "visa")
    done = lvlm_ad_command(*common, "--url", wrong.url)
    assert done.returncode == 2
    assert "is not the expected one" in done.stderr
    done = lvlm_ad_command(*common, "--url", server.url, "--keep-archive")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "to" / "visa.archive").read_bytes() == data
    assert f"--dataset visa --data {tmp_path / 'to' / 'visa'}" in done.stderr
    assert len(load_dataset("visa", tmp_path / "to" / "visa")) == 2


def start(file, stdin=None, options=("--accept-license",)):
    """Start a download in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "lvlm_ad", "data", "download", str(file), *options],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run that was itself started in the background may pass on an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no other thread locks here
    )


def wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 30 seconds")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_is_resumed_by_the_next(serve, tmp_path, cache, how):
    """After a download is killed, the next one resumes."""
    # Noise does not compress: an archive of several megabytes.
    data = archive("visa") + np.random.default_rng(0).bytes(6 * MB)
    server = serve(data)
    server.gate = threading.Event()
    file = preset(tmp_path, "visa", "visa", server.url, data)
    partial = cache / "visa.archive.partial"
    first = start(file)
    wait_for(lambda: partial.is_file() and partial.stat().st_size >= 2 * MB)
    first.send_signal(how)
    text = first.communicate(timeout=60)[1]
    if how == signal.SIGINT:
        assert first.returncode == 130
        assert "the same command continues from here" in text
    kept = partial.stat().st_size
    server.gate.set()
    second = start(file)
    text = second.communicate(timeout=60)[1]
    assert second.returncode == 0, text
    assert server.asked == ["", f"bytes={kept}-"]
    assert kept >= 2 * MB


def test_the_download_presets_are_complete():
    """Each has an address, a licence and a layout that can be read; an unknown name is answered with the nearest."""
    assert {"mvtec", "visa"} < set(preset_names("downloads")) < set(READERS)
    for name in preset_names("downloads"):
        loaded = load_download(name)
        assert loaded.layout == name
        assert READERS[name].licence in {"", loaded.licence}
        assert loaded.url.startswith("https://")
        assert loaded.licence.startswith("CC BY")
    with pytest.raises(ConfigError, match="There is no download preset 'mvtek'"):
        load_download("mvtek")


def test_an_unknown_layout_is_refused_before_anything_is_fetched(serve, tmp_path):
    """A file that names a layout which cannot be read costs no transfer."""
    data = archive("mvtec")
    server = serve(data)
    with pytest.raises(ConfigError, match=r"There is no layout 'mvtek'\. Did you mean 'mvtec'\?"):
        download(load_download(str(preset(tmp_path, "house", "mvtek", server.url, data))), tmp_path / "to")
    assert server.asked == []


def test_an_incomplete_preset_is_refused(tmp_path):
    """The message names the setting that the file lacks."""
    (tmp_path / "lacking.toml").write_text('page = "p"\n')
    with pytest.raises(ConfigError, match=r"lacks the setting 'layout'\.$"):
        load_download(str(tmp_path / "lacking.toml"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("real-iad", "Tencent/AnomalyDetection_Real-IAD, licence CC BY-NC-SA 4.0"),
        ("dagm", "heidelberg"),
        ("demo", "built-in"),
    ],
)
def test_a_data_set_without_a_download_is_named_with_its_page(lvlm_ad_command, name, words):
    """The error says where it is and its licence; it suggests no other data set."""
    done = lvlm_ad_command("data", "download", name)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Did you mean" not in done.stderr
