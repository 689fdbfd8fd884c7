"""Presets in TOML: models, prompts, protocols, downloads. The package's own have names, the user's have paths."""

from __future__ import annotations

import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lvlm_ad.errors import ConfigError, is_secret_option, nearest, what_is_wrong

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


class _Preset(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    name: str = ""
    """The preset's name: its file's name without ".toml"."""
    description: str = ""
    """One line for listings."""


class Price(BaseModel):
    """USD per million tokens. A price that is not given is unknown, never 0.

    Example:
        >>> Price(price_input=2.5, price_output=10.0).cost(input_tokens=1000, cached_tokens=0, output_tokens=100)
        0.0035
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    price_input: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    """USD per million input tokens."""
    price_cached: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    """USD per million input tokens billed as cached; None: billed as input."""
    price_output: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    """USD per million output tokens."""
    price_batch: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Price of an answer in a batch, as a fraction of the other prices."""
    price_date: str = ""
    """When the prices were read, YYYY-MM-DD."""
    image_tokens: str = ""
    """How many tokens a picture costs; see ``lvlm_ad.asking.cost``. Only for estimates."""

    @property
    def known(self) -> bool:
        """Whether input and output have a price."""
        return self.price_input is not None and self.price_output is not None

    @property
    def free(self) -> bool:
        """Whether all tokens are free."""
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
        total = (input_tokens - cached) * self.price_input + cached * price_cached + output_tokens * self.price_output
        return total * (self.price_batch if batch else 1) / 1e6


class Pacing(BaseModel):
    """How fast and how often an endpoint is asked; changes no answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    """Most questions per minute; None: as the endpoint announces."""
    tokens_per_minute: Annotated[float, Field(gt=0)] | None = None
    """Most tokens per minute, input and output; None: as the endpoint announces."""
    max_retries: Annotated[int, Field(ge=0)] = 5
    """How often a question is asked again after a time-out, a lost connection or a server error. After a rate limit it
    is asked again for up to 15 minutes."""


class ModelPreset(_Preset):
    """A model: its plugin, the plugin's options, its price."""

    backend: str = ""
    """The backend's name, for a chat model."""
    baseline: str = ""
    """The baseline's name, for every other method."""
    end_of_life: date | None = None
    """The day on which its provider removes the model; None: unknown."""
    successor: str = ""
    """The preset whose model is asked from ``end_of_life`` on; empty: none, the removed model is asked in vain."""
    convention: str = ""
    """How a chat model writes coordinates, by its name in ``conventions.toml``; empty: unknown."""
    state_convention: bool = False
    """Whether questions state the convention: the model has no documented one of its own, or the user set another."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """A method's prompt, such as boxes -> the prompt with which this model is asked instead, in its makers' words. Not
    used with ``state_convention``, as it states none."""
    price: Price = Price()
    pacing: Pacing = Pacing()
    options: dict[str, Any] = Field(default_factory=dict)
    """The plugin's options; the plugin checks them."""

    @property
    def kind(self) -> Literal["backend", "baseline"]:
        """Whether the plugin is a backend or a baseline."""
        return "backend" if self.backend else "baseline"

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return self.backend or self.baseline


class DownloadPreset(_Preset):
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


class PromptPreset(_Preset):
    """A question. Placeholders: $class_name, $defects, $n_regions, $pictures, $references."""

    text: Annotated[str, Field(min_length=1)]
    """The question's text."""
    format: Literal["text", "json"] = "text"
    """Format of the answer: text as published, or a JSON object."""
    zero_knowledge: bool = True
    """False if the question names the kinds of defect."""
    pictures: dict[Literal["marked", "image+marked", "image+marks"], str] = Field(default_factory=dict)
    """Sentence about the pictures for each value of ``visual``; each has a default."""
    references: str = ""
    """Sentence about reference images; empty: the default."""
    class_names: dict[str, str] = Field(default_factory=dict)
    """Category -> its name in the question, if not the default."""


class Protocol(_Preset):
    """Conditions under which models are compared: the same for all models of a table."""

    image_size: Annotated[int, Field(ge=16, le=8192)] = 768
    """Images are stretched to a square of this side in pixels; regions, maps and metrics have this size."""
    division: str = "superpixel"
    """How images are cut into regions: superpixel, grid or sam."""
    n_segments: int | None = None
    """superpixel: approximate number of segments; None: as published (60)."""
    compactness: float | None = None
    """superpixel: weight of distance against colour; None: as published (20)."""
    grid_rows: int | None = None
    """grid: rows of cells; None: as published (16)."""
    grid_columns: int | None = None
    """grid: columns of cells; None: as published (16)."""
    sam_model: str | None = None
    """sam: the model's name at the Hugging Face hub, or its folder; None: as published (facebook/sam-vit-huge)."""
    sam_points_per_side: int | None = None
    """sam: side of the grid of prompt points; None: as published (32)."""
    pred_iou_thresh: float | None = None
    """sam: least predicted IoU of a mask; None: as published (0.88)."""
    stability_score_thresh: float | None = None
    """sam: least stability of a mask; None: as published (0.95)."""
    crops_nms_thresh: float | None = None
    """sam: masks whose boxes overlap with an IoU above this are duplicates; None: as published (0.7)."""
    sam_points_per_batch: int | None = None
    """sam: points in one batch, for speed; None: 64."""
    sam_device: str | None = None
    """sam: device of the model; None: a GPU if there is one."""
    min_area: float | None = None
    """Least area of a region, in pixels of a 768 x 768 image; None: as published (600)."""
    max_area: float | None = None
    """Largest area of a region, in pixels of a 768 x 768 image; None: as published (120,000)."""
    prompt: str = "class"
    """The prompt preset, or the path of a prompt file."""
    visual: Literal["marked", "image+marked", "image+marks"] = "marked"
    """Which pictures are sent."""
    shots: Annotated[int, Field(ge=0, le=64)] = 0
    """Number of normal training images shown before the question."""
    border_width: Annotated[int, Field(ge=0, le=32)] = 2
    """Width of the regions' borders in pixels."""
    number_size: Annotated[int, Field(ge=7, le=128)] = 18
    """Height of the regions' numbers in pixels."""
    number_style: Literal["contrast", "grey"] = "contrast"
    """Colours of the numbers: black on white or white on black, by the image's brightness; or white on grey."""
    binary: bool = False
    """Paint 1 for every region in the answer, whatever its score."""
    scoring: Literal["text", "expected"] = "text"
    """Scores as written, or their expected values over the probabilities of their tokens. Decides how answers are read,
    not what is asked."""

    def division_options(self) -> dict[str, Any]:
        """Return the options of the division that are set."""
        # They are the fields without a default of their own.
        fields = type(self).model_fields
        return {name: value for name, value in self if value is not None and fields[name].default is None}


def preset_names(kind: Kind) -> list[str]:
    """Return the names of the presets that come with this package, sorted.

    Example:
        >>> preset_names("protocols")
        ['default', 'paper']
    """
    folder = files("lvlm_ad_configs") / kind
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


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


def published_rows() -> list[dict[str, Any]]:
    """Return the rows of ``published.toml``: model, dataset, source, and the metrics in percent."""
    text = (files("lvlm_ad_configs") / "published.toml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = _toml(text, "published.toml")["row"]
    return rows


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
        # A download takes no settings from the command line.
        remedy = "" if model is DownloadPreset else f"; give it with --set {field}=VALUE"
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
    names = preset_names(kind)
    if name not in names:
        raise ConfigError(
            f"There is no {kind.removesuffix('s')} preset {name!r}.{nearest(name, names)} For a file of your own, give "
            "its path, ending in .toml."
        )
    text = (files("lvlm_ad_configs") / kind / f"{name}.toml").read_text(encoding="utf-8")
    return {"name": name, **_toml(text, f"{kind}/{name}.toml")}


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error
