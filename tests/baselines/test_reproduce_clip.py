"""Reproducing WinCLIP and CLIP-AD: the second computation equals public code, and the step that differs is named."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "open_clip")), reason="the extra 'clip' is not installed"
    ),
]
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    """Scripts import each other from their folder."""
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture
def straight():
    import straight_clip

    return straight_clip


@pytest.fixture(scope="module")
def winclip_cases(shared):
    with np.load(shared / "cases" / "winclip.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def clip_ad_cases(shared):
    with np.load(shared / "cases" / "clip_ad.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def published(check_drawn):
    """The published architecture with the cases' random weights."""
    import torch
    from lvlm_ad_baselines.clip.model import Clip

    clip = Clip("ViT-B-16-plus-240", "random", "cpu", "float32")
    check_drawn(clip)
    with torch.inference_mode():
        yield clip._model


@pytest.fixture
def reproduce(tiny_clip, tmp_path, monkeypatch, capsys):
    """Reproduce by recipes for a tiny model; returns the exit status and what was printed."""
    import open_clip
    import reproduce as script

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    count = sum(one.numel() for one in open_clip.create_model(tiny_clip).parameters())
    text = (BENCHMARKS / "reproduce.toml").read_text(encoding="utf-8")
    text = text.replace("ViT-B-16-plus-240", tiny_clip).replace("208_377_345", str(count))
    (tmp_path / "recipes.toml").write_text(text)
    smaller = {**open_clip.get_model_config(tiny_clip), "embed_dim": 32}
    (tmp_path / "smaller-clip.json").write_text(json.dumps(smaller))
    open_clip.add_model_config(tmp_path / "smaller-clip.json")

    def run(*arguments):
        status = script.main([*map(str, arguments), "--recipes", "recipes.toml"])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def states(printed):
    """Step -> its state, of the printed tables."""
    rows = re.findall(r"^\| ([a-z ]+) \| (agrees|differs|not checked) \|", printed, re.MULTILINE)
    return dict(rows)


def test_prompts_of_the_recipes_are_the_published_lists(winclip_cases):
    """The hashes in the recipes are those of the prompts that the reference cases list."""
    from reproduce_clip import CATEGORY, prompts_hash
    from reproduce_recipes import load_recipes, recipe_named

    templates = [f"{str(one).rstrip('.')}." for one in winclip_cases["templates22"]]
    states = [list(map(str, winclip_cases[name])) for name in ("normal_states", "anomalous_states")]
    twice, missing = "a jpeg corrupted photo of {} {{}}.", "a cropped photo of a {}."
    others = [twice.format("the") if one == twice.format("a") else one for one in templates if one != missing]
    for recipe, name, some in (
        ("winclip", CATEGORY.replace("_", " "), templates),
        ("winclip-zqhang", CATEGORY, others),
    ):
        groups = [[one.format(state.format(name)) for state in group for one in some] for group in states]
        assert recipe_named(recipe, load_recipes()).reference["prompts"] == prompts_hash(groups)


@pytest.mark.parametrize("kind", ["recommended/tau001", "recommended/tau007", "zqhang_variant/synth"])
def test_harmonic_means_equal_the_reference(straight, winclip_cases, kind):
    """From the reference's scores of windows come its maps of patches and of pixels."""
    for at in range(2):
        windows = {side: winclip_cases[f"{kind}_s{side}"][at].astype(float) for side in (2, 3)}
        grid = straight.winclip_map(windows, float(winclip_cases[f"{kind}_score"][at]), 15)
        assert np.abs(grid - winclip_cases[f"{kind}_grid"][at]).max() < 2e-6
        pixels = straight.stitched([grid], [(0, 0, 240, 240)], (240, 240), 240)
        assert np.abs(pixels - winclip_cases[f"{kind}_map"][at]).max() < 2e-6


