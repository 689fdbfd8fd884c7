"""Finished runs in experiment trackers."""

import json
from pathlib import Path

import pytest

import lvlm_ad
from lvlm_ad.errors import ConfigError
from lvlm_ad.tracking import open_trackers, track, tracked_run

TRACKERS = """
import os

class Diary:
    def log(self, run):
        print("chatter")
        with open("diary.txt", "a") as file:
            print(run.name, run.key, len(run.parameters), run.metrics["mean/image_auroc"], run.folder, file=file)
        return "diary.txt, kept by https://me:word@example.org"

class Failing(Diary):
    def log(self, run):
        super().log(run)
        raise RuntimeError(f"key {os.environ['DIARY_API_KEY']} is not valid")

class Away:
    def __init__(self):
        raise OSError("the server is away")

class Absent:
    def __init__(self):
        import no_such_package
"""


@pytest.fixture
def _offered(tmp_path, monkeypatch):
    """Trackers that an installed package offers."""
    site = tmp_path / "site"
    info = site / "diaries-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: diaries\nVersion: 1.0\n")
    names = ("diary", "failing", "away", "absent")
    lines = [f"{name} = diaries:{name.capitalize()}" for name in names]
    (info / "entry_points.txt").write_text("\n".join(["[lvlm_ad.trackers]", *lines, ""]))
    (site / "diaries.py").write_text(TRACKERS)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("DIARY_API_KEY", "sk-very-secret")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def runs(kept_data, tmp_path_factory):
    """Two runs with a report beside the first."""
    out = tmp_path_factory.mktemp("tracked")
    runs = lvlm_ad.bench(
        models=["chance", "oracle"],
        data=kept_data,
        out=out,
        limit=4,
        resamples=50,
        reference_rows=False,
        settings={"division": "grid", "image_size": 64},
    )
    (runs[0].dir / "report").mkdir()
    (runs[0].dir / "report" / "index.html").write_text("<p>images</p>")
    return runs


def test_a_tracker_gets_conditions_numbers_and_files(runs):
    """Conditions as text, every number and both ends of every interval, no answers, and images only on request."""
    run = runs[0]
    tracked = tracked_run(run)
    assert tracked.parameters["model/name"] == "chance"
    assert tracked.parameters["protocol/image_size"] == "64"
    assert tracked.parameters["dataset/fingerprint"] == run.manifest.dataset.fingerprint
    assert not {"started", "seconds"} & tracked.parameters.keys()
    assert tracked.tags["started"] == run.manifest.started
    mean = run.metrics["mean"]
    assert tracked.metrics["mean/image_auroc"] == mean["image_auroc"]
    assert tracked.metrics["answers/total"] == len(run.predictions)
    for metric, (low, high) in mean.get("interval", {}).items():
        assert tracked.metrics[f"mean/interval/{metric}/low"] == low
        assert tracked.metrics[f"mean/interval/{metric}/high"] == high
    assert [file.name for file in tracked.files] == ["run.json", "metrics.json"]
    assert all(file.is_file() for file in tracked.files)
    assert tracked.folder is None
    assert tracked_run(run, images=True).folder == run.dir / "report"
    assert tracked_run(runs[1], images=True).folder is None


def test_names_of_categories_fit_every_tracker_and_no_secret_is_sent(runs, monkeypatch):
    """MLflow takes no brackets and no two slashes in a row; a category may have the name of a secret."""
    monkeypatch.setenv("HOUSE_TOKEN", "the-token-itself")
    run = runs[0]
    categories = {"a//b <ü>": {"image_auroc": 0.5}, "key": {"image_auroc": 0.25}}
    identity = {"api_key": "sk-1", "base_url": "https://me:word@example.org/v1", "note": "the-token-itself"}
    model = run.manifest.model.model_copy(update={"identity": identity})
    changed = type(run)(
        run.dir, run.manifest.model_copy(update={"model": model}), {**run.metrics, "categories": categories}, []
    )
    tracked = tracked_run(changed)
    assert tracked.metrics["categories/a_2f__2f_b _3c__fc__3e_/image_auroc"] == 0.5
    assert tracked.metrics["categories/key/image_auroc"] == 0.25
    assert tracked.parameters["model/identity/base_url"] == "https://example.org/v1"
    assert tracked.parameters["model/identity/note"] == "***"
    assert "sk-1" not in str(tracked)


