"""Reads the TOML presets: models, prompts, protocols; the package's own by name, the user's by path."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.keys import holds_secret

__all__ = [
    "DownloadPreset",
    "ModelPreset",
    "Pacing",
    "Price",
    "PromptPreset",
    "Protocol",
    "load_download",
    "load_model",
    "load_prompt",
    "load_protocol",
    "model_preset",
    "parse_settings",
    "preset_names",
    "published_rows",
    "validated",
]

Kind = Literal["models", "prompts", "protocols", "downloads"]
M = TypeVar("M", bound=BaseModel)

_MODEL_FIELDS = ("name", "description", "backend", "baseline")


class _Preset(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = ""
    """The preset's name: its file's name without ".toml"."""
    description: str = ""
    """One line for listings."""


class Price(BaseModel):
    """USD per million tokens. A price that is not given is unknown, never 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    price_input: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """USD per million input tokens."""
    price_cached: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """USD per million input tokens billed as cached; None: billed as input."""
    price_output: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """USD per million output tokens."""
    price_batch: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The fraction of these prices that an answer costs in a batch."""
    price_date: str = ""
    """When the prices were read, YYYY-MM-DD."""
    image_tokens: str = ""
    """The rule by which a picture becomes tokens; see ``lvlm_ad.asking.cost``. Used to estimate, never to bill."""

    @property
    def known(self) -> bool:
        """Whether both input and output have a price."""
        return self.price_input is not None and self.price_output is not None

    @property
    def free(self) -> bool:
        """Whether nothing is paid, however many tokens there are."""
        return self.price_input == 0 and self.price_output == 0

    def cost(
        self, input_tokens: int | None, cached_tokens: int | None, output_tokens: int | None, *, batch: bool = False
    ) -> float | None:
        """Return the cost of an answer in USD; None where a price or a token count is unknown."""
        if self.free:
            return 0.0
        if self.price_input is None or self.price_output is None or input_tokens is None or output_tokens is None:
            return None
        cached = min(cached_tokens or 0, input_tokens)
        price_cached = self.price_input if self.price_cached is None else self.price_cached
        fresh = (input_tokens - cached) * self.price_input
        return (
            (fresh + cached * price_cached + output_tokens * self.price_output)
            * (self.price_batch if batch else 1)
            / 1e6
        )


class Pacing(BaseModel):
    """How fast and how often an endpoint is asked; it changes no answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    """The most questions a minute; None: as the endpoint announces."""
    tokens_per_minute: Annotated[float, Field(gt=0)] | None = None
    """The most tokens a minute, input and output; None: as the endpoint announces."""
    max_retries: Annotated[int, Field(ge=0)] = 5
    """How often a question is asked again after a time-out, a lost connection or a failure of the server. A question
    that is turned away by a rate limit is asked again for up to 15 minutes."""


class ModelPreset(_Preset):
    """A model: which plugin reaches it, with which options, at what price."""

    backend: str = ""
    """The backend's name, for a chat model."""
    baseline: str = ""
    """The baseline's name, for any other method."""
    price: Price = Price()
    pacing: Pacing = Pacing()
    options: dict[str, Any] = Field(default_factory=dict)
    """What the plugin is built with; checked by the plugin."""

    @property
    def kind(self) -> Literal["backend", "baseline"]:
        """Whether the plugin is a backend or a baseline."""
        return "backend" if self.backend else "baseline"

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return self.backend or self.baseline


class DownloadPreset(_Preset):
    """A data set that can be downloaded."""

    layout: Literal["mvtec", "visa", "folder"]
    """As which data set it is loaded."""
    page: str
    """Where it is described."""
    licence: str
    licence_url: str
    terms: str
    """What the licence asks, in a line."""
    url: str
    """Of the archive: tar, perhaps compressed, or zip."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the archive."""
    unpacked_bytes: Annotated[int, Field(gt=0)] = 40_000_000_000
    """An archive that holds more is refused."""


class PromptPreset(_Preset):
    """A question. Placeholders, written ``$name``: class_name, defects, n_regions, pictures, references."""

    text: Annotated[str, Field(min_length=1)]
    """The question's text."""
    format: Literal["text", "json"] = "text"
    """Whether the answer is text in the published format or a JSON object."""
    zero_knowledge: bool = True
    """False if the question tells the model what kinds of defect there are."""
    pictures: dict[Literal["marked", "image+marked", "image+marks"], str] = Field(default_factory=dict)
    """Sentences that say what the pictures show, by ``visual``; what is not given has a standard sentence."""
    references: str = ""
    """The sentence about reference images; empty: a standard sentence."""
    class_names: dict[str, str] = Field(default_factory=dict)
    """Category -> the name used in the question, where the standard name is not wanted."""


