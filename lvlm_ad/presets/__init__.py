"""Presets in TOML: models, prompts, protocols, downloads. The package's own have names, the user's have paths."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from lvlm_ad.errors import ConfigError, is_secret_option, nearest, what_is_wrong
from lvlm_ad.presets.exports import ExportTargets
from lvlm_ad.presets.models import ModelPreset, Pacing, Price
from lvlm_ad.presets.preset import Preset
from lvlm_ad.presets.published import NOTHING, PUBLISHED_METRICS, PublishedRow, PublishedTables
from lvlm_ad.presets.questions import PromptPreset, Protocol

__all__ = [
    "NOTHING",
    "PUBLISHED_METRICS",
    "DownloadPreset",
    "ExportTargets",
    "ModelPreset",
    "Pacing",
    "Price",
    "PromptPreset",
    "Protocol",
    "PublishedRow",
    "load_download",
    "load_exports",
    "load_model",
    "load_prompt",
    "load_protocol",
    "model_preset",
    "parse_settings",
    "preset_names",
    "published_rows",
    "validated",
]

Kind = Literal["models", "prompts", "protocols", "downloads", "exports"]
M = TypeVar("M", bound=BaseModel)


class DownloadPreset(Preset):
    """A data set to download."""

    layout: str
    """Layout of the unpacked folder: the name of a data set that can be read."""
    page: str
    """Web page that describes it."""
    licence: str
    licence_url: str
    terms: str
    """What the licence requires, in one line."""
    url: str
    """Address of the archive: tar, compressed or not, or zip."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the archive."""
    unpacked_bytes: Annotated[int, Field(gt=0)] = 40_000_000_000
    """Larger archives are refused."""


def preset_names(kind: Kind) -> list[str]:
    """Return the names of the presets that come with this package, sorted.

    Example:
        >>> preset_names("protocols")
        ['default', 'paper']
    """
    return sorted(_files(kind))


def load_protocol(name: str, overrides: dict[str, Any]) -> Protocol:
    """Read a protocol and apply settings of the command line over it; ``ConfigError`` if anything is wrong.

    Example:
        >>> load_protocol("paper", {"n_segments": 30}).n_segments
        30
    """
    return validated(Protocol, {**_read("protocols", name), **overrides}, f"protocol {name}")


def load_prompt(name: str) -> PromptPreset:
    """Read a prompt; ``ConfigError`` if it does not exist or is wrong."""
    return validated(PromptPreset, _read("prompts", name), f"prompt {name}")


def load_download(name: str) -> DownloadPreset:
    """Read where to download a data set; ``ConfigError`` if the preset does not exist or is wrong."""
    return validated(DownloadPreset, _read("downloads", name), f"download {name}")


def load_exports(path: str) -> ExportTargets:
    """Read the benchmarks to which a site's results belong; there is no preset of them.

    Raises:
        ConfigError: the file cannot be read or is wrong.

    Example:
        >>> load_exports("exports.txt")
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.ConfigError: exports.txt is not a TOML file; its name must end in .toml.
    """
    if not path.endswith(".toml"):
        raise ConfigError(f"{path} is not a TOML file; its name must end in .toml.")
    return validated(ExportTargets, _read("exports", path), path)


def load_model(name: str) -> ModelPreset:
    """Read a model preset. Its file is flat: description, backend or baseline, prices, pacing, the plugin's options.

    Raises:
        ConfigError: it does not exist or is wrong; see ``model_preset``.

    Example:
        >>> load_model("gpt-4o").price.price_input
        2.5
    """
    return model_preset(_read("models", name))


