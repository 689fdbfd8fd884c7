"""A study never replaces another one: its folder is refused before anything is asked, or continued."""

from dataclasses import replace

import pytest

from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.studies import (
    Condition,
    EfficiencyOptions,
    GroundingOptions,
    RecommendOptions,
    StabilityOptions,
    Study,
    StudyDesign,
    chosen_images,
    recommend,
    study_efficiency,
    study_grounding,
    study_stability,
)
from lvlm_ad.studies.condition import study_name

PRICES = {"price_input": 1, "price_output": 1, "image_tokens": "fixed 500"}
SMALL = StabilityOptions(images=4, repeats=2, levels=1, factors=("marks",), name="mine")


@pytest.fixture
def made(base):
    """The folder of a small study of stability, by name "mine"."""
    study_stability(base(), SMALL)
    return base().out / "studies" / "mine"


def refused(run, asked, made):
    """Return the message of a refusal, which asks nothing and leaves the study as it is."""
    before = len(asked()), (made / "study.json").read_bytes()
    with pytest.raises(ConfigError, match="holds another study: ") as caught:
        run()
    assert (len(asked()), (made / "study.json").read_bytes()) == before
    assert "--name" in str(caught.value)
    assert str(made) in str(caught.value)
    return str(caught.value)


def test_another_kind_is_refused(base, asked, made):
    """A study of grounding or of efficiency does not replace one of stability."""
    for kind, run in (
        ("grounding", lambda: study_grounding(base(), GroundingOptions(4, ("methods",), name="mine"))),
        ("efficiency", lambda: study_efficiency(base(), EfficiencyOptions(images=4, name="mine"))),
    ):
        assert f"its kind is 'stability', not '{kind}'" in refused(run, asked, made)


@pytest.mark.parametrize(
    ("settings", "options", "why"),
    [
        ({}, {"factors": ("paraphrase",)}, "it has conditions that this one does not have (marks-1)"),
        ({"image_size": 320}, {}, "its image_size is 160, not 320 (base)"),
        ({"grid_rows": 8}, {}, "its grid_rows is 4, not 8 (base)"),
        ({"favourite": 5}, {}, "its favourite is 3, not 5 (base)"),
        ({"shots": 1}, {}, "its shots is 0, not 1 (base)"),
        ({}, {"images": 3}, "it is about other images, this one lacks 1 of its 4 images"),
    ],
)
def test_another_design_is_refused(base, asked, made, settings, options, why):
    """Other factors, settings, options of the model or images are another study."""
    assert why in refused(lambda: study_stability(base(**settings), replace(SMALL, **options)), asked, made)


def test_another_seed_or_changed_images_are_refused(base, asked, made, two_categories):
    """Images that are drawn otherwise or come from elsewhere are other images."""
    assert "its seed is 0, not 1" in refused(lambda: study_stability(replace(base(), seed=1), SMALL), asked, made)
    elsewhere = replace(base(), data=two_categories)
    why = refused(lambda: study_stability(elsewhere, SMALL), asked, made)
    assert "it is about other images, this one lacks 3 of its 4 images" in why


@pytest.mark.usefixtures("made")
def test_the_same_study_is_continued_and_extended(base, asked):
    """The same study asks nothing; more images, levels and repeats and other prices ask only what is new."""
    before = len(asked())
    study_stability(base(price_input=2), SMALL)
    assert len(asked()) == before
    study = study_stability(base(), replace(SMALL, images=6, levels=2, repeats=3))
    assert (study.images, len(study.conditions)) == (6, 5)
    assert len(asked()) == len(set(asked())) == 30