class Protocol(_Preset):
    """The conditions under which models are compared; the same for every model of a table."""

    image_size: Annotated[int, Field(ge=16, le=8192)] = 768
    """Images are stretched to this many pixels a side; divisions, maps and metrics are of this size."""
    division: str = "superpixel"
    """How an image is cut into regions: superpixel, grid or sam."""
    n_segments: int | None = None
    """superpixel: about how many segments; None: as published (60)."""
    compactness: float | None = None
    """superpixel: weight of nearness against colour; None: as published (20)."""
    grid_rows: int | None = None
    """grid: rows of cells; None: as published (16)."""
    grid_columns: int | None = None
    """grid: columns of cells; None: as published (16)."""
    sam_model: str | None = None
    """sam: the model's name at the hub or its folder; None: as published (facebook/sam-vit-huge)."""
    sam_points_per_side: int | None = None
    """sam: the model is asked about a grid of this many points a side; None: as published (32)."""
    pred_iou_thresh: float | None = None
    """sam: a mask is kept above this predicted IoU; None: as published (0.88)."""
    stability_score_thresh: float | None = None
    """sam: a mask is kept above this stability; None: as published (0.95)."""
    crops_nms_thresh: float | None = None
    """sam: of two masks whose boxes have an IoU above this, one goes; None: as published (0.7)."""
    sam_points_per_batch: int | None = None
    """sam: points asked about together, for speed; None: 64."""
    sam_device: str | None = None
    """sam: where the model runs; None: a GPU if there is one."""
    min_area: float | None = None
    """A region is kept above this area, in pixels of a 768 x 768 image; None: as published (600)."""
    max_area: float | None = None
    """A region is kept below this area, in pixels of a 768 x 768 image; None: as published (120,000)."""
    prompt: str = "class"
    """The prompt preset, or a prompt file's path."""
    visual: Literal["marked", "image+marked", "image+marks"] = "marked"
    """Which pictures are sent."""
    shots: Annotated[int, Field(ge=0, le=64)] = 0
    """How many normal training images precede the question."""
    border_width: Annotated[int, Field(ge=0, le=32)] = 2
    """Width of the regions' borders in pixels."""
    number_size: Annotated[int, Field(ge=7, le=128)] = 18
    """Height of the regions' numbers in pixels."""
    number_style: Literal["contrast", "grey"] = "contrast"
    """Numbers black on white or white on black by what lies below, or white on grey as published."""
    binary: bool = False
    """Paint 1 for every region named, whatever its score."""
    scoring: Literal["text", "expected"] = "text"
    """Scores as written, or their expected values over the probabilities of the tokens that spell them. It decides how
    an answer is read, not what is asked."""

    def division_options(self) -> dict[str, Any]:
        """Return the division's options that are set."""
        superpixel, grid = ("n_segments", "compactness"), ("grid_rows", "grid_columns")
        masks = ("pred_iou_thresh", "stability_score_thresh", "crops_nms_thresh")
        sam = ("sam_model", "sam_points_per_side", *masks, "sam_points_per_batch", "sam_device")
        names = (*superpixel, *grid, *sam, "min_area", "max_area")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def preset_names(kind: Kind) -> list[str]:
    """Return the names of the package's own presets of a kind, sorted."""
    folder = files("lvlm_ad_configs") / kind
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _read(kind: Kind, name: str) -> dict[str, Any]:
    """Read a preset by name, or a file by a path that ends in .toml."""
    if name.endswith(".toml"):
        path = Path(name)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The preset file {name} cannot be read: {error}.") from error
        own_name = path.name.removesuffix(".toml")
        if not own_name.strip("."):
            raise ConfigError(f"The preset file {name} needs a name before .toml; folders are named by it.")
        return {"name": own_name, **_toml(text, name)}
    names = preset_names(kind)
    if name not in names:
        singular = kind.removesuffix("s")
        raise ConfigError(
            f"There is no {singular} preset {name!r}.{nearest(name, names)} A file of your own is given by its path, "
            "ending in .toml."
        )
    text = (files("lvlm_ad_configs") / kind / f"{name}.toml").read_text(encoding="utf-8")
    return {"name": name, **_toml(text, f"{kind}/{name}.toml")}


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error


