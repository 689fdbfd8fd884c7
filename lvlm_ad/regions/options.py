"""What every method of division has in common: the area limits, and what decides its regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DivisionOptions"]

_PUBLISHED_AREA = 768 * 768
"""The image area, in pixels, to which the area limits refer."""


class DivisionOptions(BaseModel):
    """Options of a method of division."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_one_process: ClassVar[bool] = False
    """Images are divided one after the other in this process: a model is too large to be loaded in several."""

    min_area: Annotated[float, Field(ge=0)] = 600
    """A region is kept if it is larger than this many pixels of a 768 x 768 image."""
    max_area: Annotated[float, Field(gt=0)] = 120_000
    """A region is kept if it is smaller than this many pixels of a 768 x 768 image."""

    def identity(self) -> dict[str, Any]:
        """Return, as JSON, everything that decides the regions of an image, and nothing that does not.

        Raises:
            ConfigError: what decides them cannot be found.
        """
        return self.model_dump(mode="json")

    def record(self) -> dict[str, Any]:
        """Return what a run's manifest says: the identity, and the names under which its parts were given.

        Raises:
            ConfigError: what decides the regions cannot be found.
        """
        return self.identity()

    def release(self) -> None:
        """Give back what dividing took; called when a data set is divided."""

    def fits(self, areas: NDArray[np.int64], pixels: int) -> NDArray[np.bool_]:
        """Say which regions are neither too small nor too large.

        Args:
            areas: int64 ``(R,)``, the pixels of each region.
            pixels: the pixels of the image; the limits scale with them.

        Returns:
            bool ``(R,)``.
        """
        scale = pixels / _PUBLISHED_AREA
        return (areas > self.min_area * scale) & (areas < self.max_area * scale)
