"""What tests of benches share: small images in a grid of 16 cells, runs that are made once, a model behind HTTP."""

import shutil

import pytest

import lvlm_ad
from lvlm_ad.runs import read_run

SECRET = "sk-never-to-be-seen-42"
"""The key that every bench here sends."""

GRID = {"image_size": 96, "division": "grid", "grid_rows": 4, "grid_columns": 4, "min_area": 0}
"""Settings of a bench that takes a moment: 96 x 96 pixels in 16 cells."""


RED = '''
import numpy as np
from lvlm_ad.baseline import Baseline, DenseScores

class Red(Baseline):
    """Scores each pixel by how much redder it is than green or blue."""

    def score(self, view):
        red, *others = np.moveaxis(view.image.astype(np.float32) / 255, 2, 0)
        map_ = np.clip(red - np.maximum(*others), 0, 1)
        return DenseScores(image=float(np.mean(map_**4) ** 0.25), map=map_)
'''
"""The defects of the small data set are red."""


@pytest.fixture(scope="session")
def red(tmp_path_factory):
    """The file of a baseline with a map of its own that takes no time."""
    path = tmp_path_factory.mktemp("baseline") / "red.py"
    path.write_text(RED)
    return str(path)


@pytest.fixture(scope="session")
def grid():
    """Settings of a bench that takes a moment."""
    return dict(GRID)


@pytest.fixture(scope="session")
def finished(kept_data, tmp_path_factory):
    """The reference rows of a small data set, as a bench returns them; tests leave their folder as it is."""
    return lvlm_ad.bench(data=kept_data, settings=GRID, out=tmp_path_factory.mktemp("finished"), resamples=50)


@pytest.fixture(scope="session")
def on_disk(finished):
    """The same runs by their row's name, as they are read from their folders."""
    return {run.manifest.row_name: read_run(run.dir) for run in finished}


@pytest.fixture
def out(finished, tmp_path):
    """An output folder in which the images are divided already: that starts processes, which takes a second."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(finished[0].dir.parent / "cache.sqlite", folder)
    return folder


@pytest.fixture
def bench(endpoint, kept_data, out, monkeypatch):
    """Bench the model behind the endpoint from Python; options are fields of ``RunConfig``. Returns the run."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)

    def run(settings=None, **options):
        settings = {**GRID, "base_url": endpoint.url, "max_retries": 0, **(settings or {})}
        options = {"models": "gpt-4v", "data": kept_data, "out": out, "resamples": 0, **options}
        (one,) = lvlm_ad.bench(reference_rows=False, settings=settings, **options)
        return one

    return run


@pytest.fixture
def bench_command(endpoint, kept_data, out, lvlm_ad_command):
    """Bench the same model by the command line; more arguments are added."""

    def run(*more):
        settings = {**GRID, "base_url": endpoint.url, "max_retries": 0}
        return lvlm_ad_command(
            *(
                "bench",
                "--model",
                "gpt-4v",
                "--no-frame",
                "--data",
                kept_data,
                "--json",
                "--resamples",
                0,
                "--out",
                out,
            ),
            *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
            *more,
            env={"OPENAI_API_KEY": SECRET},
        )

    return run
