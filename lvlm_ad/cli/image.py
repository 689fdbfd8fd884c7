"""``lvlm-ad ask`` and ``lvlm-ad regions``: one image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lvlm_ad.cli import shell


@shell.guarded
def ask(
    image: shell.Image,
    model: shell.Model,
    category: shell.ObjectName = None,
    method: shell.Method = "regions",
    division: shell.Division = None,
    prompt: shell.ImagePrompt = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
    out: shell.Out = Path("runs"),
    json: shell.Json = False,
) -> None:
    """Ask one model about one image.

    Writes the marked picture, the answer and the map side by side as a PNG.
    """
    from PIL import Image as Picture

    from lvlm_ad import evaluate
    from lvlm_ad.cli.terminal import Bars
    from lvlm_ad.report import overview

    values = shell.merged_settings(settings, division=division, prompt=prompt)
    config = evaluate.RunConfig(models=(model,), method=method, protocol=protocol, settings=values, out=out)
    if category is None:
        config = evaluate.without_name(config)
    with Bars() as bars:
        asked = evaluate.ask(image, config, category or "product", bars)
    prediction, answer = asked.prediction, asked.prediction.record
    name = model.rpartition("/")[2].removesuffix(".toml")
    score = "no score" if answer.image_score is None else f"image score {answer.image_score:.2f}"
    picture = overview(
        asked.image,
        asked.marked,
        answer.text or "; ".join(answer.notes),
        prediction.score_map.dense(),
        title=f"{name}: {score}, {answer.status}",
    )
    path = out / f"ask-{name}-{image.stem}-{asked.digest[:8]}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(picture).save(path)
    if json:
        shell.print_json(
            {
                "model": asked.model,
                "image_score": answer.image_score,
                "regions": {str(number): score for number, score in answer.regions.items()},
                **({"shapes": answer.shapes} if answer.shapes else {}),
                "status": answer.status,
                "notes": answer.notes,
                "text": answer.text,
                **({"answers": [one.text for one in answer.steps]} if answer.steps else {}),
                "cost_usd": answer.cost_usd,
                "picture": str(path),
            }
        )
    else:
        shell.show(f"model: {asked.model}")
        if answer.steps:
            shell.show(f"questions: {len(answer.steps)}; the last answer:")
        for line in answer.text.strip().splitlines():
            shell.show(f"answer: {line}")
        shell.show(
            f"image score: {'none' if answer.image_score is None else f'{answer.image_score:.3f}'} ({answer.status})"
        )
        named = ", ".join(f"{name}: {score:.3f}" for name, score in asked.places[:10])
        if asked.kind:
            shell.show(f"{'places' if answer.shapes else asked.kind}: {named or 'none'}")
        for note in answer.notes:
            shell.show(f"note: {note}")
        shell.show(f"picture: {path}")
    if answer.image_score is None:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


@shell.guarded
def regions(
    image: shell.Image,
    division: shell.Division = None,
    protocol: shell.Protocol = "default",
    settings: shell.Settings = [],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The picture's file.  [default: IMAGE-regions.png here]")
    ] = None,
    json: shell.Json = False,
) -> None:
    """Divide an image into regions, and draw them as a model sees them."""
    from PIL import Image as Picture

    from lvlm_ad import evaluate
    from lvlm_ad.errors import ConfigError

    config = evaluate.RunConfig(protocol=protocol, settings=shell.merged_settings(settings, division=division))
    cut = evaluate.cut(image, config)
    path = output or Path(f"{image.stem}-regions.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        Picture.fromarray(cut.marked).save(path)
    except ValueError as error:
        raise ConfigError(f"{path} does not end in .png, .webp or .jpg; give such a name.") from error
    if json:
        shell.print_json({"count": cut.regions.count, "hash": cut.regions.hash, "picture": str(path)})
        return
    shell.show(f"regions: {cut.regions.count}")
    shell.show(f"picture: {path}")
