"""CLIP-AD: equal to the reference cases with and without the release's aliasing; prompts, scores, heads."""

from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from lvlm_ad.baseline import View
from lvlm_ad.errors import ConfigError

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "open_clip")), reason="the extra 'clip' is not installed"
    ),
]


@pytest.fixture
def clip_ad(tiny_clip, tmp_path):
    """Build a CLIP-AD on a tiny model."""
    from lvlm_ad_baselines.clip_ad import ClipAd, ClipAdOptions

    built = []

    def build(**options):
        settings = {"model": tiny_clip, "pretrained": "random", "device": "cpu", "text_cache": tmp_path / "texts"}
        built.append(ClipAd(ClipAdOptions(**{**settings, **options})))
        return built[-1]

    yield build
    for one in built:
        one.close()


@pytest.fixture(scope="module")
def cases(shared):
    with np.load(shared / "cases" / "clip_ad.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def published(check_drawn, tmp_path_factory):
    """Build CLIP-AD on the published architecture with the cases' random weights."""
    from lvlm_ad_baselines.clip_ad import ClipAd, ClipAdOptions

    texts, built, encode = tmp_path_factory.mktemp("texts"), [], None

    def build(**options):
        nonlocal encode
        built.append(ClipAd(ClipAdOptions(pretrained="random", device="cpu", text_cache=texts, **options)))
        clip = built[-1].clip
        if encode is None:
            check_drawn(clip)
            # All have the same weights: a prompt is encoded once.
            original = clip.texts
            encode = cache(lambda *prompts: original(prompts))
        clip.texts = lambda prompts: encode(*prompts)
        return built[-1]

    yield build
    for one in built:
        one.close()


def test_prototypes_equal_the_reference(cases, published):
    """The mean of 198 and 220 prompts agrees to 1e-6, and their largest cluster to the last digit of its rounding."""
    from lvlm_ad_baselines.clip.dual_path import ABNORMAL, NORMAL, largest_cluster
    from lvlm_ad_baselines.clip.prompts import ensemble

    built = published(representative="mean")
    assert np.abs(built.method.text("brick").numpy().T - cases["official/text_mvtec_mean"]).max() < 1e-6
    expected = cases["official/text_mvtec_dbscan"]
    chosen = published().method.text("brick").numpy()
    assert np.abs(chosen.T - expected).max() < 1e-4
    prompts = ensemble(NORMAL, "brick")
    assert len(prompts) == 198
    assert len(ensemble(ABNORMAL, "brick")) == 220
    half = largest_cluster(built.clip.texts(prompts), 0.5, 15).half()
    difference = np.abs((half / half.norm()).float().numpy() - expected[:, 0])
    # Sums of float32 differ between processors, so a few numbers are rounded to the next half.
    assert (difference <= 2 * np.spacing(np.abs(expected[:, 0]).astype(np.float16))).all()
    assert np.mean(difference < 1e-6) > 0.98


def test_the_largest_cluster_equals_the_reference(cases):
    """The vector is the mean of the larger of two clusters."""
    import torch
    from lvlm_ad_baselines.clip.dual_path import largest_cluster

    found = largest_cluster(torch.from_numpy(cases["official/cloud"]).float(), 0.5, 15)
    found = found / found.norm()
    assert np.abs(found.numpy() - cases["official/cloud_vec"]).max() < 1e-6


@pytest.mark.parametrize("alias", [True, False])
@pytest.mark.parametrize("kind", ["real", "synth"])
def test_scores_and_maps_equal_the_reference(cases, published, alias, kind):
    """Token scores, maps and image scores agree to 2e-6, for the released code and for the method as published."""
    import torch

    given = cases["official/text_mvtec_dbscan"].T if kind == "real" else cases["synth_text"]
    text = torch.from_numpy(given.copy())
    with torch.inference_mode():
        found = published(alias=alias).method.score_squares(cases["images_u8"], text)
    prefix = f"official/{kind}" if alias else f"clean/noalias_{kind}"
    tokens = cases[f"{prefix}_sim"]
    assert np.abs(found.tokens.numpy() - (tokens[..., 1] if tokens.ndim == 3 else tokens)).max() < 2e-6
    assert np.abs(found.map - cases[f"{prefix}_map"]).max() < 2e-6
    assert np.abs(found.smoothed - cases[f"{prefix}_smooth8"]).max() < 2e-6
    assert np.abs(found.text.numpy() - cases[f"{prefix}_cls"]).max() < 2e-6
    assert np.abs(found.smoothed.max(axis=(1, 2)) - cases[f"{prefix}_max"]).max() < 2e-6


def test_where_all_is_noise_the_mean_stands():
    """Without any cluster the vector is the mean of all."""
    import torch
    from lvlm_ad_baselines.clip.dual_path import largest_cluster

    vectors = torch.eye(6)
    assert torch.allclose(largest_cluster(vectors, 0.1, 3), torch.full((6,), 1 / 6))


def test_surgery_is_what_the_release_writes_out():
    """The formula p_a c_a - p_n c_n equals the released computation."""
    import torch
    from lvlm_ad_baselines.clip.dual_path import surgery

    torch.manual_seed(0)
    features, text = (torch.nn.functional.normalize(torch.randn(*shape), dim=-1) for shape in ((2, 5, 8), (2, 8)))
    weights = (features[:, :1] @ text.T).softmax(dim=-1)
    weights = weights / weights.mean(dim=-1, keepdim=True)
    products = features[:, :, None] * text * weights.transpose(1, 2)[:, None]
    expected = (products - products.mean(dim=2, keepdim=True)).sum(dim=-1)[..., 1]
    assert torch.allclose(surgery([features], text), expected, atol=1e-6)
    assert torch.allclose(surgery([features, features], text.expand(2, 2, 8)), 2 * expected, atol=1e-6)


def test_the_plain_path_is_clip(clip_ad):
    """The second path does not change CLIP's image embedding."""
    import torch
    from lvlm_ad_baselines.clip.dual_path import dual_path

    clip = clip_ad().clip
    squares = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        tokens = clip.tokens(clip.pictures(squares))
        paths = [dual_path(clip, tokens, alias=True, with_patches=wanted) for wanted in (False, True)]
        expected = clip.classes(tokens)
        last = clip.all_tokens(tokens)
    for features, _ in paths:
        assert len(features) == 4
        assert torch.allclose(features[-1][:, 0], expected, atol=1e-6)
    assert paths[0][1] == []
    assert torch.allclose(paths[1][1][-1], last[:, 1:], atol=1e-5)


def test_a_number_of_blocks_that_cannot_be_parted_is_refused(clip_ad, monkeypatch):
    """A tower whose blocks cannot be divided into four stages is refused."""
    from lvlm_ad_baselines.clip.model import Clip

    built = clip_ad()
    blocks = built.clip.blocks
    monkeypatch.setattr(Clip, "blocks", blocks[:3])
    with pytest.raises(ConfigError, match="multiple of 4 blocks; this one has 3"):
        built.score(View(np.zeros((64, 64, 3), np.uint8), "bolt", ""))


def test_image_scores_are_stretched_over_the_category(clip_ad):
    """Both scores are stretched to 0..1 over the category and averaged; equal scores become 0."""
    built = clip_ad()
    assert built.finalize_category([(0.2, -1.0), (0.6, 0.0), (0.4, 1.0)]) == pytest.approx([0.0, 0.75, 0.75])
    assert built.finalize_category([(0.5, 0.1), (0.5, 0.3)]) == pytest.approx([0.0, 0.5])
    assert built.finalize_category([(0.5, 0.1)]) == [0.0]


def test_image_scores_by_themselves(clip_ad):
    """Text and map use one score, sum their mean; only category depends on other images, with a note."""
    view = View(np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8), "bolt", "")
    found = {kind: clip_ad(image_score=kind).score(view) for kind in ("text", "map", "sum", "category")}
    assert found["sum"].image == pytest.approx((found["text"].image + found["map"].image) / 2)
    assert found["category"].parts == pytest.approx((found["text"].image, 2 * found["map"].image - 1), abs=1e-6)
    assert all(found[kind].parts == () for kind in ("text", "map", "sum"))
    assert any("other test images" in note for note in clip_ad().notes)
    assert not clip_ad(image_score="text").notes


