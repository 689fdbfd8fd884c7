"""A Ray cluster of several nodes on this machine gives the numbers of the local engine, whatever dies meanwhile."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

# Ray's own code warns of what it does itself.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.heavy]

MODEL = '''
"""A model whose scores depend on the request; it notes each request and its process in a file."""
import hashlib, os, time
from pathlib import Path
from beside_mine import STEPS

class Mine:
    distributable = True

    def answer(self, request):
        digest = hashlib.sha256(request.text.encode() + b"".join(one.data for one in request.images)).hexdigest()
        with Path({log!r}).open("a") as file:
            file.write(f"{{digest}} {{os.getpid()}}\\n")
        {extra}
        number = int(digest, 16)
        return f"image anomaly score: {{number % 101 / STEPS}}, region 1: {{number // 101 % 101 / STEPS}}"
'''

BASELINE = '''
"""A baseline with references, whose image scores depend on the whole category."""
import numpy as np
from lvlm_ad.baseline import Baseline, DenseScores

class Near(Baseline):
    distributable = True

    def score(self, view):
        view.image[0, 0] = 0  # A copy: the contract would forbid it otherwise.
        away = [np.abs(view.image.astype(float) - one).mean(axis=2) for one in view.references]
        away = np.min(away, axis=0) / 255
        assert len(view.original_references) == len(view.references) == 2
        return DenseScores(float(away.max()), away, parts=(float(away.mean()),))

    def finalize_category(self, parts):
        most = max(part for part, in parts)
        return [part / most for part, in parts]
'''


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A head without processors and two nodes with one each, started in another folder than the commands."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    there = Path.cwd()
    # A deeper folder, so that a relative path leads elsewhere.
    deep = tmp_path_factory.mktemp("nodes") / "some" / "where"
    deep.mkdir(parents=True)
    os.chdir(deep)
    try:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 << 20})
        for _ in range(2):
            add_node(cluster)
    finally:
        os.chdir(there)
    yield cluster
    cluster.shutdown()


def add_node(cluster, **more):
    """Add a machine with one processor."""
    return cluster.add_node(num_cpus=1, object_store_memory=80 << 20, **more)


def write_model(folder, extra="pass"):
    """Write a model's file and return the file with its notes."""
    log = folder / "asked.txt"
    (folder / "beside_mine.py").write_text("STEPS = 100\n")
    (folder / "mine.py").write_text(MODEL.format(log=str(log), extra=extra))
    return log


def command(cluster, data, out, *more):
    """The command of a bench; the path of the data is relative, so workers cannot read it."""
    ray = ["--engine", "ray", "--ray-address", cluster.address] if cluster else []
    return [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--data", os.path.relpath(data, out.parent), "--dataset", "folder"),
        *("--out", str(out), "--no-report", "--resamples", "0", "--no-reference-rows", "--division", "grid"),
        *ray,
        *more,
    ]


def environment():
    """An environment in which no line is cut off, and torch works with one thread, as in the workers of this cluster.

    The number of threads decides in which order torch adds, and so the last bits of a score.
    """
    return {**os.environ, "COLUMNS": "400", "OMP_NUM_THREADS": "1"}


def bench(cluster, data, out, *more, status=0):
    """Run a bench in the folder above ``out`` and return its messages."""
    asked = command(cluster, data, out, *more)
    pipes = {"capture_output": True, "text": True}
    ran = subprocess.run(asked, check=False, cwd=out.parent, env=environment(), timeout=240, **pipes)
    assert ran.returncode == status, ran.stderr
    return ran.stderr


def results(out):
    """The files of all runs, without what depends on time and machine."""
    files = {}
    for path in sorted(one for one in out.glob("*/*") if one.is_file()):
        if path.name == "run.json":
            manifest = json.loads(path.read_text())
            for name in ("started", "seconds", "versions"):
                del manifest[name]
            files[f"{path.parent.name}/{path.name}"] = manifest
        elif path.suffix != ".npz":
            text = re.sub(r'"seconds": ?[-+0-9.e]+', '"seconds": 0', path.read_text())
            files[f"{path.parent.name}/{path.name}"] = text
        else:
            files[f"{path.parent.name}/{path.name}"] = path.read_bytes()
    return files


def wait_for(there, seconds=120):
    """Wait until a condition is true."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def lines(log):
    """The notes of a run's models: (request, process)."""
    return [tuple(line.split()) for line in log.read_text().splitlines()] if log.exists() else []


def begun(cluster, data, out, *more):
    """Start a bench without waiting for its end."""
    asked = command(cluster, data, out, *more)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A test run in the background may pass on an ignored SIGINT.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    return subprocess.Popen(asked, cwd=out.parent, env=environment(), text=True, **pipes, **heed)