@pytest.mark.parametrize(
    "damage", [lambda text: text[: len(text) // 2], lambda text: text.replace('"seed": 0', '"seed": "x"')]
)
def test_a_damaged_study_is_not_replaced_but_made_again(base, asked, made, damage):
    """Where study.json cannot be read, nothing says that the study is the same; without it the study is made again."""
    whole, before = Study.read(made), len(asked())
    file = made / "study.json"
    file.write_text(damage(file.read_text()))
    with pytest.raises(RunError) as caught:
        study_stability(base(), SMALL)
    assert str(caught.value).startswith(f"The study {made} is damaged: study.json: ")
    assert "Delete study.json or move it away, then repeat the command" in str(caught.value)
    file.rename(made / "away.json")
    again = study_stability(base(), SMALL)
    assert (again.figures, again.verdict) == (whole.figures, whole.verdict)
    assert len(asked()) == before


@pytest.mark.parametrize(
    "name", ["a/b", "a\\b", "..", ".hidden", " ", "x" * 101, "a\nb", "a\x1b[31m", "/tmp", "a\u202eb"]
)
def test_a_name_is_that_of_a_folder(base, name):
    """A name that leads elsewhere, hides the folder or breaks a terminal is refused in one line."""
    with pytest.raises(ConfigError, match="--name takes the name of a folder") as caught:
        StudyDesign(name, base(), chosen_images(base(), 2), (Condition("base"),))
    assert str(caught.value).isprintable()


def test_long_default_names_are_cut_and_stay_different():
    """A default name of long parts is short enough, and another one for other parts."""
    names = {study_name("efficiency", "m" * 120, last) for last in ("a", "b")}
    assert len(names) == 2
    assert all(len(one) == 100 for one in names)


def test_an_empty_name_is_refused(lvlm_ad_command, options):
    """--name with nothing, such as an unset variable, is no default name."""
    commands = [("study", kind, *options()) for kind in ("stability", "grounding", "efficiency")]
    for command in (*commands, ("recommend", "--budget", "1")):
        done = lvlm_ad_command(*command, "--name", "")
        assert (done.returncode, done.stdout) == (2, "")
        assert "the name of a folder" in done.stderr


def test_a_recommendation_and_a_study_do_not_replace_each_other(base, asked, made, models):
    """A recommendation is refused in the folder of a study, and a study in that of a recommendation."""
    config = replace(models(one={**PRICES, "sharpness": 0.5}, two={**PRICES, "sharpness": 0.0}), max_cost=1.0)
    why = refused(lambda: recommend(config, RecommendOptions(name="mine")), asked, made)
    assert "its kind is 'stability', not 'recommendation'" in why
    recommend(config, RecommendOptions(name="advice"))
    with pytest.raises(ConfigError, match=r"holds another recommendation: its kind is 'recommendation', not 'stab"):
        study_stability(base(), replace(SMALL, name="advice"))
    assert not (base().out / "studies" / "advice" / "study.json").exists()


def test_a_recommendation_is_extended_and_another_one_is_refused(models, asked, two_categories):
    """More candidates extend it; fewer, other options, another seed or other images are another recommendation."""
    one, two, three = ({**PRICES, "sharpness": 0.5, "own": own} for own in (0.1, 0.2, 0.3))
    config = replace(models(one=one, two=two), max_cost=1.0)
    recommend(config)
    before = len(asked())
    for why, make in (
        (r"candidates that this one does not have \(two-regions\)", lambda: models(one=one, three=three)),
        (r"its own is 0.1, not 0.4 \(one-regions\)", lambda: models(one={**one, "own": 0.4}, two=two)),
        ("its seed is 0, not 1", lambda: replace(models(one=one, two=two), seed=1)),
        ("it is about other images, this one lacks", lambda: replace(models(one=one, two=two), data=two_categories)),
    ):
        with pytest.raises(ConfigError, match=f"holds another recommendation: .*{why}"):
            recommend(replace(make(), max_cost=1.0), RecommendOptions(name="recommend-folder"))
    assert len(asked()) == before
    found = recommend(replace(models(one=one, two=two, three=three), max_cost=1.0))
    assert [one.name for one in found.candidates] == ["one-regions", "two-regions", "three-regions"]
