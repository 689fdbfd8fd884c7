"""What the terminal says of a folder for the server of MVTec AD 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvlm_ad.runs import Run


def upload_lines(run: Run, out: Path) -> Iterator[str]:
    """Yield lines about the folder of a run: where it is, what is in it, what it lacks, and what comes next."""
    upload = run.metrics.get("upload")
    if upload is None:
        yield f"The method {run.manifest.method.name} gives no map, so there is no folder for the server."
        return
    folder = out / upload["folder"]
    yield f"For the server: {folder} has {upload['n_maps']} maps (float16) of {upload['split']}."
    if upload["unanswered"]:
        yield f"{upload['unanswered']} of them are empty: these images have no answer."
    if upload["equal_scores"]:
        yield f"Rounded to float16, {upload['equal_scores']:,} of {upload['distinct_scores']:,} scores equal another."
    if upload["no_binary_maps"]:
        yield f"No thresholded maps: {upload['no_binary_maps']}. The server then sets ClassF1 and SegF1 to 0."
    else:
        yield "Thresholded maps are positive above mean + 3 standard deviations of all scores of validation images:"
        for name, one in upload["thresholds"].items():
            yield f"  {name}: {one['value']:.6g} ({one['source']})"
    yield (
        "The server wants all objects in both splits: run private and private-mixed into the same --out, object by "
        "object (--category) if you like. Then: "
        f"lvlm-ad data check-upload {folder} --pack"
    )
