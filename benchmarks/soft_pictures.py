"""Pictures for benchmarks: soft shapes under fine grain, which PNG stores and reads as it does photographs."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["soft_pictures"]


def soft_pictures(count: int, side: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return ``count`` different pictures, uint8 ``(side, side, 3)``; the same for the same seed."""
    draw = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        shapes = Image.fromarray(draw.integers(0, 255, (12, 12, 3), dtype=np.uint8))
        soft = np.asarray(shapes.resize((side, side), Image.Resampling.BICUBIC))
        pictures.append(soft // 2 + draw.integers(0, 4, (side, side, 1), dtype=np.uint8))
    return pictures
