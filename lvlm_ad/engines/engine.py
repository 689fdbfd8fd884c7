"""What an engine does: cut images and hold models, wherever that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.datasets import Sample
    from lvlm_ad.engines.cutting import Cutting
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import StoredDivision

__all__ = ["Engine"]


class Engine(Protocol):
    """Does the work that can be done elsewhere. It writes nothing: what it gives is stored by whoever asked."""

    def divide(
        self, samples: Sequence[Sample], cutting: Cutting, done: Callable[[Sample], bool]
    ) -> Iterator[tuple[Sample, StoredDivision | str | None]]:
        """Cut images into regions and count their ground truth, in any order.

        Args:
            samples: the images.
            cutting: how.
            done: whether somebody else has cut an image meanwhile; asked where cutting is slow.

        Yields:
            A sample with its division, with what is wrong with its files, or with None where it was done.

        Raises:
            ConfigError: the model that divides cannot be found or used, or machines differ.
        """

    def placed(self, model: Model) -> Backend | Baseline:
        """Return a model, built; its ``identity`` is what decides its answers where it will run.

        Raises:
            ConfigError: an option is wrong, or it cannot run there.
            PluginError: it cannot be built.
        """