def test_maps_keep_their_order(clip_ad):
    """The map in 0..1 is a linear function of the scores, without clipping."""
    built = clip_ad(sigma=1.0)
    pictures = np.random.default_rng(2).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    for picture in pictures:
        raw = built.method.score_squares(picture[None], built.method.text("bolt")).smoothed[0]
        dense = built.score(View(picture, "bolt", "")).map
        assert np.allclose(dense, (1 + raw) / 2, atol=1e-6)
        assert 0 < dense.min() < dense.max() < 1


@pytest.fixture
def heads(tmp_path):
    """Four random heads for the tiny model, as the authors' files hold them."""
    import torch

    torch.manual_seed(3)
    named = {}
    for stage in range(4):
        named[f"fc.{stage}.weight"] = torch.randn(48, 64)
        named[f"fc.{stage}.bias"] = torch.randn(48)
    torch.save({"linear_layers": named}, tmp_path / "heads.pth")
    return named


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_heads_add_their_probabilities(clip_ad, heads, tmp_path, suffix):
    """Heads add, per stage, the softmax of 100 times the cosines of mapped patches to the untrained map."""
    import torch
    from lvlm_ad_baselines.clip.dual_path import dual_path
    from safetensors.torch import save_file

    path = tmp_path / f"heads.{suffix}"
    if suffix == "safetensors":
        save_file(heads, path)
    built, without = clip_ad(heads=path), clip_ad(alias=True)
    squares = np.random.default_rng(4).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    text = built.method.text("bolt")
    with torch.inference_mode():
        found, plain = built.method.score_squares(squares, text), without.method.score_squares(squares, text)
        tokens = built.clip.tokens(built.clip.pictures(squares))
        expected = torch.from_numpy(plain.map)
        for stage, patches in enumerate(dual_path(built.clip, tokens, alias=True, with_patches=True)[1]):
            mapped = patches @ heads[f"fc.{stage}.weight"].T + heads[f"fc.{stage}.bias"]
            scores = 100 * (mapped / mapped.norm(dim=-1, keepdim=True)) @ text.T
            square = scores.reshape(2, 4, 4, 2).permute(0, 3, 1, 2)
            large = torch.nn.functional.interpolate(square, size=64, mode="bilinear", align_corners=True)
            expected = expected + large.softmax(dim=1)[:, 1]
    assert np.allclose(found.map, expected.numpy(), atol=1e-5)
    assert built.identity()["alias"] is True
    assert without.identity()["alias"] is True
    assert built.identity() != without.identity()
    assert str(tmp_path) not in str(built.identity())
    scores = built.score(View(squares[0], "bolt", ""))
    assert 0 <= scores.map.min() < scores.map.max() <= 1


