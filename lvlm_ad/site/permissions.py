"""Which data sets' pictures a site may show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lvlm_ad.datasets.readers import READERS
from lvlm_ad.datasets.visa import VISA_CATEGORIES
from lvlm_ad.errors import ConfigError, nearest

__all__ = ["Permissions", "licence_of"]

_OPEN = {"visa": VISA_CATEGORIES}
"""Data sets whose licence lets anybody pass the pictures on, if their authors are named, and their categories: own
pictures in the same layout have others."""

_NONE = "none"


def licence_of(dataset: str) -> str:
    """Say which licence a data set has and where it is.

    Example:
        >>> licence_of("visa")
        'Licence: CC BY 4.0. Available at github.com/amazon-science/spot-diff.'
        >>> licence_of("demo")
        'lvlm-ad draws these images; their textures come with scikit-image.'
    """
    if dataset == "demo":
        return "lvlm-ad draws these images; their textures come with scikit-image."
    reader = READERS.get(dataset)
    if reader is None or dataset in {"folder", "meta-json"}:
        return "No licence is known: these are somebody's own images."
    licence = f"Licence: {reader.licence}." if reader.licence else "No licence was found."
    return f"{licence} Available at {reader.page}." if reader.page else licence


@dataclass(frozen=True)
class Permissions:
    """Which data sets' pictures may be shown.

    Attributes:
        given: names of data sets that the site's owner may show; empty: only those that anybody may show; "none": no
            pictures at all.
    """

    given: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: str) -> Permissions:
        """Read names separated by commas.

        Raises:
            ConfigError: there is no data set of a name.

        Example:
            >>> sorted(Permissions.of("mvtec, btad").given)
            ['btad', 'mvtec']
        """
        given = frozenset(filter(None, (name.strip() for name in names.split(","))))
        for name in sorted(given):
            if name not in {*READERS, _NONE}:
                raise ConfigError(f"--gallery: there is no data set {name!r:.80}.{nearest(name, [*READERS, _NONE])}")
        return cls(given)

    def why_not(self, dataset: str, categories: Collection[str]) -> str:
        """Return why pictures of a data set are not shown; empty if they may be.

        Example:
            >>> Permissions().why_not("visa", ["candle"])
            ''
            >>> Permissions().why_not("mvtec", ["bottle"])
            'the licence (CC BY-NC-SA 4.0) limits who may show them'
        """
        if _NONE in self.given:
            return "this site was made without pictures"
        if dataset in self.given or dataset == "demo" or set(categories) <= set(_OPEN.get(dataset, ())):
            return ""
        licence = READERS[dataset].licence if dataset in READERS else ""
        if licence and dataset not in _OPEN:
            return f"the licence ({licence}) limits who may show them"
        return "no licence is known that lets anybody show them"
