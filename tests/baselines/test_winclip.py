"""WinCLIP: equal to the reference cases, its invariants, tiles, references."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvlm_ad.baseline import View

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "open_clip")), reason="the extra 'clip' is not installed"
    ),
]
PUBLISHED = "ViT-B-16-plus-240"


@pytest.fixture
def winclip(tiny_clip, tmp_path):
    """Build a WinCLIP; on a tiny model unless another is named."""
    from lvlm_ad_baselines.winclip import WinClip, WinClipOptions

    built = []

    def build(**options):
        settings = {"model": tiny_clip, "pretrained": "random", "device": "cpu", "text_cache": tmp_path / "texts"}
        built.append(WinClip(WinClipOptions(**{**settings, **options})))
        return built[-1]

    yield build
    for one in built:
        one.close()


@pytest.fixture(scope="module")
def cases(shared):
    with np.load(shared / "cases" / "winclip.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def published(check_drawn, cases, tmp_path_factory):
    """The published architecture with the cases' random weights: its method and the embedded images of the cases."""
    import torch
    from lvlm_ad_baselines.winclip import WinClip, WinClipOptions

    texts = tmp_path_factory.mktemp("texts")
    built = WinClip(WinClipOptions(model=PUBLISHED, pretrained="random", device="cpu", text_cache=texts))
    check_drawn(built.clip)
    with torch.inference_mode():
        yield built, built.method.embedded(cases["images_u8"], with_patches=False)
    built.close()


def rms(vectors):
    return float((vectors - vectors.mean(dim=-2, keepdim=True)).pow(2).mean().sqrt())


def test_prototypes_equal_the_reference(cases, published):
    """The vectors of 154 and 88 prompts equal the reference."""
    built, _ = published
    assert np.abs(built.method.text("brick").numpy() - cases["recommended/text"]).max() < 1e-6


@pytest.mark.parametrize(("kind", "temperature"), [("tau001", 0.01), ("tau007", 0.07)])
def test_scores_and_maps_equal_the_reference(cases, published, kind, temperature):
    """Scores of the image, of patches and of pixels agree with the reference to 2e-6."""
    from lvlm_ad_baselines.clip.tiles import enlarged
    from lvlm_ad_baselines.clip.windows import window_scores

    built, embedded = published
    scores, maps = window_scores(embedded, built.method.text("brick"), temperature, 15)
    assert np.abs(scores.numpy() - cases[f"recommended/{kind}_score"]).max() < 2e-6
    assert np.abs(maps.numpy() - cases[f"recommended/{kind}_grid"]).max() < 2e-6
    pixels = np.stack([enlarged(grid, (240, 240)) for grid in maps.numpy()])
    assert np.abs(pixels - cases[f"recommended/{kind}_map"]).max() < 2e-6


def test_the_other_variant_scores_as_its_reference(cases, published):
    """With given text vectors, the scores equal those of zqhang's re-implementation."""
    import torch
    from lvlm_ad_baselines.clip.windows import window_scores

    _, embedded = published
    text = torch.nn.functional.normalize(torch.from_numpy(cases["synth_text"]), dim=-1)
    scores, maps = window_scores(embedded, text, 0.07, 15)
    assert np.abs(scores.numpy() - cases["zqhang_variant/synth_score"]).max() < 2e-6
    assert np.abs(maps.numpy() - cases["zqhang_variant/synth_grid"]).max() < 2e-6


def test_embeddings_equal_the_reference_and_windows_differ(cases, published):
    """Image embeddings agree to 1e-6, and windows of one picture differ: attention does not run across them."""
    _, embedded = published
    expected = cases["image_emb"] / np.linalg.norm(cases["image_emb"], axis=1, keepdims=True)
    assert np.abs(embedded.image.numpy() - expected).max() < 1e-6
    for side in (2, 3):
        assert rms(embedded.windows[side]) > 1e-3


def test_one_picture_scores_as_the_reference(cases, published):
    """From pixels to the map, one picture scores as the reference."""
    from lvlm_ad_baselines.winclip import WinClip, WinClipOptions

    built, _ = published
    texts = built.options.text_cache
    options = WinClipOptions(model=PUBLISHED, pretrained="random", device="cpu", temperature=0.01, text_cache=texts)
    other = WinClip(options)
    scores = other.score(View(cases["images_u8"][1], "brick", ""))
    other.close()
    assert scores.image == pytest.approx(float(cases["recommended/tau001_score"][1]), abs=2e-6)
    assert np.abs(scores.map - cases["recommended/tau001_map"][1]).max() < 2e-6


