"""The sizes that a study of grounding asks if the user names none."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lvlm_ad.evaluate import RunConfig
from lvlm_ad.studies import GroundingOptions, price_grounding

GROUNDED = str(Path(__file__).with_name("grounding_model.py")) + ":Grounded"


@pytest.mark.slow
def test_default_sizes_only_enlarge_what_is_asked_for(tmp_path):
    """Of the usual sizes those up to the largest image's larger side are asked; the others are named."""
    for kind, width in (("good", 1100), ("hole", 300)):
        folder = tmp_path / "data" / "bolt" / "test" / kind
        folder.mkdir(parents=True)
        Image.new("RGB", (width, 200)).save(folder / "000.png")
    config = RunConfig(models=GROUNDED, data=tmp_path / "data", out=tmp_path / "out")
    options = GroundingOptions(2, ("resolution",))
    price = price_grounding(config, options)
    assert [one["name"] for one in price["conditions"]] == ["base", "size-384", "size-512", "size-1024"]
    (left,) = [one for one in price["left_out"] if one["what"].startswith("size-")]
    assert left == {"what": "size-2048", "reason": "the largest image has 1100 px; ask for it with --image-size"}
    named = price_grounding(config, replace(options, sizes=(2048,)))
    assert [one["name"] for one in named["conditions"]] == ["base", "size-2048"]