@pytest.mark.parametrize("kind", ["official/real", "official/synth", "clean/noalias_real", "clean/noalias_synth"])
def test_maps_of_clip_ad_equal_the_reference(straight, clip_ad_cases, kind):
    """From the reference's scores of patches come its maps, before and after smoothing."""
    scores = clip_ad_cases[f"{kind}_sim"].astype(float)
    scores = scores[..., 1] if scores.ndim == 3 else scores
    for sigma, name in ((0.0, "map"), (8.0, "smooth8")):
        assert np.abs(straight.clip_ad_map(scores, 240, sigma) - clip_ad_cases[f"{kind}_{name}"]).max() < 2e-6


def test_the_largest_cluster_equals_the_reference(straight, clip_ad_cases):
    """DBSCAN written out finds the vector that the authors' code finds."""
    found = straight.largest_cluster(clip_ad_cases["official/cloud"], 0.5, 15)
    assert np.abs(found - clip_ad_cases["official/cloud_vec"]).max() < 1e-6
    noise = straight.largest_cluster(np.eye(6), 0.1, 3)
    assert np.allclose(noise, np.full(6, 6**-0.5))


@pytest.mark.slow
def test_towers_equal_the_reference(straight, winclip_cases, clip_ad_cases, published):
    """Windows, whole pictures and both paths give the reference's scores, from its pictures and weights."""
    images = straight.input_tensor(winclip_cases["images_u8"])
    whole = winclip_cases["image_emb"] / np.linalg.norm(winclip_cases["image_emb"], axis=1, keepdims=True)
    assert np.abs(straight.whole_vectors(published, images) - whole).max() < 1e-6
    text = winclip_cases["synth_text"] / np.linalg.norm(winclip_cases["synth_text"], axis=1, keepdims=True)
    for side in (2, 3):
        scores = straight.winclip_score(straight.window_vectors(published, images[:1], side), text, 0.07)
        assert np.abs(scores - winclip_cases[f"zqhang_variant/synth_s{side}"][0]).max() < 2e-6
    images = straight.input_tensor(clip_ad_cases["images_u8"])
    for alias, name in ((True, "official/synth"), (False, "clean/noalias_synth")):
        found = straight.surgery(straight.two_paths(published, images, alias=alias), clip_ad_cases["synth_text"])
        wanted = clip_ad_cases[f"{name}_sim"]
        assert np.abs(found - (wanted[..., 1] if wanted.ndim == 3 else wanted)).max() < 2e-6


@pytest.mark.slow
def test_text_vectors_equal_the_reference(straight, winclip_cases, published):
    """The mean over the 88 anomalous prompts equals the reference; test_winclip.py has those of all prompts."""
    from lvlm_ad_baselines.clip.model import load_tokenizer
    from lvlm_ad_baselines.clip.prompts import ANOMALOUS, ensemble

    tokenizer = load_tokenizer("ViT-B-16-plus-240")
    embeddings = straight.text_embeddings(published, tokenizer, ensemble(ANOMALOUS, "brick"))
    vector = straight.mean_vector(embeddings, normalized=True)
    assert np.abs(vector - winclip_cases["recommended/text"][1]).max() < 1e-6


@pytest.mark.parametrize("recipe", ["winclip", "winclip-zqhang", "clip-ad"])
def test_all_steps_agree_with_random_weights(reproduce, recipe):
    """Without data and weights all steps but the weights agree, and the status says that none differs."""
    status, printed, _ = reproduce(recipe, "--steps", "--weights", "random")
    found = states(printed)
    assert (status, found.pop("weights")) == (0, "not checked")
    assert set(found.values()) == {"agrees"}
    assert len(found) >= 7
    assert "No step that can be checked differs from the recipe." in printed


