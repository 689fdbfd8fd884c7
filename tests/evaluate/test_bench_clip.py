"""CLIP baselines through a whole bench: rows, labels and tables."""

import pytest

from lvlm_ad.evaluate import bench
from lvlm_ad.leaderboard import FORMATS, make_board
from lvlm_ad.text2seg import parse

pytestmark = pytest.mark.heavy

ROWS = [
    "winclip (random weights)",
    "winclip (dense, random weights)",
    "clip-ad (random weights)",
    "clip-ad (dense, random weights)",
    "clip-ac (random weights)",
]


@pytest.fixture
def benched(tiny_clip, kept_data, tmp_path):
    """Run the three CLIP baselines on a tiny model; more options may be given."""

    def run(**options):
        settings = {"model": tiny_clip, "pretrained": "random", "text_cache": str(tmp_path / "texts"), "image_size": 96}
        settings |= {"min_area": 0, **options.pop("settings", {})}
        models = ["winclip", "clip-ad", "clip-ac"]
        return bench(
            models=models, data=kept_data, settings=settings, out=tmp_path / "runs", reference_rows=False, **options
        )

    return run


def test_each_baseline_has_its_rows_and_says_that_its_weights_are_random(benched):
    """Dense and as regions, the label in every table, every metric defined."""
    runs = benched()
    assert [run.manifest.row_name for run in runs] == ROWS
    for run in runs:
        assert all(run.metrics["mean"][name] is not None for name in ("image_auroc", "pixel_auroc", "pixel_aupro"))
        assert run.manifest.versions["open_clip_torch"]
    board = make_board(runs)
    for name, write in FORMATS.items():
        assert write(board).count("random weights") >= len(ROWS), name


def test_scores_do_not_depend_on_the_batch_or_on_threads(benched):
    """One picture at a time and four give the same predictions; the same command again gives the same run."""
    first = benched()
    again = benched(settings={"batch_size": 4})
    assert [run.dir for run in first] == [run.dir for run in again]
    for one, other in zip(first, again, strict=True):
        for before, after in zip(one.predictions, other.predictions, strict=True):
            assert after.image_score == pytest.approx(before.image_score, abs=5e-5)
            assert after.regions == pytest.approx(before.regions, abs=2e-6)


def test_scores_over_a_category_are_what_the_answer_says(benched):
    """CLIP-AD's image scores fill 0 to 1 in each category; the text of the row through regions holds the same."""
    regions, dense = benched()[2:4]
    for category in ("bolt", "nut1"):
        scores = [one.image_score for one in regions.predictions if one.category == category]
        assert min(scores) < 0.5
        assert max(scores) >= 0.5
        own = [one.image_score for one in dense.predictions if one.category == category]
        assert scores == pytest.approx(own, abs=1e-6)
    for one in regions.predictions:
        assert parse(one.text, one.n_regions).image == one.image_score
        assert parse(one.text, one.n_regions).regions == one.regions


def test_references_make_winclip_plus(benched):
    """With shots the rows are others, in a group of their own."""
    zero, few = benched(), benched(settings={"shots": 2})
    assert zero[0].dir != few[0].dir
    assert few[0].manifest.protocol["shots"] == 2
    assert zero[0].predictions[0].image_score != few[0].predictions[0].image_score


def test_a_file_that_is_not_there_ends_before_anything_is_divided(kept_data, lvlm_ad_command, tmp_path):
    """One line, exit status 2, no store."""
    pytest.importorskip("open_clip")
    settings = ["--set", "pretrained=weights.pt"]
    done = lvlm_ad_command("bench", "--model", "winclip", *settings, "--data", kept_data)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "dividing" not in done.stderr
    assert "lvlm-ad: There are no weights 'weights.pt' for ViT-B-16-plus-240" in done.stderr
    assert not (tmp_path / "runs").exists()
