"""The option ``--threshold``: how a threshold is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lvlm_ad.errors import ConfigError
from lvlm_ad.escape import escaped

Kind = Literal["fixed", "reference", "conformal", "calibration"]

KINDS: Mapping[str, str] = {
    "fixed": "fixed",
    "reference": "a quantile of good reference images, which guarantees no false-alarm rate",
    "conformal": "from good reference images; on average at most this share of good images alarms",
    "calibration": "the best on other labelled images",
}
"""Kind of threshold -> what it is."""

_FORMS = "0.5, reference:0.95, conformal:0.05, calibration:0.3 or calibration:FOLDER"


@dataclass(frozen=True)
class Choice:
    """How a threshold is chosen: the parts of the option ``--threshold``.

    Attributes:
        text: as the user wrote it.
        kind: "fixed": the value itself. "reference": a quantile of good references. "conformal": from good references,
            so that at most a share of good images alarms. "calibration": the best on other labelled images.
        value: the threshold, quantile, share of false alarms, or share of the images; None: ``folder`` is given.
        folder: the labelled images of "calibration".
    """

    text: str
    kind: Kind
    value: float | None = None
    folder: Path | None = None

    @property
    def record(self) -> str:
        """The choice as a run records it: of a folder only the name, since runs are shared.

        Example:
            >>> parse_threshold("calibration:/home/me/parts").record
            'calibration:parts/'
        """
        return self.text if self.folder is None else f"calibration:{self.folder.name}/"

    @property
    def references_needed(self) -> int:
        """How many good references with a score a category must have; 0 if none.

        With fewer, no threshold keeps the share of false alarms ("conformal"), or the quantile would always be the
        highest score ("reference").

        Example:
            >>> [parse_threshold(text).references_needed for text in ("0.5", "conformal:0.05", "reference:0.95")]
            [0, 19, 20]
        """
        if self.value is None or not self.needs_references:
            return 0
        tail = self.value if self.kind == "conformal" else 1 - self.value
        return math.ceil(1 / tail - (self.kind == "conformal") - 1e-9)

    @property
    def needs_references(self) -> bool:
        """Whether the model must be asked about good references."""
        return self.kind in {"reference", "conformal"}


def parse_threshold(text: str) -> Choice:
    """Read the option ``--threshold``.

    Raises:
        ConfigError: the text has none of the forms, or a number is outside (0, 1).

    Example:
        >>> parse_threshold("conformal:0.05").value
        0.05
        >>> parse_threshold("conformal:5")
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.ConfigError: --threshold 'conformal:5': the share of false alarms must be above 0 and below 1.
    """
    name, colon, rest = text.strip().partition(":")
    value = _number(rest if colon else name)
    if not colon and value is not None:
        if not 0 <= value <= 1:
            raise ConfigError(f"--threshold {escaped(text)!r}: scores lie in 0..1, and so must a threshold.")
        return Choice(text, "fixed", value)
    kinds: dict[str, tuple[Kind, str]] = {
        "reference": ("reference", "the quantile"),
        "conformal": ("conformal", "the share of false alarms"),
        "calibration": ("calibration", "the share of the images (or give a folder)"),
    }
    kind, meaning = kinds.get(name, ("fixed", ""))
    if kind == "calibration" and rest and value is None:
        return Choice(text, kind, folder=Path(rest))
    if kind == "fixed" or value is None:
        raise ConfigError(f"--threshold takes {_FORMS}, not {escaped(text)!r}.")
    if not 0 < value < 1:
        raise ConfigError(f"--threshold {escaped(text)!r}: {meaning} must be above 0 and below 1.")
    return Choice(text, kind, value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
