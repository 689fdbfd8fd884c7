"""``lvlm-ad ask``: one image, one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli.inline import show_picture
from lvlm_ad.cli.shell import EXIT_INCOMPLETE, guarded, merged_settings, print_json, say

__all__ = ["ask"]


@guarded
def ask(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image's file.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Model preset, plugin or preset file.")],
    category: Annotated[
        str | None, typer.Option(help="What the image shows, for the question.  [default: the question does not say]")
    ] = None,
    division: Annotated[str | None, typer.Option(help="superpixel, grid or sam.  [default: the protocol's]")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Prompt preset or file.  [default: the protocol's; general without --category]")
    ] = None,
    protocol: Annotated[str, typer.Option(help="Protocol preset or file.")] = "default",
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Set a field of the model preset, its plugin or the protocol."),
    ] = [],
    out: Annotated[Path, typer.Option(help="Folder for the picture and for stored answers.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Ask one model about one image: the marked picture, the answer and the map, side by side in one PNG."""
    from PIL import Image

    from lvlm_ad import evaluate
    from lvlm_ad.report import overview

    settings_ = merged_settings(settings, division=division, prompt=prompt)
    if category is None:
        settings_.setdefault("prompt", "general")
    config = evaluate.RunConfig(models=(model,), protocol=protocol, settings=settings_, out=out)
    asked = evaluate.ask(image, config, category or "product")
    prediction = asked.prediction
    scores = prediction.scores
    name = model.rpartition("/")[2].removesuffix(".toml")
    said = "no score" if scores.image is None else f"image score {scores.image:.2f}"
    picture = overview(
        asked.image,
        asked.marked,
        prediction.text or "; ".join(scores.notes),
        prediction.score_map.dense(),
        title=f"{name}: {said}, {scores.status}",
    )
    path = out / f"ask-{name}-{image.stem}-{asked.digest[:8]}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    if json:
        print_json(
            {
                "image_score": scores.image,
                "regions": {str(number): score for number, score in scores.regions.items()},
                "status": scores.status,
                "notes": list(scores.notes),
                "text": prediction.text,
                "cost_usd": prediction.cost,
                "picture": str(path),
            }
        )
    else:
        top = sorted(scores.regions.items(), key=lambda item: -item[1])[:10]
        say(f"image score: {'none' if scores.image is None else f'{scores.image:.3f}'} ({scores.status})")
        say("regions: " + (", ".join(f"{number}: {score:.3f}" for number, score in top) or "none"))
        for note in scores.notes:
            say(f"note: {note}")
        show_picture(path)
        say(f"picture: {path}")
    if not scores.usable:
        raise typer.Exit(EXIT_INCOMPLETE)
