"""Pictures without labels: what is inspected, what is decided and why, and which files say so."""

import csv
import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad import RunConfig
from lvlm_ad.decisions import parse_threshold
from lvlm_ad.errors import ConfigError, DataError, FatalError
from lvlm_ad.evaluate import InspectionConfig, inspect
from lvlm_ad.evaluate.inspection_plan import threshold_of
from lvlm_ad.evaluate.map_files import read_map
from lvlm_ad.evaluate.overlay import overlay
from lvlm_ad.log import Progress

GRID = {"division": "grid", "image_size": 64, "grid_rows": 3, "grid_columns": 3, "number_size": 8}

BRIGHT = '''
import io

from PIL import Image


class Bright:
    """Scores a picture by the brightness of its first pixel; declines black ones, and fails on one of 13."""

    def answer(self, request):
        with open("asked.txt", "a") as log:
            log.write(f"{len(request.images)} {request.images[-1].digest}\\n")
        picture = Image.open(io.BytesIO(request.images[-1].data)).convert("L")
        level = picture.getpixel((2, 2))
        if level == 0:
            return "I'm sorry, but I can't help with that."
        if level == 13:
            raise OSError("the line is dead")
        return f"=cmd() It looks\\nbright. Image anomaly score: {level / 255:.2f}; region 1: {level / 255:.2f}."
'''


class Notes(Progress):
    """Keeps the notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def picture(path, level, size=(64, 64)):
    """Write a grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)


