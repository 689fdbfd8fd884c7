"""A model: how it is reached, what it costs, how fast it is asked."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from lvlm_ad.presets.preset import Preset

__all__ = ["ModelPreset", "Pacing", "Price"]

_SECONDS_OF_AN_HOUR = 3600


def _in_words(value: Any) -> Any:
    """Return a date of TOML, which stands without quotes, as its text."""
    return value.isoformat() if type(value) is date else value


class Price(BaseModel):
    """USD per million tokens, per hour of a machine, or both. A price that is not given is unknown, never 0.

    Example:
        >>> Price(price_input=2.5, price_output=10.0).cost(input_tokens=1000, cached_tokens=0, output_tokens=100)
        0.0035
        >>> machine = Price(price_input=0, price_output=0, price_per_hour=1.8)
        >>> machine.cost(input_tokens=1000, cached_tokens=0, output_tokens=100, seconds=2.0)
        0.001
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
    price_per_hour: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    """USD per hour of the machine on which a local model runs; an answer costs its seconds."""
    price_date: Annotated[str, BeforeValidator(_in_words)] = ""
    """When the prices were read, YYYY-MM-DD."""
    image_tokens: str = ""
    """How many tokens a picture costs; see ``lvlm_ad.asking.cost``. Only for estimates."""

    @property
    def known(self) -> bool:
        """Whether input and output have a price."""
        return self.price_input is not None and self.price_output is not None

    @property
    def free(self) -> bool:
        """Whether answers cost nothing: all tokens are free, and so is the machine."""
        return self._free_tokens and not self.price_per_hour

    @property
    def _free_tokens(self) -> bool:
        return self.price_input == 0 and self.price_output == 0

    def cost(
        self,
        input_tokens: int | None,
        cached_tokens: int | None,
        output_tokens: int | None,
        *,
        seconds: float = 0.0,
        batch: bool = False,
    ) -> float | None:
        """Return the cost of an answer in USD; None where a price or a token count is unknown.

        Args:
            input_tokens: tokens of the question; None: unknown.
            cached_tokens: those of them that were billed as cached.
            output_tokens: tokens of the answer.
            seconds: of the machine, for ``price_per_hour``.
            batch: whether the answer came in a batch.
        """
        machine = (self.price_per_hour or 0.0) * seconds / _SECONDS_OF_AN_HOUR
        if self._free_tokens:
            return machine
        if self.price_input is None or self.price_output is None or input_tokens is None or output_tokens is None:
            return None
        cached = min(cached_tokens or 0, input_tokens)
        price_cached = self.price_input if self.price_cached is None else self.price_cached
        total = (input_tokens - cached) * self.price_input + cached * price_cached + output_tokens * self.price_output
        return total * (self.price_batch if batch else 1) / 1e6 + machine


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


class ModelPreset(Preset):
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
