"""``lvlm-ad data``: look at a data set before spending on it, and make the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lvlm_ad.cli.shell import EXIT_USAGE, guarded, print_json, say

__all__ = ["data"]

data = typer.Typer(help="Check or describe a data set; make the demo.", no_args_is_help=True, rich_markup_mode=None)

Dataset = Annotated[str | None, typer.Option(help="mvtec, visa, folder or demo.  [default: folder]")]
Root = Annotated[Path | None, typer.Option("--data", help="Where the data set is.")]
Threshold = Annotated[
    int | None,
    typer.Option(min=0, max=65534, help="A mask pixel above N is defective.  [default: by the mask's values]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@data.command()
@guarded
def check(
    dataset: Dataset = None,
    root: Root = None,
    mask_threshold: Threshold = None,
    json: Json = False,
) -> None:
    """Read every image and mask and report all problems at once. Exit status 2 if there is an error."""
    from lvlm_ad.datasets import check_dataset

    report = check_dataset(dataset or "folder", root, mask_threshold=mask_threshold)
    errors = [problem for problem in report.problems if problem.severity == "error"]
    if json:
        print_json(
            {
                "images": len(report.dataset) if report.dataset is not None else 0,
                "problems": [
                    {"severity": problem.severity, "where": problem.where, "message": problem.message}
                    for problem in report.problems
                ],
            }
        )
    else:
        for problem in report.problems:
            say(f"{problem.severity}: {problem.message}")
        count = len(report.dataset) if report.dataset is not None else 0
        warnings = len(report.problems) - len(errors)
        say(f"{count} test images; {len(errors)} errors, {warnings} warnings.")
    if errors:
        raise typer.Exit(EXIT_USAGE)


@data.command()
@guarded
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to; it must not exist yet, or hold the same demo.")],
    images: Annotated[int, typer.Option(min=2, help="Test images a category.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other images.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side of an image in pixels.")] = 384,
) -> None:
    """Make the built-in demo: six categories with defects and masks, in the MVTec layout."""
    from lvlm_ad.datasets.demo import make_demo

    root = make_demo(out, images=images, seed=seed, size=size)
    say(f"The demo is in {root}; measure it with: lvlm-ad bench --dataset folder --data {root}")


@data.command()
@guarded
def info(
    dataset: Dataset = None,
    root: Root = None,
    mask_threshold: Threshold = None,
    json: Json = False,
) -> None:
    """Describe a data set: categories, counts, reference images, fingerprint."""
    from lvlm_ad.datasets import load_dataset

    loaded = load_dataset(dataset or "folder", root, mask_threshold=mask_threshold)
    categories: list[dict[str, Any]] = []
    for category in loaded.categories:
        samples = [sample for sample in loaded if sample.category == category]
        categories.append(
            {
                "category": category,
                "good": sum(not sample.label for sample in samples),
                "anomalous": sum(sample.label for sample in samples),
                "masks": sum(sample.mask_path is not None for sample in samples),
                "references": len(loaded.references.get(category, ())),
                "defects": list(loaded.defects[category]),
            }
        )
    described = {
        "dataset": loaded.name,
        "root": str(loaded.root),
        "images": len(loaded),
        "fingerprint": loaded.fingerprint,
        "notes": list(loaded.notes),
        "categories": categories,
    }
    if json:
        print_json(described)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("Category", "Good", "Anomalous", "Masks", "References", "Defects", box=None, pad_edge=False)
    for row in categories:
        numbers = [str(row[name]) for name in ("good", "anomalous", "masks", "references")]
        table.add_row(Text(row["category"]), *numbers, Text(", ".join(row["defects"])))
    console = Console()
    console.print(Text(f"{loaded.name}: {len(loaded)} test images, fingerprint {loaded.fingerprint[:16]}"))
    for note in loaded.notes:
        console.print(Text(note))
    console.print(table)
