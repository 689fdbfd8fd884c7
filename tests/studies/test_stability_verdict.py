"""What the verdict of a stability study says of each reason why two versions may seem to differ."""

import pytest

from lvlm_ad.studies.stability_record import AurocNoise
from lvlm_ad.studies.stability_verdict import verdict


@pytest.mark.parametrize(
    ("asking", "factor", "said"),
    [
        (0.03, 0.01, "asking again changes image AUROC by up to 3.0 points."),
        (0.01, 0.03, "marks (wide) changes image AUROC by 3.0 points (asking again: by up to 1.0 points)."),
        (None, 0.03, "marks (wide) changes image AUROC by 3.0 points."),
    ],
)
def test_the_largest_change_is_named(asking, factor, said):
    """Beside the change at a level stands that of asking again, which it includes."""
    noise = AurocNoise(asking_sd=None, asking=asking, sampling=0.01, factor=factor, level="marks (wide)")
    assert verdict(noise, 0.9, 100, 1) == f"Too unstable to tell two versions 2 points apart: {said}"