@pytest.fixture
def line(tmp_path, monkeypatch):
    """An empty folder beside a model that scores brightness."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bright.py").write_text(BRIGHT)
    (tmp_path / "line").mkdir()
    return tmp_path / "line"


def run(line, notes=None, settings=GRID, model="bright.py", **options):
    """Inspect the folder."""
    own = {name: options.pop(name) for name in ("retry_failed", "max_cost", "out_of_run", "method") if name in options}
    config = RunConfig(
        models=model, settings={**settings, "max_retries": 0} if model == "bright.py" else settings, **own
    )
    return inspect(InspectionConfig(line, config, **options), notes)


def asked(line):
    """How many questions the model was asked so far."""
    log = line.parent / "asked.txt"
    return log.read_text().splitlines() if log.exists() else []


def rows_of(path):
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_picture_has_one_row_in_the_folders_order(line):
    """Nested pictures, twins in name, refusals, failures and unreadable files: each once, with a decision and why."""
    for name, level in {"b.png": 250, "a/2.png": 30, "a/1.jpg": 250, "b.bmp": 30, "c.png": 0, "d.png": 13}.items():
        picture(line / name, level)
    (line / "half.png").write_bytes((line / "b.png").read_bytes()[:40])
    (line / "notes.txt").touch()
    inspection = run(line, maps="tiff")
    rows = rows_of(inspection.scores_file)
    assert [(row["path"], row["decision"], row["status"]) for row in rows] == [
        ("a/1.jpg", "alarm", "ok"),
        ("a/2.png", "pass", "ok"),
        ("b.bmp", "pass", "ok"),
        ("b.png", "alarm", "ok"),
        ("c.png", "undecided", "refused"),
        ("d.png", "undecided", "failed"),
        ("half.png", "undecided", "unreadable"),
    ]
    assert inspection.counts == {"alarm": 2, "undecided": 3, "pass": 2}
    assert inspection.status == 1
    by_path = {row["path"]: row for row in rows}
    assert by_path["b.png"]["reason"] == "'=cmd() It looks bright. Image anomaly score: 0.98; region 1: 0.98."
    assert by_path["b.png"]["regions"] == "1:0.98"
    assert "the line is dead" in by_path["d.png"]["note"]
    assert "half.png" in by_path["half.png"]["note"]
    files = {row[name] for row in rows for name in ("overlay", "map")} - {""}
    assert len(files) == 6 + 4
    assert all((inspection.out / file).is_file() for file in files)
    assert read_map(inspection.out / by_path["b.png"]["map"]).max() == pytest.approx(0.98)
    record = json.loads((inspection.out / "inspection.json").read_text())
    assert (record["pictures"], record["alarm"], record["threshold"]["threshold"]) == (7, 2, 0.5)


def test_the_same_again_asks_nothing_and_another_content_is_another_picture(line):
    """Stored answers are read; a replaced file and a new one are asked about, copies of a known picture are not."""
    picture(line / "a.png", 250)
    picture(line / "b.png", 30)
    assert run(line).counts["alarm"] == 1
    assert run(line, threshold="0.1").counts["alarm"] == 2
    assert len(asked(line)) == 2
    picture(line / "b.png", 200)
    picture(line / "copy.png", 250)
    assert run(line).counts["alarm"] == 3
    assert len(asked(line)) == 3
    (line / "b.png").unlink()
    assert [row["path"] for row in rows_of(run(line).scores_file)] == ["a.png", "copy.png"]


def test_a_failed_question_is_asked_again(line):
    """The same command asks what has no answer; a refusal is asked again only on demand."""
    picture(line / "c.png", 0)
    picture(line / "d.png", 13)
    picture(line / "e.png", 250)
    assert run(line).status == 1
    assert run(line).counts["undecided"] == 2
    assert len(asked(line)) == 4
    run(line, retry_failed=True)
    assert len(asked(line)) == 6


def test_the_exit_status_follows_the_decisions(line):
    """0: all pass; 3: none alarms and some are undecided; 1: some alarm."""
    picture(line / "a.png", 30)
    assert run(line).status == 0
    picture(line / "c.png", 0)
    assert run(line).status == 3
    picture(line / "b.png", 250)
    assert run(line).status == 1


def test_a_conformal_threshold_comes_from_good_pictures(line):
    """Nineteen good pictures give alpha 0.05: the highest of their scores, above which a picture alarms."""
    good = line.parent / "good"
    for index in range(19):
        picture(good / f"{index}.png", 20 + 5 * index)
    picture(line / "as-bad-as-the-worst.png", 110)
    picture(line / "worse.png", 120)
    inspection = run(line, threshold="conformal:0.05", good=good)
    assert inspection.threshold.value == pytest.approx(0.43)
    assert [row.decision for row in inspection.pictures] == ["pass", "alarm"]
    assert len(asked(line)) == 20  # the picture as bright as the worst good one is the same question
    assert inspection.record()["good_pictures"] == 19
    assert {row["decision"] for row in rows_of(inspection.out / "good.csv")} == {"pass"}
    assert "at most 5.0 % of the good images alarm" in inspection.words()


@pytest.mark.parametrize(
    ("threshold", "count", "settings", "needed"),
    [
        ("conformal:0.05", 18, {}, "19 good pictures are needed"),
        ("conformal:0.05", 20, {"shots": 2}, "21 good pictures are needed"),
        ("reference:0.9", 9, {}, "10 good pictures are needed"),
        ("0.5", 0, {"shots": 2}, "2 good pictures are needed"),
        ("0.5", 3, {}, "uses no good pictures"),
        ("calibration:0.3", 3, {}, "no labels"),
    ],
)
def test_too_few_good_pictures_are_refused_before_anything_is_asked(line, threshold, count, settings, needed):
    """The message says how many are needed; unreadable ones and copies do not count."""
    good = line.parent / "good"
    good.mkdir()
    (good / "empty.png").touch()
    for index in range(count):
        picture(good / f"{index}.png", 20 + index)
        picture(good / "copy.png", 20)
    picture(line / "a.png", 30)
    with pytest.raises(ConfigError, match=needed):
        run(line, threshold=threshold, good=good, settings={**GRID, **settings})
    assert not asked(line)


def test_good_pictures_that_are_shown_set_no_threshold(line):
    """With shots, each question shows good pictures first; the others alone are scored."""
    good = line.parent / "good"
    for index in range(11):
        picture(good / f"{index}.png", 20 + 5 * index)
    picture(line / "a.png", 250)
    inspection = run(line, threshold="reference:0.9", good=good, settings={**GRID, "shots": 1})
    assert len(inspection.good) == 10
    assert [line.split()[0] for line in asked(line)] == ["2"] * 11


def test_a_method_compares_pictures_with_good_ones(line):
    """Each picture is shown beside the good one most like it; one that sets the threshold, beside another."""
    good = line.parent / "good"
    levels = [20 + 20 * index for index in range(10)]
    for index, level in enumerate(levels):
        picture(good / f"{index}.png", level)
    picture(line / "a.png", 63)
    with pytest.raises(ConfigError, match="--method pairs needs good pictures; name their folder with --good"):
        run(line, method="pairs")
    inspection = run(line, method="pairs", good=good, out=line.parent / "plain")
    # The model scores the left half.
    assert [row["score"] for row in rows_of(inspection.scores_file)] == ["0.24"]
    inspection = run(line, method="pairs", good=good, threshold="reference:0.9", out=line.parent / "chosen")
    scores = [float(row["score"]) for row in rows_of(inspection.out / "good.csv")]
    assert scores == [round(level / 255, 2) for level in (40, *levels[:-1])]


def test_the_reason_is_all_answers(line):
    """A method that asks twice has two answers in the reason; the score may come from either."""
    picture(line / "a.png", 200)
    inspection = run(line, method="zoom", settings={**GRID, "zoom_budget": 1})
    assert inspection.pictures[0].reason.count(" | =cmd() It looks bright.") == 1


def test_without_places_no_map_is_written(line):
    """A method that gives an image score alone has no map, and a note says so."""
    picture(line / "a.png", 200)
    notes = Notes()
    inspection = run(line, notes, method="score", settings={"image_size": 64}, maps="png")
    assert (inspection.pictures[0].map, inspection.pictures[0].score) == ("", 0.78)
    assert "--method score gives no map, so none is written." in notes.notes


def test_good_pictures_without_a_score_may_leave_too_few(line):
    """Refused good pictures set no threshold; the message counts them, and no picture is decided."""
    good = line.parent / "good"
    for index in range(10):
        picture(good / f"{index}.png", 0 if index < 3 else 20 + index, size=(64, 64 + index))
    picture(line / "a.png", 30)
    with pytest.raises(DataError, match="only 7 of 10"):
        run(line, threshold="reference:0.9", good=good)
    assert [row["decision"] for row in rows_of(Path("inspections/line-bright/scores.csv"))] == ["undecided"]


def test_what_is_no_picture_of_the_folder_is_reported_once(line):
    """Links are not followed, hidden files and results of lvlm-ad are left out; one note each."""
    picture(line / "a.png", 30)
    picture(line / ".hidden.png", 250)
    picture(line / "results" / "overlays" / "a.png", 250)
    (line / "results" / "inspection.json").touch()
    (line / "link.png").symlink_to("a.png")
    (line / "loop").symlink_to(".")
    notes = Notes()
    inspection = run(line, notes, out=line / "out")
    assert [row.path for row in inspection.pictures] == ["a.png"]
    assert sum("links are not followed: 2" in note for note in notes.notes) == 1
    assert sum("hidden" in note for note in notes.notes) == 1
    assert sum("results of lvlm-ad" in note for note in notes.notes) == 1
    assert (line / "out" / "answers.sqlite").exists()
    assert [row.path for row in run(line, out=line / "out").pictures] == ["a.png"]


def test_folders_named_in_other_scripts_have_their_own_results(line):
    """A name keeps its letters, so that two such folders do not share the default place."""
    for name in ("工場", "производство"):
        picture(line.parent / name / "a.png", 30)
        run(line.parent / name)
        assert rows_of(Path(f"inspections/{name}-bright/scores.csv"))


def test_results_of_another_folder_or_model_are_not_replaced(line):
    """Two folders of the same name would share the default place; the second is refused."""
    picture(line / "a.png", 30)
    picture(line.parent / "other" / "line" / "b.png", 30)
    run(line)
    with pytest.raises(ConfigError, match="give another --out"):
        run(line.parent / "other" / "line")
    with pytest.raises(ConfigError, match="folder of the pictures"):
        run(line, out=line)


@pytest.mark.parametrize("what", ["nothing", "a file", "empty"])
def test_a_folder_without_pictures_is_an_error(line, what):
    """It says what is wrong with the folder."""
    folder = {"nothing": line / "absent", "a file": line.parent / "bright.py", "empty": line}[what]
    with pytest.raises(DataError, match="give the folder of the pictures"):
        run(folder)


def test_a_baseline_inspects_too(line):
    """Its own map is written, and its reason is empty: it writes no text. One that needs the truth is refused."""
    pixels = np.full((64, 64), 90, np.uint8)
    pixels[8:16, 8:16] = 250
    Image.fromarray(pixels).save(line / "a.png")
    inspection = run(line, model="contrast", maps="npy")
    (row,) = inspection.pictures
    values = read_map(inspection.out / row.map)
    assert (row.reason, row.cost_usd, values.shape) == ("", 0.0, (64, 64))
    assert np.unravel_index(values.argmax(), values.shape)[0] < 24
    with pytest.raises(ConfigError, match="ground truth"):
        run(line, model="oracle", out=line.parent / "oracle")


def test_a_picture_that_is_moved_away_keeps_its_decision(line):
    """A line may take a picture away while it is asked about; only its drawing is missing."""
    (line.parent / "taker.py").write_text(
        "import pathlib\n\n\nclass Taker:\n    def answer(self, request):\n"
        "        pathlib.Path('line/a.png').unlink(missing_ok=True)\n        return 'image anomaly score: 0.9.'\n"
    )
    picture(line / "a.png", 30)
    (row,) = run(line, model="taker.py").pictures
    assert (row.decision, row.overlay) == ("alarm", "")


def test_names_of_folders_and_files_do_not_collide(line):
    """A folder with the name of another picture's drawing, and names that are too long, get names of their own."""
    picture(line / "a.bmp", 250)
    picture(line / "a.png" / "b.png", 250)
    picture(line / f"{'c' * 240}.png", 250)
    inspection = run(line, maps="png")
    files = [file for row in inspection.pictures for file in (row.overlay, row.map)]
    assert len(set(files)) == 6
    assert all((inspection.out / file).is_file() for file in files)


