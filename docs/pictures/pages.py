"""Screenshots of pages: the commands of docs/gallery.md are run in a new folder, and Chromium opens what they write."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from pictures.saving import save

DOCS = Path(__file__).parents[1]
ALARM, INCOMPLETE = 1, 3
"""Exit statuses besides 0 that a command may end with: an inspection found something, or a model refused to answer."""


@dataclass(frozen=True)
class Shot:
    """A picture of a page: its name, the page's path (a pattern), its height, and what it begins with."""

    name: str
    page: str
    height: int
    begins: str = ""


FEW = {
    "--images 8": "--images 4",
    "--images 24": "--images 4",
    "--severity 4 ": "",
    "--data shop": "--data shop --category washer --category pills",
}
"""What the commands take, and what they take if all is only to be tried."""

SHOTS = (
    Shot("leaderboard", "leaderboard.html", 1020),
    Shot("report", "runs/contrast-demo-*/report/index.html", 860),
    Shot("decisions", "runs/contrast-demo-*/report/index.html", 860, "#decisions"),
    Shot("plots", "runs/contrast-demo-*/report/index.html", 860, "#plots"),
    Shot("gallery", "runs/contrast-demo-*/report/index.html", 760, "#images"),
    Shot("comparison", "comparison/index.html", 1330, "h2:has-text('minus')"),
    Shot("by-model", "by-model.html", 650),
    Shot("by-group", "by-size.html", 580),
    Shot("published", "published.html", 980),
    Shot("inspection", "inspections/line-*/index.html", 960),
    Shot("stability", "runs/studies/stability-*/index.html", 1385),
    Shot("grounding", "runs/studies/grounding-*/index.html", 1375),
    Shot("efficiency", "runs/studies/efficiency-*/index.html", 1165),
    Shot("site", "public/index.html", 1265),
    Shot("site-dataset", "public/datasets/demo.html", 1110),
    Shot("site-model", "public/models/scripted-a.html", 1390),
)


def pages(images: Path, *, few: bool = False) -> None:
    """Run the commands of the gallery, on ``few`` images or on all, and take a picture of each page."""
    with TemporaryDirectory() as temporary:
        printed = run_commands(Path(temporary), few=few)
        # Scrolling is smooth and pictures load when they come into view.
        take(Path(temporary), printed, images, wait=0 if few else 1500)


def run_commands(folder: Path, *, few: bool = False) -> str:
    """Run the commands of docs/gallery.md, on ``few`` images or on all; return what the recommendation printed.

    Raises:
        CalledProcessError: a command failed.
    """
    (folder / "docs").symlink_to(DOCS)
    printed = ""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
    }
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    if few:
        for many, less in FEW.items():
            text = text.replace(many, less)
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for command in block.replace("\\\n", " ").splitlines():
            done = subprocess.run(  # noqa: S603 - the commands are this repository's
                [shutil.which("bash") or "bash", "-c", command],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            if done.returncode not in {0, INCOMPLETE, ALARM if "inspect" in command else 0}:
                raise subprocess.CalledProcessError(done.returncode, command)
            if "recommend" in command:
                printed = f"$ {re.sub(' +', ' ', command)}\n\n{done.stdout}"
    return printed


def take(folder: Path, printed: str, images: Path, wait: float) -> None:
    """Take the pictures of the pages in a folder, each so many milliseconds after the page is shown."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(color_scheme="light")
        for shot in SHOTS:
            (path,) = folder.glob(shot.page)
            page.set_viewport_size({"width": 1280, "height": shot.height})
            page.goto(path.as_uri())
            if shot.name == "gallery":
                page.select_option("#f-order", "high")
            if shot.begins:
                page.locator(shot.begins).evaluate("heading => heading.scrollIntoView()")
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(wait)
            _shoot(page, images / f"{shot.name}.png")
        style = (
            "margin: 0; padding: 24px; font: 17px/1.5 monospace; color: #eee; background: #222; white-space: pre-wrap"
        )
        page.set_content(f'<body style="margin: 0"><pre style="{style}">{escape(printed.strip())}</pre>')
        height = page.locator("pre").bounding_box()["height"]
        page.set_viewport_size({"width": 1280, "height": round(height)})
        _shoot(page, images / "recommend.png")
        browser.close()


def _shoot(page: Page, path: Path) -> None:
    save(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), path)