def validated(model: type[M], values: dict[str, Any], where: str) -> M:
    """Build a settings model; the first thing wrong becomes one line.

    Raises:
        ConfigError: a field is unknown (the nearest are named), missing or has a wrong value. The value of an unknown
            field is never quoted: it may be a key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{where} has no setting {field!r}.{nearest(field, model.model_fields)}") from None
        if first["type"] == "value_error":
            # A validator of ours says what is wrong without quoting: an address may hold a password.
            raise ConfigError(f"{where}{f', setting {field}' if field else ''}: {first['ctx']['error']}.") from None
        if first["type"] == "missing":
            # Only a model, of which one may be asked on the command line, takes settings from there.
            remedy = "" if model is DownloadPreset else f"; give it with --set {field}=VALUE"
            raise ConfigError(f"{where} lacks the setting {field!r}{remedy}.") from None
        # What is wrong with a key is not said by printing it; a message of pydantic's own quotes nothing.
        got = "" if any(holds_secret(str(part)) for part in first["loc"]) else f"; got {first['input']!r:.80}"
        raise ConfigError(f"{where}, setting {field}: {first['msg']}{got}.") from None


def load_protocol(name: str, overrides: dict[str, Any]) -> Protocol:
    """Read a protocol and apply settings of the command line over it.

    Raises:
        ConfigError: it does not exist or is wrong.
    """
    return validated(Protocol, {**_read("protocols", name), **overrides}, f"protocol {name}")


def load_prompt(name: str) -> PromptPreset:
    """Read a prompt.

    Raises:
        ConfigError: it does not exist or is wrong.
    """
    return validated(PromptPreset, _read("prompts", name), f"prompt {name}")


def load_download(name: str) -> DownloadPreset:
    """Read where a data set is to be had.

    Raises:
        ConfigError: it does not exist or is wrong.
    """
    return validated(DownloadPreset, _read("downloads", name), f"download {name}")


def load_model(name: str) -> ModelPreset:
    """Read a model preset. Its file is flat: description, backend or baseline, prices, pacing, the plugin's options.

    Raises:
        ConfigError: it does not exist, is wrong, or names neither or both of a backend and a baseline.
    """
    return model_preset(_read("models", name))


def model_preset(values: dict[str, Any]) -> ModelPreset:
    """Build a model preset from the flat values of a file; what is not the preset's own is an option of the plugin.

    Raises:
        ConfigError: a value is wrong, or the values name neither or both of a backend and a baseline.
    """
    where = f"model {values.get('name', '')}".strip()
    own = {key: value for key, value in values.items() if key in _MODEL_FIELDS}
    price = {key: value for key, value in values.items() if key in Price.model_fields}
    pacing = {key: value for key, value in values.items() if key in Pacing.model_fields}
    options = {key: value for key, value in values.items() if key not in {*own, *price, *pacing}}
    settings = {"price": validated(Price, price, where), "pacing": validated(Pacing, pacing, where)}
    preset = validated(ModelPreset, {**own, **settings, "options": options}, where)
    if bool(preset.backend) == bool(preset.baseline):
        found = "both" if preset.backend else "none"
        raise ConfigError(f"{where} must name either a backend or a baseline; it names {found}.")
    return preset


def published_rows() -> list[dict[str, Any]]:
    """Return the rows of ``published.toml``: model, dataset, source, and the metrics in percent."""
    text = (files("lvlm_ad_configs") / "published.toml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = _toml(text, "published.toml")["row"]
    return rows


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` settings.

    A value is text, and the setting's type decides what it becomes; one that begins with ``[``, ``{`` or a quote is
    TOML.

    Raises:
        ConfigError: a setting has no "=", or its TOML value is wrong. Values are not quoted: one may be a key.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"--set takes KEY=VALUE; {key!r:.40} has no '='.")
        if value[:1] in {"[", "{", '"', "'"}:
            try:
                parsed[key] = tomllib.loads(f"value = {value}")["value"]
            except tomllib.TOMLDecodeError as error:
                raise ConfigError(f"--set {key}: the value is not valid TOML ({error}).") from error
        else:
            parsed[key] = value
    return parsed