def test_a_folder_that_is_empty_by_mistake_replaces_no_results(line):
    """If a disk is not mounted, the rows of the last command stay."""
    picture(line / "a.png", 30)
    inspection = run(line)
    (line / "a.png").unlink()
    with pytest.raises(DataError, match="no picture"):
        run(line)
    assert len(rows_of(inspection.scores_file)) == 1


def test_what_is_known_is_written_when_the_model_gives_up(line):
    """A model that fails on every question ends the command; every picture has a row."""
    for index in range(40):
        picture(line / f"{index:02}.png", 13, size=(64, 64 + 3 * index))
    with pytest.raises(FatalError):
        run(line)
    rows = rows_of(Path("inspections/line-bright/scores.csv"))
    assert len(rows) == 40
    assert {row["decision"] for row in rows} == {"undecided"}


def test_a_command_that_fails_before_its_first_answer_replaces_no_results(line):
    """A key that has expired, say, must not turn the decisions before into a table of questions not asked."""
    picture(line / "a.png", 30)
    inspection = run(line)
    before = inspection.scores_file.read_bytes()
    picture(line / "a.png", 90)
    refuses = "    def answer(self, request):\n        raise FatalError('the key is refused')\n"
    (line.parent / "bright.py").write_text(f"from lvlm_ad.errors import FatalError\n\n\nclass Bright:\n{refuses}")
    with pytest.raises(FatalError, match="refused"):
        run(line)
    assert inspection.scores_file.read_bytes() == before


