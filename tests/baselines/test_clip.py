"""The CLIP model that the baselines share, its prompts, and what goes wrong with weights."""

import json
import pickle
from importlib.util import find_spec

import numpy as np
import pytest

from lvlm_ad.baseline import View
from lvlm_ad.errors import ConfigError
from lvlm_ad.plugins import build, find_model

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "open_clip")), reason="the extra 'clip' is not installed"
    ),
]


@pytest.fixture
def clip(tiny_clip):
    from lvlm_ad_baselines.clip.model import Clip

    return Clip(tiny_clip, "random", "cpu", "float32")


@pytest.fixture
def squares():
    return np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)


def winclip(tmp_path, **options):
    from lvlm_ad_baselines.winclip import WinClip, WinClipOptions

    return WinClip(WinClipOptions(text_cache=tmp_path / "texts", device="cpu", **options))


def test_the_class_token_alone_is_the_image_embedding(clip, squares):
    """The class token alone gives the same embedding as encode_image."""
    import torch

    with torch.inference_mode():
        pictures = clip.pictures(squares)
        expected = torch.nn.functional.normalize(clip._model.encode_image(pictures), dim=-1)
        tokens = clip.tokens(pictures)
        assert torch.allclose(clip.classes(tokens), expected, atol=1e-6)
        assert torch.allclose(clip.embedded(clip.all_tokens(tokens)[:, 0]), expected, atol=1e-6)