def test_both_variants_have_their_prompts(winclip, monkeypatch):
    """The variant paper uses 22 templates and "metal nut"; zqhang 21 with a duplicate, and the folder's name."""
    asked = {}
    for variant in ("paper", "zqhang"):
        built = winclip(variant=variant)
        with monkeypatch.context() as patch:
            texts = built.clip.texts
            patch.setattr(built.clip, "texts", lambda prompts, of=variant, texts=texts: keep(asked, of, prompts, texts))
            built.method.text("metal_nut")
    assert [len(prompts) for prompts in asked["paper"]] == [154, 88]
    assert [len(prompts) for prompts in asked["zqhang"]] == [147, 84]
    assert all("metal nut" in prompt and prompt.endswith(".") for group in asked["paper"] for prompt in group)
    assert len(set(asked["paper"][0])) == 154
    assert all("metal_nut" in prompt for group in asked["zqhang"] for prompt in group)
    assert len(set(asked["zqhang"][0])) == 140
    assert "a photo of the metal nut with flaw for visual inspection." in asked["paper"][1]


def keep(asked, variant, prompts, texts):
    asked.setdefault(variant, []).append(list(prompts))
    return texts(prompts)


def scores_of(windows, image, temperature=0.1, grid=5):
    """The score and the map of a picture whose cosine differences are given."""
    import torch
    from lvlm_ad_baselines.clip.windows import Embedded, window_scores

    text = torch.tensor([[0.0], [1.0]])
    as_vectors = {side: torch.tensor(values, dtype=torch.float32)[None, :, None] for side, values in windows.items()}
    embedded = Embedded(torch.tensor([[image]], dtype=torch.float32), as_vectors, torch.zeros(1, 0, 1))
    scores, maps = window_scores(embedded, text, temperature, grid)
    return float(scores[0]), maps[0].numpy()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1.0))
def test_a_patch_has_the_harmonic_mean_of_the_scores_over_it(seed, temperature):
    """A corner patch is covered by one window of each side and the picture; no score exceeds the range of all."""
    draw = np.random.default_rng(seed)
    windows = {2: draw.uniform(-0.3, 0.3, 16), 3: draw.uniform(-0.3, 0.3, 9)}
    image = float(draw.uniform(-0.3, 0.3))
    score, patches = scores_of(windows, image, temperature)
    single = 1 / (1 + np.exp(-np.concatenate([[image], windows[2], windows[3]]) / temperature))
    assert score == pytest.approx(single[0], rel=1e-4)
    assert patches[0, 0] == pytest.approx(3 / (1 / single[[0, 1, 17]]).sum(), rel=1e-4)
    assert single.min() * 0.999 <= patches.min() <= patches.max() <= single.max() * 1.001


def test_equal_scores_give_that_score_everywhere():
    """Equal scores of all windows and the picture give a constant map."""
    score, patches = scores_of({2: np.full(16, 0.05), 3: np.full(9, 0.05)}, 0.05)
    assert np.allclose(patches, score, atol=1e-6)


def test_extreme_cosines_stay_numbers():
    """Extreme cosines at temperature 0.01 give no NaN; one clearly normal window gives 0."""
    _, patches = scores_of({2: np.array([-2.0] + [2.0] * 15), 3: np.full(9, 2.0)}, 2.0, temperature=0.01)
    assert np.isfinite(patches).all()
    assert patches[0, 0] < 1e-20
    assert patches[-1, -1] == pytest.approx(1)


def test_windows_are_row_by_row():
    """The first window is the upper left corner, the second one patch to the right."""
    from lvlm_ad_baselines.clip.windows import window_index

    index = window_index(15, 2)
    assert index.shape == (196, 4)
    assert index[:2].tolist() == [[0, 1, 15, 16], [1, 2, 16, 17]]
    assert index[-1].tolist() == [208, 209, 223, 224]
    assert window_index(15, 3).shape == (169, 9)


def test_windows_differ_and_their_order_is_free(winclip, monkeypatch):
    """Windows of one picture differ, and neither order, number nor portions change their vectors."""
    import torch
    from lvlm_ad_baselines.clip import windows as windows_method

    method = winclip().method
    squares = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        together = method.embedded(squares, with_patches=True)
        assert rms(together.windows[2]) > 1e-3
        assert rms(together.windows[3]) > 1e-3
        turned = method.embedded(squares[::-1].copy(), with_patches=False)
        alone = method.embedded(squares[2:3], with_patches=False)
        monkeypatch.setattr(windows_method, "_WINDOW_BYTES", 1)
        monkeypatch.setattr(method._clip, "_tokens_at_once", 12)
        in_portions = method.embedded(squares, with_patches=False)
    for side in (2, 3):
        assert torch.allclose(turned.windows[side].flip(0), together.windows[side], atol=1e-6)
        assert torch.allclose(alone.windows[side], together.windows[side][2:3], atol=1e-6)
        assert torch.allclose(in_portions.windows[side], together.windows[side], atol=1e-6)
    assert torch.allclose(alone.image, together.image[2:3], atol=1e-6)


