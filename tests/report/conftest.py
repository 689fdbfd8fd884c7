"""What the tests of pages share: a run on real files, and a browser."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from importlib.util import find_spec

import pytest


def contrast_run(data, out):
    """Measure the contrast baseline through the regions; the run as it is on disk."""
    from lvlm_ad import bench
    from lvlm_ad.runs import read_run

    settings = {"image_size": 96, "n_segments": 12, "min_area": 0}
    runs = bench(models=["contrast"], frame=False, data=data, settings=settings, out=out, resamples=50)
    (folder,) = (run.dir for run in runs if run.manifest.model.row == "regions")
    return read_run(folder)


@pytest.fixture
def small_run(small_data, tmp_path):
    """A run on disk, the test's own, read with its predictions."""
    return contrast_run(small_data, tmp_path / "runs")


@pytest.fixture(scope="session")
def kept_run(kept_data, tmp_path_factory):
    """The same for tests that leave it as it is."""
    return contrast_run(kept_data, tmp_path_factory.mktemp("kept_runs"))


@dataclass
class Opened:
    """A page in a browser, and what it did: requests that left it, errors, messages on the console."""

    page: object
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium, of the system; the package that drives it brings none."""
    if find_spec("playwright") is None:
        pytest.skip("playwright is not installed here")
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
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
        page.on("request", lambda one: opened.asked.append(one.url))
        page.on("console", lambda one: opened.complaints.append(one.text))
        page.on("pageerror", lambda one: opened.complaints.append(str(one)))
        page.on("dialog", lambda one: (opened.complaints.append(f"dialog {one.message}"), one.dismiss()))
        page.goto(path.resolve().as_uri())
        page.wait_for_load_state("networkidle")
        return opened

    yield show
    for context in contexts:
        context.close()