def test_a_cluster_gives_the_same_files(cluster, kept_data, tmp_path):
    """A chat model and a baseline on a cluster write the files of the local engine; nothing else of the folder runs."""
    write_model(tmp_path)
    for name in ("json", "numpy", "pandas"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "near.py").write_text(BASELINE)
    models = ("--model", "mine.py", "--model", "near.py", "--set", "shots=2")
    bench(None, kept_data, tmp_path / "here", *models)
    messages = bench(cluster, kept_data, tmp_path / "there", *models, "--set", "num_cpus=0.5")
    assert "died" not in messages
    assert not (tmp_path / "ran").exists()
    assert results(tmp_path / "there") == results(tmp_path / "here")
    run = json.loads(next((tmp_path / "there").glob("mine-*/run.json")).read_text())
    assert run["versions"]["engine"].startswith("ray ")
    there = len({process for _, process in lines(tmp_path / "asked.txt")}) - 1
    assert there >= 1, "one process on this machine, the others on the cluster"
    # Three machines run three copies, but the first may answer everything before the last is ready.
    assert there <= int(run["versions"]["workers"]) <= 3


@pytest.mark.parametrize(("model", "status"), [("clip-ac", 0), ("transformers", 3)])
def test_real_models_give_the_same_on_a_cluster(cluster, kept_data, tmp_path, request, model, status):
    """A CLIP baseline with random weights, and a tiny LVLM whose answers are unreadable."""
    pytest.importorskip("torch")
    if model == "clip-ac":
        pytest.importorskip("open_clip")
        settings = ["model=ViT-S-32-alt", "pretrained=random", f"text_cache={tmp_path / 'texts'}"]
    else:
        settings = [f"model={request.getfixturevalue('tiny_lvlm')('llava')}", "max_tokens=8", "batch_size=1"]
    more = ["--model", model, "--category", "bolt", *(part for one in settings for part in ("--set", one))]
    bench(None, kept_data, tmp_path / "here", *more, status=status)
    bench(cluster, kept_data, tmp_path / "there", *more, "--set", "actors=1", status=status)
    assert results(tmp_path / "there") == results(tmp_path / "here")


def test_a_killed_worker_takes_no_answer_along(cluster, kept_data, tmp_path):
    """Questions of a killed worker are asked elsewhere, no other one twice; stdout holds the JSON alone."""
    log = write_model(tmp_path, "time.sleep(0.4)")
    running = begun(cluster, kept_data, tmp_path / "runs", "--model", "mine.py", "--concurrency", "1", "--json")
    wait_for(lambda: len(lines(log)) >= 4)
    os.kill(int(lines(log)[-1][1]), signal.SIGKILL)
    printed, messages = running.communicate(timeout=240)
    assert running.returncode == 0, messages
    assert len(json.loads(printed)["runs"]) == 1, "Ray reports dead workers on stdout"
    assert "died; its questions are asked elsewhere" in messages
    asked = [question for question, _ in lines(log)]
    assert len(set(asked)) == 12
    assert len(asked) <= 12 + 1, "only the question of the dead worker is asked again"


def test_a_lost_node_and_a_killed_driver(cluster, kept_data, tmp_path):
    """After a lost machine and a killed command, the same command asks only what has no answer yet."""
    log = write_model(tmp_path, "time.sleep(0.5)")
    extra = add_node(cluster)
    more = ("--model", "mine.py", "--concurrency", "1", "--set", "actors=3", "--log", "log.jsonl")
    running = begun(cluster, kept_data, tmp_path / "runs", *more)
    wait_for(lambda: len(lines(log)) >= 3)
    cluster.remove_node(extra, allow_graceful=False)
    wait_for(lambda: len(lines(log)) >= 7)
    running.kill()
    running.communicate(timeout=60)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    answered = {event["key"] for event in events if event["event"] == "answered"}
    before = len(lines(log))
    # A copy may still answer a question when its command dies.
    time.sleep(1.0)
    bench(cluster, kept_data, tmp_path / "runs", *more)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    every = [event["key"] for event in events if event["event"] == "answered"]
    assert len(every) == len(set(every)), "none is answered twice"
    # The log is written after the answer is stored: what was being stored when the command died is in the store alone.
    stored = {event["key"] for event in events if event["event"] == "stored"}
    assert len(stored | set(every)) == 12
    assert len(stored - answered) <= 3
    assert answered < set(every)
    assert before >= len(answered) >= 1


def test_a_question_that_kills_is_given_up(cluster, kept_data, tmp_path):
    """A question that kills three workers counts as failed; all others are answered."""
    log = write_model(tmp_path)
    bench(None, kept_data, tmp_path / "first", "--model", "mine.py")
    # The first question, before there is any answer: one failure must not end the run.
    poison = lines(log)[0][0]
    log = write_model(tmp_path, f"os._exit(1) if digest == {poison!r} else None")
    messages = bench(cluster, kept_data, tmp_path / "runs", "--model", "mine.py", "--concurrency", "1", status=3)
    metrics = json.loads(next((tmp_path / "runs").glob("mine-*/metrics.json")).read_text())
    assert metrics["answers"]["ok"] == 11
    assert metrics["answers"]["failed"] == 1
    assert "3 workers died" in messages
    assert [question for question, _ in lines(log)].count(poison) == 1 + 3


