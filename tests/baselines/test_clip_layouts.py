"""Weights of CLIP from other programs: transformers, checkpoints of trainings, and files that are no weights."""

import json

import numpy as np
import pytest

from lvlm_ad.errors import ConfigError

pytestmark = pytest.mark.heavy


@pytest.fixture
def start(tiny_clip):
    """The model with random weights."""
    from lvlm_ad_baselines.clip.model import Clip

    return Clip(tiny_clip, "random", "cpu", "float32")


def load(tiny_clip, path):
    """Load weights into the model."""
    from lvlm_ad_baselines.clip.model import Clip

    return Clip(tiny_clip, str(path), "cpu", "float32")


def of_transformers(folder, act="gelu", text_heads=2):
    """Save a small CLIP of transformers with random weights; return it."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    vision = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
    text = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": text_heads}
    config = CLIPConfig(
        vision_config={**vision, "image_size": 64, "patch_size": 16, "hidden_act": act},
        text_config={**text, "vocab_size": 49408, "max_position_embeddings": 77, "hidden_act": act},
        projection_dim=48,
    )
    torch.manual_seed(1)
    model = CLIPModel(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("act", ["gelu", "quick_gelu"])
def test_weights_of_transformers_give_the_same_vectors(tiny_clip, tmp_path, act):
    """A folder as transformers writes it is loaded, with its activation and its normalisation of pictures."""
    import torch

    theirs = of_transformers(tmp_path, act)
    statistics = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(statistics))
    ours = load(tiny_clip, tmp_path)
    square = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    pictures = ours.pictures(square)
    expected = (square[0, 0, 0] / 255 - statistics["image_mean"]) / statistics["image_std"]
    assert pictures[0, :, 0, 0].numpy() == pytest.approx(expected, abs=1e-6)
    with torch.inference_mode():
        image = theirs.visual_projection(theirs.vision_model(pixel_values=pictures).pooler_output)
        tokens = torch.tensor([[49406, 5, 9, 49407]])
        text = theirs.text_projection(theirs.text_model(input_ids=tokens).pooler_output)
        padded = torch.nn.functional.pad(tokens, (0, 73))
        assert torch.allclose(ours.classes(ours.tokens(pictures)), image / image.norm(), atol=1e-5)
        assert torch.allclose(ours._model.encode_text(padded), text, atol=1e-5)
    assert load(tiny_clip, tmp_path / "model.safetensors").weights_hash == ours.weights_hash


def test_weights_of_transformers_need_their_configuration(tiny_clip, tmp_path):
    """Without config.json the activation is unknown; with other heads the vectors would be others."""
    of_transformers(tmp_path, text_heads=4)
    with pytest.raises(ConfigError, match=r"its towers have \(4, 4\) attention heads, but the model's have \(4, 2\)"):
        load(tiny_clip, tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"weights of the transformers library .*put that file beside it"):
        load(tiny_clip, tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("model.", ("state_dict",)),
        ("", ("model",)),
        ("module.", ("model",)),
        ("clip.", ()),
        ("_orig_mod.module.", ("state_dict",)),
        ("net.clip_model.", ("checkpoint", "model_state_dict")),
    ],
)
def test_checkpoints_of_trainings_are_the_same_model(tiny_clip, tmp_path, start, prefix, path):
    """Names behind a prefix and in inner dictionaries hold the same weights; what lies beside them is no part."""
    import torch

    content = {f"{prefix}{name}": value for name, value in start._model.state_dict().items()}
    if prefix:
        content |= {"loss.weight": torch.zeros(3)}
    for name in reversed(path):
        content = {"epoch": 3, "optimizer": {"state": {0: torch.zeros(2)}}, name: content}
    torch.save(content, tmp_path / "last.ckpt")
    assert load(tiny_clip, tmp_path / "last.ckpt").weights_hash == start.weights_hash


def test_of_several_models_none_is_taken(tiny_clip, tmp_path, start):
    """A checkpoint with a student and a teacher names both."""
    import torch

    weights = start._model.state_dict()
    torch.save({"student": weights, "teacher": weights}, tmp_path / "both.pt")
    with pytest.raises(ConfigError, match=r"holds several models \('student', 'teacher'\)"):
        load(tiny_clip, tmp_path / "both.pt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
        ("a.pt", b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page, not the weights"),
        ("a.bin", b"", "is empty; download it again"),
    ],
)
def test_what_is_no_file_of_weights_is_named(tiny_clip, tmp_path, name, content, message):
    """A Git LFS pointer, a web page and an empty file are told, each with what to do."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(tiny_clip, tmp_path / name)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_cut_off_file_is_named(tiny_clip, tmp_path, start, suffix):
    """A download that ended early is told as such."""
    import torch
    from safetensors.torch import save_file

    path = tmp_path / f"a.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(start._model.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ConfigError, match=r"is cut off: (1,000 bytes|the last bytes) are missing; download it again"):
        load(tiny_clip, path)


def test_a_folder_without_weights_is_named(tiny_clip, tmp_path):
    """A folder is read if it holds weights under one of the usual names."""
    with pytest.raises(ConfigError, match=r"holds none of open_clip_model\.safetensors"):
        load(tiny_clip, tmp_path)