def test_pictures_are_normalised_as_the_weights_were_trained(clip, squares):
    """Pictures are scaled to 0..1 and normalised by CLIP's mean and standard deviation, channels first."""
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = (squares / 255 - mean) / std
    assert np.allclose(clip.pictures(squares).numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_cutting_texts_at_their_longest_is_exact(clip):
    """Prompts of any length, alone or together, have the embeddings of encode_text."""
    import open_clip
    import torch

    prompts = ["a", "a photo of the metal nut for visual inspection.", "a", "word " * 200]
    with torch.inference_mode():
        expected = clip._model.encode_text(open_clip.get_tokenizer(clip._name)(prompts))
    assert torch.allclose(clip.texts(prompts), expected, atol=1e-5)
    assert torch.allclose(clip.texts(prompts[:1]), expected[:1], atol=1e-5)


def test_prompts_are_encoded_once_for_all_runs(clip, tmp_path, monkeypatch):
    """A cached vector is not computed again, a damaged one is; other prompts and other means have their own files."""
    from lvlm_ad_baselines.clip.prompts import Prototypes, mean, raw_mean

    encoded = []
    texts = clip.texts
    monkeypatch.setattr(clip, "texts", lambda prompts: encoded.append(prompts) or texts(prompts))
    first = Prototypes(clip, tmp_path).get(("a", "b"), mean, "mean")
    assert float(first.norm()) == pytest.approx(1)
    again = Prototypes(clip, tmp_path).get(("a", "b"), mean, "mean")
    assert len(encoded) == 1
    assert (first == again).all()
    (file,) = tmp_path.iterdir()
    for damaged in (b"", b"\x93NUMPY nonsense", pickle.dumps(first.numpy())):
        file.write_bytes(damaged)
        assert (Prototypes(clip, tmp_path).get(("a", "b"), mean, "mean") == first).all()
    assert len(encoded) == 4
    Prototypes(clip, tmp_path).get(("a", "c"), mean, "mean")
    Prototypes(clip, tmp_path).get(("a", "b"), raw_mean, "raw_mean")
    assert len(encoded) == 6


def test_a_cache_that_cannot_be_written_costs_time_only(clip, tmp_path):
    """If the cache's folder is a file, vectors are still computed."""
    from lvlm_ad_baselines.clip.prompts import Prototypes, mean

    (tmp_path / "file").write_text("")
    assert len(Prototypes(clip, tmp_path / "file").get(("a",), mean, "mean")) == 48


def test_methods_on_the_same_weights_share_them(tiny_clip, tmp_path):
    """Two baselines share one model, which is released when both are closed."""
    import gc
    import weakref

    first, second = (winclip(tmp_path, model=tiny_clip, pretrained="random") for _ in range(2))
    assert first.clip is second.clip
    kept = weakref.ref(first.clip)
    first.close()
    second.close()
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_of_a_file_are_named_by_their_content(tiny_clip, tmp_path, suffix):
    """The same weights are the same model whatever their file, and are not labelled as random."""
    import torch
    from safetensors.torch import save_file

    start = winclip(tmp_path, model=tiny_clip, pretrained="random")
    weights, file = start.clip._model.state_dict(), tmp_path / f"my weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(weights, file)
    loaded = winclip(tmp_path, model=tiny_clip, pretrained=str(file))
    assert loaded.identity() == start.identity()
    assert (start.label, start.notes) == ("random weights", ())
    assert (loaded.label, loaded.notes) == ("", (f"weights my weights.{suffix}",))
    torch.save({**weights, "logit_scale": weights["logit_scale"] + 1}, tmp_path / "other.pt")
    assert winclip(tmp_path, model=tiny_clip, pretrained=str(tmp_path / "other.pt")).identity() != start.identity()


def test_the_same_weights_under_another_activation_are_another_model(tiny_clip, tmp_path):
    """The same weights with another activation have another hash."""
    import open_clip
    from lvlm_ad_baselines.clip.model import Clip

    config = {**open_clip.get_model_config(tiny_clip), "quick_gelu": True}
    (tmp_path / "tiny-quick.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-quick.json")
    plain, again, quick = (Clip(name, "random", "cpu", "float32") for name in (tiny_clip, tiny_clip, "tiny-quick"))
    weights = [list(one._model.state_dict().values()) for one in (plain, quick)]
    assert all((one == other).all() for one, other in zip(*weights, strict=True))
    assert plain.weights_hash == again.weights_hash != quick.weights_hash


def test_a_tokenizer_that_cannot_be_had_is_one_line(tmp_path, monkeypatch):
    """A tokenizer that cannot be loaded is a one-line error."""
    from huggingface_hub import constants
    from lvlm_ad_baselines.clip.model import load_tokenizer

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="The tokenizer of ViT-B-16-SigLIP cannot be loaded") as caught:
        load_tokenizer("ViT-B-16-SigLIP")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "ViT-B-16-plus-24"}, "has no model 'ViT-B-16-plus-24'. Did you mean 'ViT-B-16-plus'"),
        ({"model": "RN50", "pretrained": "random"}, "RN50 is not a plain vision transformer"),
        ({"model": "ViT-B-16-SigLIP", "pretrained": "random"}, "not a plain vision transformer"),
        ({"pretrained": "laion400m_e33"}, "no such file, and open_clip has laion400m_e31, laion400m_e32"),
        ({"pretrained": "nothing.pt"}, "no such file"),
        (
            {"pretrained": "laion400m_e32"},
            "would load timm/vit_base_patch16_plus_clip_240.laion400m_e31 for laion400m_e32",
        ),
    ],
)
def test_what_is_not_there_is_said_in_one_line(tmp_path, options, message):
    """An unknown model, another kind of tower, an unknown tag and a missing file are one-line errors."""
    with pytest.raises(ConfigError) as caught:
        winclip(tmp_path, **options).identity()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_network_the_message_names_the_file(tmp_path, monkeypatch):
    """Without a network, the error names the missing file and how to give it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        winclip(tmp_path).identity()
    for part in ("timm/vit_base_patch16_plus_clip_240.laion400m_e31", "--set pretrained=FILE", "8fb26589.pt"):
        assert part in str(caught.value)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return open, ("evil", "w")


def test_pickled_code_in_a_file_of_weights_does_not_run(tiny_clip, tmp_path, monkeypatch):
    """A file with other content, another model's weights or code is a one-line error, and no code runs."""
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"logit_scale": Evil()}, tmp_path / "evil.pt")
    torch.save({"logit_scale": torch.zeros(())}, tmp_path / "little.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("evil.pt", "little.pt", "text.pt"):
        with pytest.raises(ConfigError, match="holds no weights of tiny-clip that can be loaded"):
            winclip(tmp_path, model=tiny_clip, pretrained=name).identity()
    assert not (tmp_path / "evil").exists()


def test_listing_models_loads_none():
    """Building a CLIP baseline, as ``lvlm-ad models`` does, loads no weights."""
    for name in ("winclip", "clip-ad", "clip-ac"):
        assert build(find_model(name, {})[0])._clip is None


def test_many_threads_get_their_own_scores(tiny_clip, tmp_path):
    """Concurrent pictures are scored in batches, with the same scores as alone."""
    from concurrent.futures import ThreadPoolExecutor

    draw = np.random.default_rng(1)
    views = [View(draw.integers(0, 255, (64, 64, 3), dtype=np.uint8), f"thing {n % 3}", "") for n in range(12)]
    alone = winclip(tmp_path, model=tiny_clip, pretrained="random")
    together = winclip(tmp_path, model=tiny_clip, pretrained="random", batch_size=4)
    with ThreadPoolExecutor(together.concurrency) as pool:
        found = list(pool.map(together.score, views))
    for view, scores in zip(views, found, strict=True):
        expected = alone.score(view)
        assert scores.image == pytest.approx(expected.image, abs=1e-6)
        assert np.allclose(scores.map, expected.map, atol=1e-6)
    assert together._batches.statistics.batches < len(views)
    alone.close()
    together.close()