def test_an_error_on_a_worker_is_reported(cluster, kept_data, tmp_path):
    """An error of the model names its line; a model that cannot be built ends the command with one line."""
    write_model(tmp_path, "raise ValueError('too dark')")
    more = ("--model", "mine.py", "--set", "max_retries=0")
    messages = bench(cluster, kept_data, tmp_path / "runs", *more, status=2)
    assert "ValueError: too dark (mine.py, line" in messages
    (tmp_path / "broken.py").write_text(
        "class Broken:\n    distributable = True\n"
        "    def __init__(self):\n        raise OSError('no weights')\n    def answer(self, request): return ''\n"
    )
    messages = bench(cluster, kept_data, tmp_path / "runs", "--model", "broken.py", status=2)
    assert "no weights" in messages
    assert "Traceback" not in messages


@pytest.fixture
def other_node(cluster, tmp_path):
    """A machine where lvlm-ad claims to be version 9.9.9; it alone has a GPU."""
    record = tmp_path / "site" / "lvlm_ad-9.9.9.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: lvlm-ad\nVersion: 9.9.9\n")
    node = add_node(cluster, num_gpus=1, env_vars={"PYTHONPATH": str(record.parent)})
    yield node
    cluster.remove_node(node)


@pytest.mark.usefixtures("other_node")
def test_a_machine_of_another_version_ends_the_command(cluster, kept_data, tmp_path):
    """Nothing is asked, and one line names the machine and both versions."""
    log = write_model(tmp_path)
    message = bench(cluster, kept_data, tmp_path / "runs", "--model", "mine.py", "--set", "num_cpus=1", status=2)
    assert re.search(r"\S+ \(node [0-9a-f]{8}\) has lvlm-ad 9\.9\.9, not \S+; install the same", message)
    assert not lines(log)


def test_a_copy_that_differs_ends_the_command(cluster, kept_data, tmp_path):
    """A copy with another identity is an error that names its machine."""
    (tmp_path / "mine.py").write_text(
        "import os\nfrom lvlm_ad.backend import Backend\n\nclass Mine(Backend):\n    distributable = True\n"
        "    def identity(self):\n        return {**super().identity(), 'weights': os.getpid()}\n"
        "    def answer(self, request):\n        return ''\n"
    )
    messages = bench(cluster, kept_data, tmp_path / "runs", "--model", "mine.py", "--set", "actors=2", status=2)
    assert re.search(r"\S+ \(node [0-9a-f]{8}\) differs from the other machines: identity weights\.", messages)


def test_ctrl_c_while_it_divides(kept_data, tmp_path):
    """The command ends with its usual line, without messages of Ray."""
    pytest.importorskip("ray")
    write_model(tmp_path)
    out = tmp_path / "runs"
    slow = ("--division", "superpixel", "--set", "image_size=768", "--engine", "ray")
    process = begun(None, kept_data, out, "--model", "mine.py", *slow)
    wait_for(lambda: divided(out) >= 2)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert "StackTrace" not in messages


def divided(out):
    """How many divisions are stored."""
    if not (out / "cache.sqlite").is_file():
        return 0
    with closing(sqlite3.connect(out / "cache.sqlite", timeout=30)) as store:
        try:
            return store.execute("SELECT count(*) FROM divisions").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--ray-address", "127.0.0.1:1"], "--ray-address needs --engine ray"),
        (["--engine", "ray", "--ray-address", "nowhere"], "There is no Ray cluster at nowhere"),
        (["--engine", "ray", "--ray-address", "127.0.0.1:1"], "There is no Ray cluster at 127.0.0.1:1: "),
        (["--engine", "ray", "--set", "actors=0"], "--engine ray, setting actors"),
        (["--set", "actors=2"], "There is no setting 'actors'"),
    ],
)
def test_wrong_options_are_one_line(options, expected, kept_data, tmp_path):
    """The command says what is wrong before it does anything."""
    pytest.importorskip("ray")
    write_model(tmp_path)
    message = bench(None, kept_data, tmp_path / "runs", "--model", "mine.py", *options, status=2)
    assert expected in message
    assert "Traceback" not in message


def test_a_copy_that_fits_nowhere_is_an_error(cluster, kept_data, tmp_path):
    """A copy that fits on no machine is an error: Ray would wait without end."""
    write_model(tmp_path)
    messages = bench(cluster, kept_data, tmp_path / "runs", "--model", "mine.py", "--set", "num_gpus=1", status=2)
    assert "a copy takes 1 GPUs, and no machine of the cluster has more than 0; set num_gpus" in messages


def test_without_an_address_this_machine_is_the_cluster(kept_data, tmp_path):
    """One command starts Ray, uses it and ends it; no process is left."""
    pytest.importorskip("ray")
    log = write_model(tmp_path)
    bench(None, kept_data, tmp_path / "runs", "--model", "mine.py", "--engine", "ray", "--limit", "2")
    processes = {int(process) for _, process in lines(log)}
    assert processes
    for process in processes:
        wait_for(lambda process=process: not Path(f"/proc/{process}").exists())