def test_heads_of_something_else_are_refused(clip_ad, heads, tmp_path, monkeypatch):
    """A missing file, another model's heads, a text and a pickle with code are one-line errors, and no code runs."""
    import torch

    class Evil:
        def __reduce__(self):
            return open, ("evil", "w")

    monkeypatch.chdir(tmp_path)
    view = View(np.zeros((64, 64, 3), np.uint8), "bolt", "")
    with pytest.raises(ConfigError, match=r"nowhere\.pth cannot be read .*No such file"):
        clip_ad(heads="nowhere.pth").identity()
    torch.save({"linear_layers": {**heads, "fc.2.weight": torch.zeros(3, 3)}}, "other.pth")
    with pytest.raises(ConfigError, match=r"no heads for this model: it lacks fc\.2\.weight of 48 x 64"):
        clip_ad(heads="other.pth").score(view)
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"linear_layers": Evil()}, "evil.pth")
    torch.save([1, 2], "list.pth")
    torch.save({name: value.to(torch.complex64) for name, value in heads.items()}, "complex.pth")
    for name in ("text.pth", "evil.pth"):
        with pytest.raises(ConfigError, match=r"cannot be read \(it is damaged, or holds other things than tensors\)"):
            clip_ad(heads=name).identity()
    for name in ("list.pth", "complex.pth"):
        with pytest.raises(ConfigError, match="no heads"):
            clip_ad(heads=name).identity()
    assert not (tmp_path / "evil").exists()


def test_heads_are_named_by_their_values(clip_ad, heads, tmp_path):
    """The heads' hash depends on their values, not on their file."""
    import torch
    from safetensors.torch import save_file

    save_file(heads, tmp_path / "heads.safetensors")
    torch.save({**heads, "fc.0.bias": heads["fc.0.bias"] + 1}, tmp_path / "others.pth")
    names = [
        clip_ad(heads=tmp_path / name).identity()["heads"] for name in ("heads.pth", "heads.safetensors", "others.pth")
    ]
    assert names[0] == names[1] != names[2]
