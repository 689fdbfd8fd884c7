"""CLIP-AC: image scores by text alone."""

from importlib.util import find_spec

import numpy as np
import pytest

from lvlm_ad.baseline import View

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "open_clip")), reason="the extra 'clip' is not installed"
    ),
]


def test_with_winclips_prompts_it_gives_winclips_image_score(tiny_clip, tmp_path):
    """With WinCLIP's prompts, CLIP-AC gives WinCLIP's image score on a square picture."""
    from lvlm_ad_baselines.clip_ac import ClipAc, ClipAcOptions
    from lvlm_ad_baselines.winclip import WinClip, WinClipOptions

    settings = {"model": tiny_clip, "pretrained": "random", "device": "cpu", "text_cache": tmp_path}
    view = View(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), "metal_nut", "")
    window = WinClip(WinClipOptions(**settings))
    found = {}
    for prompts in ("plain", "templates", "winclip"):
        built = ClipAc(ClipAcOptions(prompts=prompts, **settings))
        found[prompts] = built.score(view)
        built.close()
    assert found["winclip"].image == pytest.approx(window.score(view).image, abs=1e-6)
    assert len({scores.image for scores in found.values()}) == 3
    assert not found["plain"].map.any()
    assert ClipAc.rows == ("regions",)
    window.close()


@pytest.mark.parametrize("name", ["ClipAc", "WinClip", "ClipAd"])
def test_damaged_weights_give_no_score(tiny_clip, tmp_path, name):
    """A NaN weight gives no score."""
    import open_clip
    import torch
    from lvlm_ad_baselines import clip_ac, clip_ad, winclip

    state = open_clip.create_model(tiny_clip).state_dict()
    state["visual.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, tmp_path / "damaged.pt")
    settings = {"model": tiny_clip, "pretrained": str(tmp_path / "damaged.pt"), "device": "cpu", "text_cache": tmp_path}
    module = {"ClipAc": clip_ac, "WinClip": winclip, "ClipAd": clip_ad}[name]
    built = getattr(module, name)(getattr(module, f"{name}Options")(**settings))
    found = built.score(View(np.full((64, 64, 3), 100, np.uint8), "bolt", ""))
    assert np.isnan(found.image) or np.isnan(found.map).any()
    assert found.image != 1.0
    built.close()


def test_the_plain_question_has_two_prompts(tiny_clip, tmp_path):
    """The plain prompts are compared by a softmax at the model's temperature."""
    import torch
    from lvlm_ad_baselines.clip_ac import ClipAc, ClipAcOptions

    built = ClipAc(ClipAcOptions(model=tiny_clip, pretrained="random", device="cpu", text_cache=tmp_path))
    picture = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    clip = built.clip
    with torch.inference_mode():
        image = clip._model.encode_image(clip.pictures(picture[None]))
        text = clip.texts(["a photo of a normal metal nut.", "a photo of an anomalous metal nut."])
        cosines = torch.nn.functional.cosine_similarity(image, text)
    expected = torch.softmax(cosines / clip.temperature, dim=0)[1]
    assert built.score(View(picture, "metal_nut", "")).image == pytest.approx(float(expected), abs=1e-6)
    built.close()
