"""Downloads from a real server on the loopback interface that breaks off, lies, changes its mind and is hostile."""

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
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets import fetch as fetching
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.fetch import fetch, shown_address
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.presets import load_download, preset_names

MB = 1 << 20


class Server:
    """Gives one file, by ranges.

    Attributes:
        content: the file.
        tag: its ETag; empty: none.
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
        self.content, self.tag, self.break_after, self.statuses = content, '"one"', [], []
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
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/data.tar"

    def give(self, handler):
        asked = handler.headers.get("Range", "")
        self.asked.append(asked)
        if self.statuses:
            self.empty(handler, self.statuses.pop(0), {"Location": self.location} if self.location else {})
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if handler.headers.get("If-Range", self.tag) != self.tag:
            start = 0
        size = len(self.content)
        if start >= size:
            self.empty(handler, 416, {"Content-Range": f"bytes */{size}"})
            return
        handler.send_response(206 if start else 200)
        headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        headers |= {"ETag": self.tag} if self.tag else {}
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
    monkeypatch.setattr(fetching, "_WAIT", 0.0)


@pytest.fixture(scope="module")
def content():
    return np.random.default_rng(0).bytes(5 * MB + 17)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_a_file_arrives(serve, content, tmp_path):
    """Whole, with its checksum, and nothing beside it; what is done is told in bytes."""
    server, heard = serve(content), []
    fetch(server.url, tmp_path / "a", digest(content), lambda *told: heard.append(told))
    assert (tmp_path / "a").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert heard[-1] == ("checking", len(content), len(content))
    assert ("fetching", len(content), len(content)) in heard
    fetch(server.url, tmp_path / "a", digest(content))
    assert server.asked == [""], "what is there is not fetched again"


@pytest.mark.parametrize("tag", ['"one"', ""])
def test_a_broken_transfer_goes_on(serve, content, tmp_path, tag):
    """Where it broke off, as often as it does; no byte is sent twice, with a tag of the server's or without."""
    server, notes = serve(content), []
    server.tag, server.break_after = tag, [MB, MB, MB, MB]
    fetch(server.url, tmp_path / "a", digest(content), note=notes.append)
    assert (tmp_path / "a").read_bytes() == content
    assert server.asked == ["", *(f"bytes={number * MB}-" for number in (1, 2, 3, 4))]
    assert server.sent == len(content)
    assert len(notes) == 4
    assert f"broke off at {MB:,} of {len(content):,} bytes" in notes[0]


def test_the_next_call_goes_on(serve, content, tmp_path):
    """What came before the tries ran out is kept."""
    server = serve(content)
    server.break_after = [2 * MB, 0, 0, 0, 0]
    with pytest.raises(DataError, match=r"cannot be fetched: .*broke off.*the same command goes on"):
        fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a.partial").stat().st_size == 2 * MB
    fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a").read_bytes() == content
    assert server.sent == len(content)


def test_a_file_that_changed_is_fetched_anew(serve, content, tmp_path):
    """Its tag is another, so what came before is not mixed with it."""
    server = serve(bytes(len(content)))
    server.break_after = [2 * MB, 0, 0, 0, 0]
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch(server.url, tmp_path / "a", digest(content))
    server.content, server.tag = content, '"two"'
    fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a").read_bytes() == content


def test_a_shorter_file_is_fetched_anew(serve, content, tmp_path):
    """More is here than the server has."""
    server = serve(content[:MB])
    (tmp_path / "a.partial").write_bytes(content)
    fetch(server.url, tmp_path / "a", digest(content[:MB]))
    assert (tmp_path / "a").read_bytes() == content[:MB]


def test_a_whole_part_is_taken(serve, content, tmp_path):
    """Killed after the last byte: nothing is fetched again."""
    server = serve(content)
    (tmp_path / "a.partial").write_bytes(content)
    fetch(server.url, tmp_path / "a", digest(content))
    assert server.sent == 0


def test_a_server_without_ranges_sends_all(serve, content, tmp_path):
    """A part that is here is replaced, not doubled."""
    server = serve(content)
    server.ranges = False
    (tmp_path / "a.partial").write_bytes(content[:MB])
    fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a").read_bytes() == content


def test_another_file_is_removed(serve, content, tmp_path):
    """Both checksums are told; the next try begins anew."""
    server = serve(b"another file")
    with pytest.raises(DataError, match=f"begins with {digest(b'another file')[:16]}, not {digest(content)[:16]}"):
        fetch(server.url, tmp_path / "a", digest(content))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("statuses", [[500], [503, 429], [408]])
def test_passing_errors_are_tried_again(serve, content, tmp_path, statuses):
    """A failure of the server, a rate limit and a time-out pass."""
    server = serve(content)
    server.statuses = list(statuses)
    fetch(server.url, tmp_path / "a", digest(content))
    assert len(server.asked) == len(statuses) + 1


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_final_errors_are_told(serve, content, tmp_path, status):
    """With the address and what to do; not tried again."""
    server = serve(content)
    server.statuses = [status]
    with pytest.raises(DataError, match=f"data.tar answers {status} .*--url"):
        fetch(server.url, tmp_path / "a", digest(content))
    assert len(server.asked) == 1


