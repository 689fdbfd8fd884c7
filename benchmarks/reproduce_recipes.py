"""The recipes of ``reproduce.toml``, and the published results that each is compared with."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.presets import load_model, published_rows, validated

__all__ = ["DATASETS", "Published", "Recipe", "Target", "load_recipes", "recipe_named"]

DATASETS = {"mvtec": "MVTec AD", "visa": "VisA"}

_FILE = Path(__file__).with_name("reproduce.toml")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Changes(_Part):
    """What differs on one data set."""

    settings: Mapping[str, Any] = {}
    reference: Mapping[str, Any] = {}


class Target(_Part):
    """A published result that a recipe is compared with, and how far it may be from it."""

    source: str
    tolerance: Mapping[str, float]
    why: str
    open: tuple[str, ...]
    name: str = ""
    dataset: Literal["", "mvtec", "visa"] = ""
    gains_over: tuple[str, str] | None = None
    gains: Mapping[str, float] = {}

    def tolerance_of(self, metric: str) -> float:
        """Return the tolerance of a metric in points: its own, or that of all image or pixel metrics."""
        return self.tolerance.get(metric, self.tolerance.get(metric.partition("_")[0], 0.05))


@dataclass(frozen=True)
class Published:
    """The published values of a target: metric -> percent."""

    name: str
    values: Mapping[str, float]
    target: Target


class Recipe(_Part):
    """How one published result is reproduced; the fields are explained in ``reproduce.toml``."""

    name: str
    title: str
    checks: Literal["winclip", "clip-ad", "regions"]
    model: str
    published: str
    protocol: str = "default"
    settings: Mapping[str, Any] = {}
    reference: Mapping[str, Any]
    target: tuple[Target, ...] = Field(min_length=1)
    mvtec: _Changes = _Changes()
    visa: _Changes = _Changes()

    @property
    def needs(self) -> str:
        """What a user must have."""
        if self.checks == "regions":
            key = load_model(self.model).options["api_key_env"]
            return f"a key in {key}, money (--dry-run estimates how much), and the data set (--data DIR)"
        weights = f"the weights {self.reference['weights']} of open_clip (830 MB; pip install 'lvlm-ad[clip]')"
        return f"{weights}, and the data set (--data DIR)"

    def on(self, dataset: str) -> Recipe:
        """Return the recipe with the changes for a data set."""
        changes: _Changes = getattr(self, dataset)
        settings, reference = {**self.settings, **changes.settings}, {**self.reference, **changes.reference}
        return self.model_copy(update={"settings": settings, "reference": reference})

    def published_on(self, dataset: str) -> list[Published]:
        """Return the published results on a data set, in the recipe's order; perhaps none."""
        found = []
        for target in self.target:
            if target.dataset not in {"", dataset}:
                continue
            wanted = (*(target.gains_over or (target.source, self.published)), dataset, "", 0)
            for row in published_rows():
                if (row.source.key, row.model, row.test_set.dataset, row.test_set.part, row.shots) == wanted:
                    values = {name: row.values[name] + gain for name, gain in target.gains.items()} or row.values
                    found.append(Published(target.name or row.source.name, values, target))
        return found


class _Recipes(_Part):
    recipe: tuple[Recipe, ...]


def load_recipes(path: Path = _FILE) -> tuple[Recipe, ...]:
    """Read a file of recipes.

    Raises:
        ConfigError: it cannot be read, or is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"The recipes {path} cannot be read: {error}.") from error
    return validated(_Recipes, content, path.name).recipe


def recipe_named(name: str, recipes: tuple[Recipe, ...]) -> Recipe:
    """Return the recipe of a name.

    Raises:
        ConfigError: there is none; the message suggests the nearest.
    """
    for recipe in recipes:
        if recipe.name == name:
            return recipe
    names = [recipe.name for recipe in recipes]
    raise ConfigError(f"There is no recipe {name!r}.{nearest(name, names)} The recipes: {', '.join(names)}.")