@pytest.mark.usefixtures("_offered")
def test_each_run_is_logged_and_its_place_is_noted(runs):
    """Without a password in the note."""
    notes = []
    track(runs, open_trackers(["diary", "diary"]), notes.append)
    lines = Path("diary.txt").read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [[run.dir.name, run.manifest.config_hash] for run in runs]
    assert notes == [f"diary: {run.dir.name}: diary.txt, kept by https://example.org" for run in runs]


@pytest.mark.usefixtures("_offered")
def test_a_tracker_that_fails_is_left_alone_and_others_go_on(runs):
    """One note, which names no key; nothing is raised."""
    notes = []
    track(runs, open_trackers(["failing", "diary"]), notes.append)
    assert len(Path("diary.txt").read_text().splitlines()) == 1 + len(runs)
    assert sum("failing did not log" in note for note in notes) == 1
    assert "key *** is not valid" in notes[0]
    assert "sk-very-secret" not in "".join(notes)


@pytest.mark.usefixtures("_offered")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", r"needs the package no_such_package; install it with"),
        ("away", "--track away cannot be used: the server is away"),
        ("diarry", "There is no tracker 'diarry'. Did you mean 'diary'"),
    ],
)
def test_a_tracker_that_cannot_be_used_is_refused_before_anything_is_asked(lvlm_ad_command, tmp_path, name, words):
    """One line and exit status 2; no run is begun."""
    done = lvlm_ad_command("bench", "--track", name)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("_offered")
def test_what_a_tracker_prints_is_not_mixed_with_results(lvlm_ad_command, kept_data):
    """Stdout holds the JSON object alone; a failing tracker does not change the exit status."""
    conditions = ("--set", "division=grid", "--set", "image_size=64", "--no-reference-rows")
    given = ("bench", "-m", "chance", "--data", kept_data, *conditions, "--track", "diary", "--track", "failing")
    done = lvlm_ad_command(*given, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"][0]["model"] == "chance"
    assert "chatter" in done.stderr
    assert "failing did not log" in done.stderr


def test_images_are_sent_to_a_tracker_only(lvlm_ad_command):
    """--track-images alone would do nothing."""
    done = lvlm_ad_command("bench", "--track-images")
    assert (done.returncode, "--track-images needs --track" in done.stderr) == (2, True)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_a_run_once(runs, tmp_path, monkeypatch):
    """In a database: parameters, metrics, files; logged again, the same run is updated."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/m.db")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "bolts")
    notes = []
    track(runs, open_trackers(["mlflow"]), notes.append)
    track(runs, open_trackers(["mlflow"]), notes.append, images=True)
    client = mlflow.MlflowClient()
    logged = client.search_runs([client.get_experiment_by_name("bolts").experiment_id])
    assert len(logged) == len(runs), notes
    (first,) = [one for one in logged if one.data.params["model/name"] == "chance"]
    tracked = tracked_run(runs[0])
    assert first.data.params == tracked.parameters
    assert first.data.metrics == pytest.approx(tracked.metrics)
    files = {file.path for file in client.list_artifacts(first.info.run_id)}
    assert files == {"run.json", "metrics.json", "report"}
    assert first.info.status == "FINISHED"
    assert all(first.info.run_id in note for note in notes if runs[0].dir.name in note)
    mlflow.set_tracking_uri(before)


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_a_run_offline(runs, tmp_path, monkeypatch):
    """In a folder that 'wandb sync' sends later; no key is needed, and none is stored."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-indeed")
    notes = []
    track(runs[:1], open_trackers(["wandb"]), notes.append)
    wandb.teardown()  # as at the end of a process: all is written
    assert "wandb sync" in notes[0]
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    assert b"mean/image_auroc" in content
    assert b"model/name" in content
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"sk-very-secret-indeed" not in everything


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_wandb_without_a_key_is_refused(tmp_path, monkeypatch):
    """It would ask for the key in the middle of a run."""
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    with pytest.raises(ConfigError, match="wandb login"):
        open_trackers(["wandb"])