def test_redirects_lead_to_the_web_alone(serve, content, tmp_path):
    """To another server, but not to a file of this machine's."""
    server, other = serve(content), serve(content)
    server.statuses, server.location = [302], other.url
    fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a").read_bytes() == content
    secret = tmp_path / "secret"
    secret.write_text("x")
    for location in (secret.as_uri(), "ftp://127.0.0.1/a"):
        server.statuses, server.location = [302], location
        with pytest.raises(DataError, match=r"which is not followed|answers 302"):
            fetch(server.url, tmp_path / "b", digest(b"x"))
    assert not (tmp_path / "b.partial").exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "data.tar", "", "https://"])
def test_other_addresses_are_refused(tmp_path, url):
    """Only http and https are asked."""
    with pytest.raises(ConfigError, match="is no address"):
        fetch(url, tmp_path / "a", "0" * 64)


def test_no_password_is_shown():
    """Neither a name and password in an address nor its query."""
    assert shown_address("https://me:secret@a.example:8/b.tar?token=secret") == "https://a.example:8/b.tar"


def test_what_does_not_fit_is_not_begun(serve, content, tmp_path):
    """A server that announces more than the disk has, or any data set."""
    server = serve(content)
    for size in (10**15, 10**18):
        server.headers = {"Content-Length": str(size)}
        with pytest.raises(DataError, match=r"no room for|larger than"):
            fetch(server.url, tmp_path / "a", digest(content))


@pytest.mark.parametrize("length", ["abc", "-5", "", "1e3", "²", "9" * 5000])
def test_a_length_that_is_none_is_not_known(serve, content, tmp_path, length):
    """The checksum tells whether all came."""
    server = serve(content)
    server.headers = {"Content-Length": length}
    fetch(server.url, tmp_path / "a", digest(content))
    assert (tmp_path / "a").read_bytes() == content


def test_silence_is_a_broken_transfer(serve, content, tmp_path, monkeypatch):
    """A server that says nothing for long is asked again, from where it fell silent."""
    monkeypatch.setattr(fetching, "_SILENCE", 0.5)
    server, notes = serve(content), []
    server.slow = 2.0

    def note(text):
        notes.append(text)
        server.slow = 0.0

    fetch(server.url, tmp_path / "a", digest(content), note=note)
    assert (tmp_path / "a").read_bytes() == content
    assert "timed out" in notes[0]
    assert len(server.asked) == 2