@pytest.mark.parametrize(
    ("recipe", "setting", "step"),
    [
        ("winclip", "temperature=0.05", "map"),
        ("winclip", "variant=zqhang", "pictures"),
        ("winclip-zqhang", "variant=paper", "pictures"),
        ("winclip", "dtype=bfloat16", "pictures"),
        ("winclip", "model=smaller-clip", "weights"),
        ("clip-ad", "representative=mean", "text vectors"),
        ("clip-ad", "alias=false", "two paths"),
        ("clip-ad", "sigma=4", "map"),
        ("clip-ad", "image_score=text", "image score"),
    ],
)
def test_the_first_step_that_differs_is_named(reproduce, recipe, setting, step):
    """A setting other than the recipe's is found at its step; the steps before it agree."""
    status, printed, _ = reproduce(recipe, "--steps", "--weights", "random", "--set", setting)
    found = states(printed)
    assert status == 1
    assert f"The first step that differs from the recipe: {step} (" in printed
    before = list(found)[: list(found).index(step)]
    assert [found[name] for name in before if name != "weights"] == ["agrees"] * (len(before) - ("weights" in before))


def test_visa_has_its_own_clusters(reproduce):
    """On VisA, CLIP-AD clusters its prompts with VisA's settings, on both sides; MVTec AD's settings are found."""
    arguments = ["clip-ad", "--dataset", "visa", "--steps", "--weights", "random"]
    assert reproduce(*arguments)[0] == 0
    status, printed, _ = reproduce(*arguments, "--set", "eps=0.5", "--set", "min_samples=15")
    assert (status, states(printed)["text vectors"]) == (1, "differs")


@pytest.fixture
def small_mvtec(small_data):
    """Two categories under names of MVTec AD."""
    (small_data / "bolt").rename(small_data / "bottle")
    (small_data / "nut1").rename(small_data / "metal_nut")
    return small_data


@pytest.mark.parametrize("recipe", ["winclip", "clip-ad"])
def test_random_weights_are_outside_the_tolerance_and_no_step_is_blamed(reproduce, small_mvtec, recipe):
    """A whole run with random weights misses the published numbers; weights and data are named as what is left."""
    status, printed, _ = reproduce(recipe, "--weights", "random", "--data", small_mvtec)
    assert status == 1
    assert "Outside the tolerance of " in printed
    assert "Within the tolerance" not in printed
    assert "No step that can be checked differs from the recipe." in printed
    assert "- weights: random weights; the recipe needs laion400m_e31" in printed
    assert "- data: 12 images, a part of the test split of 1,725" in printed
    assert states(printed)["means"] == "agrees"
    assert printed.count("| PRO |") == (2 if recipe == "winclip" else 1)


def test_weights_are_known_by_the_hash_of_their_file(reproduce, tiny_clip, tmp_path):
    """A file with the released file's hash agrees; another's own hash is not checked; a wrong size differs."""
    import hashlib

    import torch
    from lvlm_ad_baselines.clip.model import load_clip

    file = tmp_path / "weights.pt"
    torch.save(load_clip(tiny_clip, "random").state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    _, printed, _ = reproduce("winclip", "--steps", "--weights", file)
    assert f"| weights | not checked | weights.pt has the SHA-256 {digest[:8]}" in printed
    recipes = tmp_path / "recipes.toml"
    recipes.write_text(recipes.read_text().replace("8fb26589", digest[:8]))
    _, printed, _ = reproduce("winclip", "--steps", "--weights", file)
    assert "| weights | agrees | weights.pt has the released file's SHA-256" in printed


def test_what_is_missing_is_one_line(reproduce, small_mvtec):
    """Without data, with a wrong folder, without weights, or with a wrong name, one line says what to do."""
    for arguments, message in (
        (["winclip"], r"winclip needs the images of MVTec AD: give their folder with --data DIR \(https://"),
        (["winclip", "--data", "nowhere"], r"nowhere does not exist; give the folder of the data set"),
        (["winclip", "--data", small_mvtec, "--weights", "no.pt"], r"There are no weights 'no\.pt'"),
        (["winclp"], r"There is no recipe 'winclp'\. Did you mean 'winclip'"),
        (["winclip", "--steps", "--weights", "random", "--set", "sigma"], r"--set takes KEY=VALUE"),
    ):
        status, printed, error = reproduce(*arguments)
        assert (status, printed) == (2, "")
        assert re.match(f"error: {message}", error), error
        assert error.count("\n") == 1
