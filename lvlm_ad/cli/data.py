"""``lvlm-ad data``: check, describe and download data sets, make the demo, and check what a server takes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lvlm_ad.cli import shell
from lvlm_ad.errors import ConfigError, listed
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from lvlm_ad.presets import DownloadPreset

data = typer.Typer(
    help="Download, check or describe a data set; draw the demo.", no_args_is_help=True, rich_markup_mode=None
)

_KINDS_SHOWN = 12
"""Kinds of defect that a line of a table names; a list may have a kind for each image."""

DatasetName = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="Name of the data set.  [default: recognized from --data; else folder]"),
]


@data.command()
@shell.guarded
def check(
    dataset: DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    mask_threshold: shell.MaskThreshold = None,
    mask_values: shell.MaskValues = None,
    json: shell.Json = False,
) -> None:
    """Read every image and mask, and report all problems at once. Exit status 2 if there is an error."""
    from lvlm_ad.datasets import check_dataset

    options: dict[str, Any] = {"mask_threshold": mask_threshold, "mask_values": mask_values, "split": split}
    report = check_dataset(dataset or _default_name(data), data, **options)
    images = len(report.dataset) if report.dataset is not None else 0
    notes = [] if report.dataset is None else list(report.dataset.all_notes)
    errors = [problem for problem in report.problems if problem.severity == "error"]
    if json:
        names = ("severity", "where", "message")
        problems = [{name: getattr(problem, name) for name in names} for problem in report.problems]
        shell.print_json({"images": images, "problems": problems, "notes": notes})
    else:
        for problem in report.problems:
            shell.show(f"{problem.severity}: {problem.message}")
        for note in notes:
            shell.say(f"note: {note}")
        shell.show(f"{images} test images; errors: {len(errors)}; warnings: {len(report.problems) - len(errors)}.")
    if errors:
        raise typer.Exit(shell.EXIT_USAGE)


@data.command()
@shell.guarded
def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Output folder: a new one, or one with the same demo.  [default: the folder of --dataset demo]"
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=2, help="Test images per category.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side of an image in pixels.")] = 256,
) -> None:
    """Draw the built-in demo: six categories with defects and masks, in the MVTec layout."""
    from lvlm_ad.datasets.demo import make_demo
    from lvlm_ad.datasets.load import default_root

    root = make_demo(out or default_root("demo"), images=images, seed=seed, size=size)
    where = f" --data {shlex.quote(str(root))}" if out else ""
    shell.say(f"The demo is in {root}; measure it with: lvlm-ad bench --dataset demo{where}")


@data.command()
@shell.guarded
def download(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="bmad, btad, ksdd, loco, mvtec, visa, or a file of your own, ending in .toml.",
        ),
    ],
    to: Annotated[Path | None, typer.Option(help="Target folder.  [default: NAME in the user's cache]")] = None,
    url: Annotated[str | None, typer.Option(help="Another address of the same archive.")] = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licence without being asked.")
    ] = False,
    keep_archive: Annotated[bool, typer.Option("--keep-archive", help="Keep the archive beside the folder.")] = False,
) -> None:
    """Download a data set to where --dataset finds it. After an interruption, run the same command to resume."""
    from lvlm_ad.datasets import load_dataset
    from lvlm_ad.datasets.download import download as run
    from lvlm_ad.datasets.download import folder_of
    from lvlm_ad.datasets.readers import READERS
    from lvlm_ad.presets import load_download, preset_names

    if name in READERS and name not in preset_names("downloads"):
        raise ConfigError(READERS[name].where(name))
    preset = load_download(name)
    preset = preset.model_copy(update={"url": url}) if url else preset
    if not folder_of(preset, to).exists():
        _licence(preset, accept_license)
    with _transfer() as progress:
        folder = run(preset, to, keep_archive=keep_archive, progress=progress, note=shell.say)
    loaded = load_dataset(preset.layout, folder)
    shell.say(f"{preset.name}: {len(loaded)} test images, {len(loaded.categories)} categories in {folder}")
    where = f" --data {folder}" if to or preset.name != preset.layout else ""
    shell.say(f"Next: lvlm-ad bench --dataset {preset.layout}{where}")


@data.command()
@shell.guarded
def check_upload(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that bench wrote for the server.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the data set, to compare names and sizes with.  [default: only the published names]"
        ),
    ] = None,
    pack: Annotated[bool, typer.Option("--pack", help="If there is no error, pack it into DIR.tar.gz.")] = False,
    json: shell.Json = False,
) -> None:
    """Check a folder for the server of MVTec AD 2: names, counts, float16, values, sizes.

    Exit status 2 if there is an error.
    """
    from lvlm_ad.datasets.ad2_upload_check import check_upload, pack_upload

    report = check_upload(folder, data)
    errors = [problem for problem in report.problems if problem.severity == "error"]
    archive = pack_upload(folder) if pack and not errors else None
    if json:
        problems = [{name: getattr(one, name) for name in ("severity", "where", "message")} for one in report.problems]
        packed = None if archive is None else str(archive)
        shell.print_json({"files": report.files, "problems": problems, "archive": packed})
    else:
        for problem in report.problems:
            shell.show(f"{problem.severity}: {problem.message}")
        counts = f"errors: {len(errors)}; warnings: {len(report.problems) - len(errors)}"
        shell.show(f"{report.files} files as expected by name; {counts}.")
        if archive is not None:
            shell.show(f"packed: {archive} ({archive.stat().st_size / 1e6:,.1f} MB)")
    if errors:
        raise typer.Exit(shell.EXIT_USAGE)


def _default_name(data: Path | None) -> str:
    """Return the name of the data set that a folder is, where the user gives none."""
    from lvlm_ad.datasets.readers import recognized_around

    return (recognized_around(data) if data else None) or "folder"


def _licence(preset: DownloadPreset, accepted: bool) -> None:
    """Show the licence and ask the user to accept it."""
    shell.say(f"{preset.description or preset.name} ({preset.page})")
    shell.say(f"Licence: {preset.licence} ({preset.licence_url}): {preset.terms}.")
    if not accepted and sys.stdin.isatty():
        print("Do you accept it? [y/N]: ", end="", file=sys.stderr, flush=True)  # noqa: T201 - this is the command line
        accepted = sys.stdin.readline().strip().lower() in {"y", "yes"}
    if not accepted:
        raise ConfigError("You have not accepted the licence; if you accept it, add --accept-license.")


@contextmanager
def _transfer() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar of bytes on a terminal, and elsewhere a line for each stage."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}"), BarColumn(), *columns, console=console, disable=not console.is_terminal
    ) as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=None)
                if not console.is_terminal:
                    shell.say(stage)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield progress


@data.command()
@shell.guarded
def info(
    dataset: DatasetName = None,
    data: shell.DataFolder = None,
    split: shell.Split = None,
    mask_threshold: shell.MaskThreshold = None,
    mask_values: shell.MaskValues = None,
    json: shell.Json = False,
) -> None:
    """Describe a data set: categories, counts, reference images, groups, fingerprint."""
    from lvlm_ad.datasets import load_dataset
    from lvlm_ad.datasets.counts import count_dataset

    options: dict[str, Any] = {"mask_threshold": mask_threshold, "mask_values": mask_values, "split": split}
    loaded = load_dataset(dataset or _default_name(data), data, **options)
    counted = count_dataset(loaded)
    if json:
        described = {"dataset": loaded.name, "split": loaded.split, "root": str(loaded.root)}
        of_files = {"fingerprint": loaded.fingerprint, "notes": list(loaded.all_notes)}
        shell.print_json({**described, **of_files, **counted})
        return
    from rich.table import Table

    columns = {"good": "Good", "anomalous": "Anomalous", "unlabelled": "Unlabelled", "masks": "Masks"}
    columns |= {"references": "References", "validation": "Validation"}
    rows = counted["categories"]
    # Few data sets have these.
    for name in ("unlabelled", "validation"):
        if not any(row[name] for row in rows):
            del columns[name]
    table = Table("Category", *columns.values(), "Defects", box=None, pad_edge=False)
    for row in rows:
        numbers = [str(row[name]) for name in columns]
        table.add_row(escaped(row["category"]), *numbers, escaped(listed(row["defects"], _KINDS_SHOWN)))
    console = shell.table_console()
    split = f", split {loaded.split}" if loaded.split else ""
    console.print(f"{loaded.name}{split}: {len(loaded)} test images, fingerprint {loaded.fingerprint[:16]}")
    for note in loaded.all_notes:
        console.print(escaped(note))
    for name, values in counted["groups"]["tags"].items():
        counts = ", ".join(f"{value} {count}" for value, count in values.items())
        console.print(escaped(f"Images by {name}: {counts}"))
    if parts := counted["groups"]["parts"]:
        console.print(f"Different parts in these images: {parts}")
    console.print(table)