def test_it_says_why_pictures_are_undecided(line):
    """For each status it notes how many pictures have no score, and why the first of them has none."""
    picture(line / "a.png", 30)
    picture(line / "black.png", 0)
    picture(line / "dead.png", 13)
    (line / "broken.png").write_bytes(b"not a picture")
    notes = Notes()
    run(line, notes)
    undecided = [note for note in notes.notes if note.startswith("Undecided")]
    assert len(undecided) == 3
    assert any(note.startswith("Undecided (failed): 1 of 4. dead.png: ") for note in undecided)
    assert "Undecided (refused): 1 of 4. black.png: The model declined to answer." in undecided


def test_a_full_disk_names_the_file(line, monkeypatch):
    """The system says only that the disk is full, not which file could not be written."""

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    picture(line / "a.png", 30)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"inspection\.json"):
        run(line)
    assert not list(Path("inspections").rglob(".*"))


def test_an_overlay_outlines_what_scores_highest():
    """Magenta surrounds the places with at least half the highest score; where nothing scores, the picture stays."""
    image = np.full((100, 200, 3), 80, np.uint8)
    values = np.array([[0.0, 0.0, 0.2, 0.8]])
    drawn = overlay(image, values)
    assert drawn.shape == (100, 200, 3)
    assert (drawn[50, 149] == (255, 0, 200)).all()
    assert (drawn[:, :90] == 80).all()
    assert drawn[50, 180, 0] > drawn[50, 120, 0] > 80
    assert np.array_equal(overlay(image, np.zeros((4, 4))), image)
    assert overlay(np.zeros((3000, 1500, 3), np.uint8), values).shape == (768, 384, 3)


def test_conformal_thresholds_keep_their_promise_on_simulated_lines():
    """Over 200 lines with 60 good references each, scores in tenths, at most a share alpha of good pictures alarms."""
    draw, choice = np.random.default_rng(0), parse_threshold("conformal:0.05")
    shares = []
    for _ in range(200):
        scores = np.round(draw.beta(draw.uniform(0.5, 2), draw.uniform(3, 8), 60 + 500), 1)
        shares.append(threshold_of(choice, scores[:60].tolist()).alarms(scores[60:]).mean())
    assert 0 < np.mean(shares) <= 0.05


def test_another_format_replaces_the_maps_before(line):
    """A picture has one map, that of the last command; a refused picture has none."""
    picture(line / "a.png", 250)
    assert run(line, maps="tiff").pictures[0].map == "maps/a.tiff"
    out = run(line, maps="npy").out
    assert sorted(path.name for path in (out / "maps").iterdir()) == ["a.npy"]
    picture(line / "a.png", 0)
    run(line, maps="npy")
    assert list((out / "maps").iterdir()) == []