def test_a_long_picture_is_looked_at_in_tiles(winclip):
    """A long picture's score is the mean over its tiles, and its map has theirs; zqhang resizes it."""
    original = np.random.default_rng(2).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    image = np.zeros((48, 48, 3), np.uint8)
    built = winclip()
    whole = built.score(View(image, "bolt", "", original=original))
    left, right = (built.score(View(tile, "bolt", "")) for tile in (original[:, :64], original[:, 32:]))
    assert whole.image == pytest.approx((left.image + right.image) / 2, abs=1e-6)
    assert whole.map.shape == (48, 48)
    assert whole.map[:, 0].mean() == pytest.approx(left.map[:, 0].mean(), abs=2e-3)
    squeezed = winclip(variant="zqhang").score(View(image, "bolt", "", original=original))
    assert squeezed.image != pytest.approx(whole.image, abs=1e-6)


def test_a_picture_like_its_reference_halves_its_scores(winclip):
    """With itself as a reference, half of the zero-shot score and map remain."""
    picture, other = np.random.default_rng(3).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    built = winclip()
    without = built.score(View(picture, "bolt", ""))
    same = built.score(View(picture, "bolt", "", original_references=(other, picture)))
    assert same.image == pytest.approx(without.image / 2, abs=1e-6)
    assert np.allclose(same.map, without.map / 2, atol=1e-6)
    unlike = built.score(View(picture, "nut", "", original_references=(other,)))
    assert unlike.image > built.score(View(picture, "nut", "")).image / 2


def test_differences_reference_map_follow_their_formulas(winclip):
    """The reference map follows its formula: (1 - cosine) / 2, harmonic over windows, arithmetic over scales."""
    import torch
    from lvlm_ad_baselines.clip.windows import reference_map, window_index

    picture, *others = np.random.default_rng(4).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    method = winclip().method
    with torch.inference_mode():
        one = method.embedded(picture[None], with_patches=True)
        kept = method._embedded_references(View(picture, "bolt", "", original_references=tuple(others)))[0]
        found = reference_map(one, kept, 4)[0]
    assert len(kept.patches) == 2 * 16
    maps = [(1 - (one.patches[0] @ kept.patches.T).max(dim=1).values) / 2]
    for side in (2, 3):
        apart = (1 - (one.windows[side][0] @ kept.windows[side].T).max(dim=1).values) / 2
        covering = [[apart[w] for w, patches in enumerate(window_index(4, side)) if at in patches] for at in range(16)]
        maps.append(torch.tensor([len(some) / sum(1 / float(value) for value in some) for some in covering]))
    expected = torch.stack(maps).mean(dim=0).reshape(4, 4)
    assert torch.allclose(found, expected, atol=1e-5)


def test_tiles_are_compared_with_the_same_tiles_of_references(winclip):
    """Tiles are compared with the same tiles of the references, or with all tiles if these have another number."""
    draw = np.random.default_rng(5)
    long, square = (draw.integers(0, 255, (64, width, 3), dtype=np.uint8) for width in (96, 64))
    image = np.zeros((32, 32, 3), np.uint8)
    built = winclip()
    without = built.score(View(image, "bolt", "", original=long))
    same = built.score(View(image, "bolt", "", original=long, original_references=(long,)))
    assert same.image == pytest.approx(without.image / 2, abs=1e-6)
    mixed = built.score(View(image, "nut", "", original=long, original_references=(square,)))
    assert 0 < mixed.image < 1


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives(tmp_path):
    """float32 on CUDA within 1e-4 of the CPU; bfloat16 ranks patches alike (correlation above 0.99)."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU here")
    from lvlm_ad_baselines.winclip import WinClip, WinClipOptions
    from scipy.stats import spearmanr

    pictures = np.random.default_rng(0).integers(0, 255, (2, 240, 240, 3), dtype=np.uint8)
    found = {}
    for device, dtype in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16")):
        built = WinClip(WinClipOptions(pretrained="random", device=device, dtype=dtype, text_cache=tmp_path))
        found[device, dtype] = [built.score(View(picture, "brick", "")) for picture in pictures]
        built.close()
    for one, other, half in zip(*found.values(), strict=True):
        assert other.image == pytest.approx(one.image, abs=1e-4)
        assert np.abs(other.map - one.map).max() < 1e-4
        assert spearmanr(half.map.ravel(), one.map.ravel()).statistic > 0.99