def model_preset(values: dict[str, Any]) -> ModelPreset:
    """Build a model preset from the flat values of a file; a value that no preset has is an option of the plugin.

    Raises:
        ConfigError: a value is wrong, or the values name neither or both of a backend and a baseline.
    """
    where = f"model {values.get('name', '')}".strip()
    names = set(ModelPreset.model_fields) - {"price", "pacing", "options"}
    own = {key: value for key, value in values.items() if key in names}
    price = {key: value for key, value in values.items() if key in Price.model_fields}
    pacing = {key: value for key, value in values.items() if key in Pacing.model_fields}
    options = {key: value for key, value in values.items() if key not in {*own, *price, *pacing}}
    settings = {"price": validated(Price, price, where), "pacing": validated(Pacing, pacing, where)}
    preset = validated(ModelPreset, {**own, **settings, "options": options}, where)
    if bool(preset.backend) == bool(preset.baseline):
        named = "both" if preset.backend else "none"
        raise ConfigError(
            f'{where} must name either a backend or a baseline, such as backend = "openai"; it names {named}.'
        )
    return preset


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Return the results of ``published.toml``, in the order of the file.

    Raises:
        ConfigError: the file is wrong: an unknown field or metric, a value outside 0..100, a source or a test set that
            is not listed, or two sources of one model whose difference is not explained.

    Example:
        >>> row = published_rows()[0]
        >>> row.model, row.source.name, row.values["image_auroc"]
        ('GPT-4V-AD', 'Zhang et al., arXiv 2311.02612', 77.1)
    """
    name = "published.toml"
    text = (files("lvlm_ad_configs") / name).read_text(encoding="utf-8")
    return tuple(validated(PublishedTables, _toml(text, name), name).rows())


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` settings.

    A value is text, which the setting's type converts. A value that begins with ``[``, ``{`` or a quote is TOML.

    Raises:
        ConfigError: a setting has no "=", or its TOML value is wrong. The value is not quoted, as it may be a key.

    Example:
        >>> parse_settings(["shots=2", "takes=['seed']"])
        {'shots': '2', 'takes': ['seed']}
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"--set takes KEY=VALUE; {key!r:.40} has no '='.")
        parsed[key] = value
        if value.startswith(("[", "{", '"', "'")):
            try:
                parsed[key] = tomllib.loads(f"value = {value}")["value"]
            except tomllib.TOMLDecodeError as error:
                raise ConfigError(
                    f"--set {key}: a value that begins with a bracket or a quote must be valid TOML ({error}). "
                    f"""Put text in quotes: --set {key}='"..."'."""
                ) from error
    return parsed


def validated(model: type[M], values: dict[str, Any], where: str) -> M:
    """Build a settings model and turn the first problem into one line.

    Args:
        model: the class.
        values: its fields.
        where: what the values belong to, for the message.

    Raises:
        ConfigError: a field is unknown (the message suggests the right name), missing or wrong. The value of an
            unknown field is never quoted, as it may be a key.

    Example:
        >>> validated(Pacing, {"max_retries": 2}, "model x").max_retries
        2
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        raise ConfigError(f"{where} has no setting {field!r}.{nearest(field, model.model_fields)}")
    if first["type"] == "value_error":
        # Our own validators never quote: an address may hold a password.
        raise ConfigError(f"{where}{f', setting {field}' if field else ''}: {first['ctx']['error']}.")
    if first["type"] == "missing":
        # Downloads, exports and published results take no settings from the command line.
        remedy = (
            "" if model in {DownloadPreset, ExportTargets, PublishedTables} else f"; give it with --set {field}=VALUE"
        )
        raise ConfigError(f"{where} lacks the setting {field!r}{remedy}.")
    # Pydantic's own messages quote no value, so a wrong key does not appear in them.
    got = "" if any(is_secret_option(str(part)) for part in first["loc"]) else f"; got {first['input']!r:.80}"
    raise ConfigError(f"{where}, setting {field} {what_is_wrong(first)}{got}.")


def _read(kind: Kind, name: str) -> dict[str, Any]:
    """Read a preset by its name, or a file by a path that ends in .toml."""
    if name.endswith(".toml"):
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The preset file {name} cannot be read: {error}.") from error
        return {"name": path.name.removesuffix(".toml"), **_toml(text, name)}
    found = _files(kind)
    if name not in found:
        raise ConfigError(
            f"There is no {kind.removesuffix('s')} preset {name!r}.{nearest(name, sorted(found))} For a file of your "
            "own, give its path, ending in .toml."
        )
    return {"name": name, **_toml(found[name].read_text(encoding="utf-8"), f"{kind}/{name}.toml")}


def _files(kind: Kind) -> dict[str, Traversable]:
    """Return the package's files of a kind, those in subfolders included: name -> file."""
    found: dict[str, Traversable] = {}
    folders = [files("lvlm_ad_configs") / kind]
    while folders:
        for entry in folders.pop().iterdir():
            if entry.is_dir():
                folders.append(entry)
            elif entry.name.endswith(".toml"):
                found[entry.name.removesuffix(".toml")] = entry
    return found


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error
