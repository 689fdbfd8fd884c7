"""What all methods of division have in common: the area limits, and what identifies a division."""

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
    """Whether one process divides all images, because its model is too large to be loaded in several."""

    min_area: Annotated[float, Field(ge=0)] = 600
    """A region is kept if it is larger than this many pixels of a 768 x 768 image."""
    max_area: Annotated[float, Field(gt=0)] = 120_000
    """A region is kept if it is smaller than this many pixels of a 768 x 768 image."""

    def identity(self) -> dict[str, Any]:
        """Return, as JSON, everything that the regions of an image depend on, and nothing else.

        Raises:
            ConfigError: a model's weights cannot be found.
        """
        return self.model_dump(mode="json")

    def record(self) -> dict[str, Any]:
        """Return what a run's manifest records: the identity, and the names that the user gave.

        Raises:
            ConfigError: a model's weights cannot be found.
        """
        return self.identity()

    def release(self) -> None:
        """Free the memory of a model; called when a data set is divided."""

    def fits(self, areas: NDArray[np.int64], pixels: int) -> NDArray[np.bool_]:
        """Tell which regions are neither too small nor too large.

        Args:
            areas: int64 ``(R,)``, the pixels of each region.
            pixels: the pixels of the image; the limits scale with them.

        Returns:
            bool ``(R,)``.
        """
        scale = pixels / _PUBLISHED_AREA
        return (areas > self.min_area * scale) & (areas < self.max_area * scale)