def test_nobody_answers(tmp_path):
    """One line, after some tries."""
    with pytest.raises(DataError, match=r"cannot be fetched: .*refused"):
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
def cache(tmp_path):
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.mark.parametrize("layout", ["mvtec", "visa"])
def test_a_downloaded_data_set_is_found_without_data(layout, serve, lvlm_ad_command, tmp_path, cache):
    """Licence, transfer, checksum, unpacking; a bench then needs no --data, and a second download no network."""
    data = archive(layout)
    server = serve(data)
    server.break_after = [len(data) // 2]
    file = preset(tmp_path, layout, layout, server.url, data)
    done = lvlm_ad_command("data", "info", "--dataset", layout, env=cache)
    assert done.returncode == 2
    assert f"lvlm-ad data download {layout}" in done.stderr
    done = lvlm_ad_command("data", "download", file, "--accept-license", env=cache)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "cache" / "lvlm-ad" / layout
    assert "Licence: Free to all (https://licence.example)" in done.stderr
    assert f"{layout}: 2 test images, 1 categories in {folder}" in done.stderr
    assert f"Next: lvlm-ad bench --dataset {layout}\n" in done.stderr
    assert {path.name for path in folder.parent.iterdir()} == {layout}
    done = lvlm_ad_command("bench", "--dataset", layout, env=cache)
    assert done.returncode == 0, done.stderr
    asked = len(server.asked)
    assert lvlm_ad_command("data", "download", file, env=cache).returncode == 0
    assert len(server.asked) == asked


def test_without_a_licence_nothing_is_asked(serve, lvlm_ad_command, tmp_path, cache):
    """Where nobody can answer, the option must say so; not one byte is fetched before."""
    data = archive("mvtec")
    server = serve(data)
    file = preset(tmp_path, "mvtec", "mvtec", server.url, data)
    done = lvlm_ad_command("data", "download", file, env=cache, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "--accept-license" in done.stderr.splitlines()[-1]
    assert server.asked == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no pseudo-terminals here")
@pytest.mark.parametrize(("said", "status"), [("n\n", 2), ("\n", 2), ("y\n", 0), ("\x04", 2), (None, 130)])
def test_the_licence_is_asked_for_on_a_terminal(serve, tmp_path, cache, said, status):
    """Yes goes on; no, no answer, the end of input and Ctrl-C end it before anything is fetched."""
    import pty

    data = archive("mvtec")
    server = serve(data)
    file = preset(tmp_path, "mvtec", "mvtec", server.url, data)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lvlm_ad", "data", "download", str(file)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **cache},
        text=True,
        # As in ``start``.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    first = ""
    if said is None:
        while "[y/N]" not in first:
            first += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
    else:
        os.write(ours, said.encode())
    _, shown = process.communicate(timeout=60)
    shown = first + shown
    os.close(ours)
    os.close(theirs)
    assert process.returncode == status, shown
    assert "Do you accept it? [y/N]" in shown
    assert len(server.asked) == (1 if status == 0 else 0)


@pytest.mark.parametrize(
    ("layout", "odd", "says"),
    [
        ("nothing", None, "is not MVTec AD"),
        ("mvtec", "link", "which is a link"),
        ("mvtec", "out", "leads out of the folder"),
        ("mvtec", "cut", "damaged"),
    ],
)
def test_what_is_no_data_set_takes_no_place(layout, odd, says, serve, lvlm_ad_command, tmp_path, cache):
    """Another archive, or a hostile one, though its checksum is as announced: one error, and nothing to be found."""
    info = tarfile.TarInfo("../evil" if odd == "out" else "bottle/odd")
    if odd == "link":
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    data = archive(layout, *([info] if odd in {"link", "out"} else []))
    data = data[: len(data) // 2] if odd == "cut" else data
    server = serve(data)
    file = preset(tmp_path, "mvtec", "mvtec", server.url, data)
    done = lvlm_ad_command("data", "download", file, "--accept-license", env=cache)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1], done.stderr
    # What can be unpacked is kept: only the layout may be wrong.
    left = {"mvtec.archive"} if layout == "nothing" else set()
    assert {path.name for path in (tmp_path / "cache" / "lvlm-ad").iterdir()} == left
    assert not (tmp_path / "cache" / "evil").exists()


def test_a_mirror_in_another_place(serve, lvlm_ad_command, tmp_path, cache):
    """--url changes the address and not the checksum; --to the folder; --keep-archive keeps the file."""
    data = archive("visa")
    server, wrong = serve(data), serve(b"something else")
    file = preset(tmp_path, "house", "visa", "http://127.0.0.1:9/x", data)
    common = ("data", "download", file, "--accept-license", "--to", tmp_path / "to" / "visa")
    done = lvlm_ad_command(*common, "--url", wrong.url, env=cache)
    assert done.returncode == 2
    assert "gave another file" in done.stderr
    done = lvlm_ad_command(*common, "--url", server.url, "--keep-archive", env=cache)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "to" / "visa.archive").read_bytes() == data
    assert f"--dataset visa --data {tmp_path / 'to' / 'visa'}" in done.stderr
    assert len(load_dataset("visa", tmp_path / "to" / "visa")) == 2


def start(file, cache):
    return subprocess.Popen(
        [sys.executable, "-m", "lvlm_ad", "data", "download", str(file), "--accept-license"],
        stderr=subprocess.PIPE,
        env={**os.environ, **cache},
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


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_started_again_it_goes_on(serve, tmp_path, cache, how):
    """Most of the file comes once; the interrupted command says that nothing is lost."""
    # Noise does not compress: an archive of several megabytes.
    extra = tarfile.TarInfo("noise.bin")
    extra.size = 0
    data = archive("visa", extra) + np.random.default_rng(0).bytes(6 * MB)
    server = serve(data)
    server.gate = threading.Event()
    file = preset(tmp_path, "visa", "visa", server.url, data)
    partial = Path(cache["XDG_CACHE_HOME"]) / "lvlm-ad" / "visa.archive.partial"
    first = start(file, cache)
    wait_for(lambda: partial.is_file() and partial.stat().st_size >= 2 * MB)
    second = start(file, cache)
    _, shown = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "Another process is downloading" in shown
    first.send_signal(how)
    _, shown = first.communicate(timeout=60)
    if how == signal.SIGINT:
        assert first.returncode == 130
        assert "the same command goes on" in shown
    kept = partial.stat().st_size
    server.gate.set()
    third = start(file, cache)
    _, shown = third.communicate(timeout=60)
    assert third.returncode == 0, shown
    assert server.asked == ["", f"bytes={kept}-"]
    assert kept >= 2 * MB


def test_the_presets_are_whole():
    """MVTec AD and VisA: an address, a checksum, a licence and where they are described."""
    assert preset_names("downloads") == ["mvtec", "visa"]
    for name in preset_names("downloads"):
        found = load_download(name)
        assert found.layout == name
        assert found.url.startswith("https://")
        assert found.licence.startswith("CC BY")
    with pytest.raises(ConfigError, match="There is no download preset 'mvtek'"):
        load_download("mvtek")


def test_an_own_file_that_cannot_be_is_refused(tmp_path):
    """What it lacks is said without a way out that there is none; its name names a folder."""
    (tmp_path / "lacking.toml").write_text('page = "p"\n')
    with pytest.raises(ConfigError, match=r"lacks the setting 'layout'\.$"):
        load_download(str(tmp_path / "lacking.toml"))
    (tmp_path / "...toml").write_text("")
    with pytest.raises(ConfigError, match=r"needs a name before \.toml"):
        load_download(str(tmp_path / "...toml"))
