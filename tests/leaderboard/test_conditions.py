"""Which rows share a table where models answer by other methods than regions."""

import pytest

from lvlm_ad.leaderboard import make_board

GEMINI = {"name": "gemini_1000", "order": "yxyx"}
BOXES = {"name": "boxes", "places": "boxes", "convention": GEMINI}


@pytest.fixture
def make_boxes(make_run):
    """A function that makes a run of the method boxes, which needs no division."""

    def make(name, auroc=0.5, *, method=None, **changes):
        return make_run(name, auroc, division="", method={**BOXES, **(method or {})}, **changes)

    return make


def tables(*runs):
    """The names of the rows of each table."""
    return [{entry.name for entry in group.entries} for group in make_board(runs).groups]


def test_rows_name_model_and_method(make_run, make_boxes):
    """Two methods of one model are two rows of two tables; the title names method and convention, the size once."""
    boxes, regions = make_board([make_run("a"), make_boxes("a")]).groups
    assert [entry.name for entry in (*boxes.entries, *regions.entries)] == ["a (boxes)", "a"]
    assert boxes.title.endswith("80 images, 2 categories · method boxes, gemini_1000 · prompt class p")
    assert "method" not in regions.title
    assert "method" not in regions.conditions


@pytest.mark.parametrize(
    "changes",
    [
        {"method": {"name": "points"}},
        {"method": {"options": {"scored": True}}},
        {"method": {"convention": {"name": "qwen3_1000"}}},
        {"protocol": {"image_size": 896}},
        {"prompt": "q"},
        {"fingerprint": "g"},
    ],
)
def test_rows_of_one_method_share_a_table_only_under_the_same_conditions(make_boxes, changes):
    """The same conditions: ranked together; another method, option, convention, size, prompt or data set: apart."""
    assert tables(make_boxes("a", 0.9), make_boxes("b", 0.7)) == [{"a (boxes)", "b (boxes)"}]
    assert len(tables(make_boxes("a"), make_boxes("b", **changes))) == 2


def test_models_that_are_asked_in_their_own_conventions_share_a_table(make_boxes):
    """Native boxes of two families are ranked together, apart from those whose question is the user's choice."""
    own = {"asked": {"name": "boxes-gemini", "own": True}}
    other = {
        "asked": {"name": "boxes-qwen", "own": True},
        "prompt": "q",
        "method": {"convention": {"name": "qwen3_1000"}},
    }
    board = make_board([make_boxes("a", 0.9, **own), make_boxes("b", 0.7, **other), make_boxes("c")])
    assert [{entry.name for entry in group.entries} for group in board.groups] == [
        {"a (boxes)", "b (boxes)"},
        {"c (boxes)"},
    ]
    assert board.groups[0].title.endswith("method boxes · prompt: each model's own")
    assert "asked with the prompt boxes-qwen; coordinates read as qwen3_1000" in board.groups[0].entries[1].notes


def test_chance_and_contrast_frame_tables_without_a_division(make_run, make_boxes, make_reference_row):
    """They go through regions, and join every table of the same images at the same size; those of others do not."""
    frames = [make_reference_row("chance"), make_reference_row("contrast")]
    assert tables(make_run("a"), make_boxes("a"), *frames) == [
        {"a (boxes)", "chance", "contrast"},
        {"a", "chance", "contrast"},
    ]
    assert tables(make_boxes("a"), make_reference_row("chance", protocol={"image_size": 896})) == [
        {"a (boxes)"},
        {"chance"},
    ]


def test_methods_with_a_division_keep_to_it(make_run, make_reference_row):
    """A zoom table takes the reference rows of its own division alone, and no baseline, which asks nothing."""
    zoom = make_run("a", method={"name": "zoom"})
    frames = [make_reference_row("chance"), make_reference_row("contrast", division="other")]
    assert tables(zoom, make_run("winclip", prompt=""), *frames) == [
        {"a (zoom)", "chance"},
        {"winclip", "chance"},
        {"contrast"},
    ]


def test_the_oracle_frames_the_tables_of_its_method(make_run, make_boxes):
    """What a method's format allows is no bound for another; an oracle writes in no convention."""
    truth = {"frame": True, "sees_truth": True}
    oracle = make_run("oracle", 1.0, prompt="", division="", method={"name": "boxes"}, model=truth)
    of_regions = make_run("oracle", 1.0, prompt="", model=truth)
    assert tables(make_run("a"), make_boxes("a"), oracle, of_regions) == [
        {"a (boxes)", "oracle (boxes)"},
        {"a", "oracle"},
    ]


def test_a_hash_is_in_a_title_only_where_it_tells_tables_apart(make_boxes):
    """It says nothing to a reader; two tables with other sentences have nothing else to differ in."""
    one, other = ({"name": "boxes", "options": {"scored": True, "sentences": digit * 64}} for digit in "ab")
    assert titles(make_boxes("a", method=one)) == ["method boxes (scored), gemini_1000"]
    assert titles(make_boxes("a", method=one), make_boxes("b", method=other)) == [
        "method boxes (scored, sentences aaaaaaaa), gemini_1000",
        "method boxes (scored, sentences bbbbbbbb), gemini_1000",
    ]


def titles(*runs):
    """What the titles of the runs' tables say of the method."""
    return [group.title.split(" · ")[1] for group in make_board(runs).groups]
