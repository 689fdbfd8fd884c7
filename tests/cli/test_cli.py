"""The commands: exit status, one clear line for each error, one JSON object, and nothing that controls the terminal."""

import dataclasses
import inspect
import json
import os
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.cli.bench import bench
from lvlm_ad.evaluate import RunConfig

REPOSITORY = Path(__file__).resolve().parents[2]
FROZEN = REPOSITORY / "tests" / "data" / "v0_1" / "out"
GRID = ("--division", "grid", *("--set", "image_size=96", "--set", "grid_rows=4", "--set", "grid_columns=4"))


def test_the_page_about_the_command_line_is_true():
    """docs/cli.md is what docs/make_cli.py writes."""
    made = runpy.run_path(str(REPOSITORY / "docs" / "make_cli.py"))["page"]()
    assert made == (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8"), "run docs/make_cli.py"


def test_every_field_of_the_configuration_is_an_option():
    """The command bench has an option for each field of RunConfig, with the same default."""
    options = inspect.signature(bench).parameters
    for field in dataclasses.fields(RunConfig):
        # Only a study has its stores elsewhere than its runs.
        if field.name not in {"settings", "stores"}:
            expected = getattr(RunConfig(), field.name)
            given = options[field.name].default
            assert getattr(RunConfig(**{field.name: given}), field.name) == expected, field.name


@pytest.mark.parametrize(
    "command", [[], ["bench"], ["ask"], ["leaderboard"], ["compare"], ["models"], ["data"], ["data", "check"]]
)
def test_every_command_explains_itself(lvlm_ad_command, command):
    """--help prints the usage, with status 0."""
    done = lvlm_ad_command(*command, "--help")
    assert done.returncode == 0
    assert re.search("usage", done.stdout, re.IGNORECASE)
    assert "--frame" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bench", "--model", "contrst"], "Did you mean 'contrast'"),
        (["bench", "--dataset", "mvtek", "--data", "."], "Did you mean 'mvtec'"),
        (["bench", "--division", "supperpixel"], "Did you mean 'superpixel'"),
        (["bench", "--prompt", "clas"], "Did you mean 'class'"),
        (["bench", "--protocol", "papper"], "Did you mean 'paper'"),
        (["bench", "--set", "n_segment=3"], "Did you mean 'n_segments'"),
        (["bench", "--set", "nonsense"], "KEY=VALUE"),
        (["bench", "--set", "api_key=sk-1"], "environment variable"),
        (["bench", "--set", "concurrency=2"], "an option of bench: --concurrency"),
        (["bench", "--set", "max-cost=1"], "an option of bench: --max-cost"),
        (["bench", "-m", "gpt-4o", "--set", "engine=vllm"], "Only models that run on this machine have it"),
        (["bench", "--set", "model=gpt-4o"], "an option of bench: --model"),
        (["bench", "--set", "--limit=3"], "an option of bench: --limit"),
        (["bench", "--batch"], "--batch needs a chat model"),
        (["bench", "--model", "contrast", "--batch"], "Leave --batch out"),
        (["bench", "--dataset", "mvtec"], "mvtec"),
        (["bench", "--data", "nowhere"], "nowhere"),
        (["bench", "--model", "gpt-4v"], "OPENAI_API_KEY"),
        (["bench", "--model", "gpt-4v", "--set", "base_url=http://127.0.0.1:9/v1", "--max-cost", "1"], "price"),
        (["bench", "--concurrency", "0"], "'--concurrency': it must be 1 or more; got '0'."),
        (["bench", "--resamples", "1e3"], "'--resamples': it must be a whole number; got '1e3'."),
        (["bench", "--max-cost", "1,50"], "'--max-cost': it must be a number; got '1,50'."),
        (["bench", "--on-failure", "skip"], "'--on-failure': 'skip' is not one of 'zero', 'exclude'."),
        (["data", "demo", "--images", "0"], "'--images': it must be 2 or more; got '0'."),
        (["bench", "--modle", "x"], "--model"),
        (["leaderboard", "nowhere"], "no folder nowhere"),
        (["leaderboard", "."], "There is no run in .;"),
        (["ask", "nothing.png", "--model", "contrast"], "nothing.png"),
        (["regions", "nowhere.png"], "nowhere.png"),
        (["models", "contrst"], "Did you mean"),
        (["data", "info", "--data", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_bad_usage_is_one_clear_line(lvlm_ad_command, kept_data, arguments, says):
    """Exit status 2, a message that says what to do, no traceback, nothing on stdout."""
    if arguments[0] == "bench" and not {"--data", "--dataset"} & set(arguments):
        arguments = [*arguments, "--data", kept_data]
    done = lvlm_ad_command(*arguments)
    assert done.returncode == 2, done.stderr
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("size", [-5, 1, 15, 8193, 10**12])
def test_a_size_that_cannot_be_is_named_as_it_was_given(lvlm_ad_command, kept_data, size):
    """The option is called --size, not image_size, and the message says what it takes."""
    done = lvlm_ad_command("score", "--maps", kept_data, "--data", kept_data, "--size", size)
    assert done.returncode == 2
    assert f"--size takes 16 to 8192 pixels, or 0 for each image's own size; got {size}." in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("score", "--maps", ".", "--name"), ("bench", "--set", "prompt"), ("ask", "0.png", "-m", "gpt-4o", "--set")],
)
def test_bytes_that_are_no_text_are_refused(lvlm_ad_command, kept_data, arguments):
    """A name or a setting that no file of a run could hold is one line before anything is measured."""
    odd = os.fsdecode(b"odd-\xff=1")
    *options, last = arguments
    given = (*options, f"{last}={odd}") if last == "prompt" else (*arguments, odd)
    done = lvlm_ad_command(*given, *(() if "ask" in given else ("--data", kept_data)))
    assert done.returncode == 2
    assert "not valid UTF-8" in done.stderr


def test_without_rows_there_is_nothing_to_measure(lvlm_ad_command):
    """Reference rows that were declined are not measured all the same."""
    done = lvlm_ad_command("bench", "--no-reference-rows")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing to measure; name a model" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("part", ["test", "train", "ground_truth", "test/good", "test/hole"])
@pytest.mark.parametrize("command", [["data", "info"], ["bench", "--dry-run"]])
def test_a_part_of_a_category_asks_whether_more_was_meant(lvlm_ad_command, kept_data, part, command):
    """The folder above is named, where masks and reference images lie."""
    done = lvlm_ad_command(*command, "--data", kept_data / "bolt" / part)
    said = " ".join((done.stdout + done.stderr).split())
    assert f"Did you mean {kept_data / 'bolt'}?" in said or f"Did you mean the folder above {part}/?" in said
    mvtec = lvlm_ad_command("data", "info", "--dataset", "visa", "--data", kept_data / "bolt" / part)
    assert "is not VisA" in mvtec.stderr


def test_the_pages_of_a_bench_are_named_at_its_end(lvlm_ad_command, kept_data):
    """The last lines say where the leaderboard and the reports are; the table alone is on stdout."""
    done = lvlm_ad_command("bench", "--data", kept_data, "--limit", 1, *GRID, "--report", "--resamples", 0)
    page = next(Path("runs").glob("contrast-folder-*/report/index.html"))
    assert done.stderr.splitlines()[-2:] == ["leaderboard: runs/leaderboard.html", f"report: {page}"]
    assert "AUROC" in done.stdout
    assert "dividing" not in done.stdout
    assert "runs/" not in done.stdout


def test_all_commands_use_one_demo(lvlm_ad_command, monkeypatch, tmp_path):
    """What one has drawn, the others find; a demo of your own is measured where it is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    drawn = lvlm_ad_command("data", "demo", "--images", 2, "--size", 64)
    assert "measure it with: lvlm-ad bench --dataset demo" in drawn.stderr
    (folder,) = (tmp_path / "cache" / "lvlm-ad").glob("demo-*")
    info = json.loads(lvlm_ad_command("data", "info", "--dataset", "demo", "--json").stdout)
    assert (info["root"], info["images"]) == (str(folder), 12)
    bench = lvlm_ad_command("bench", "-c", "brick", *GRID, "--resamples", 0)
    assert bench.returncode == 0, bench.stderr
    assert not list(Path("runs").glob("demo*"))


@pytest.mark.parametrize("text", ["Is the $clas_name broken?", "It costs $ 5.", "$" + "{picture}"])
def test_a_prompt_that_no_question_can_fill_is_an_error(quick_bench, tmp_path, text):
    """A placeholder that does not exist is an error even if no chat model asks; the message lists the right ones."""
    (tmp_path / "own.toml").write_text(f"text = '{text}'\n", encoding="utf-8")
    done = quick_bench("--model", "contrast", "--prompt", "own.toml")
    assert done.returncode == 2
    assert "The prompt own has a placeholder that cannot be filled" in done.stderr
    assert "$class_name, $defects, $n_regions, $pictures, $references" in done.stderr


@pytest.mark.parametrize("wrong", [("--division", "supperpixel"), ("--prompt", "clas")])
def test_no_demo_is_drawn_for_wrong_options(lvlm_ad_command, wrong):
    """Options are checked before the demo is drawn."""
    assert lvlm_ad_command("bench", *wrong).returncode == 2
    assert not Path("runs").exists()


def test_bench_prints_one_object_and_writes_the_leaderboard(finished):
    """The oracle is at the top, stdout holds the JSON alone, the table and the places of the files go to stderr."""
    folder, runs, messages = finished
    by_name = {run["model"]: run["metrics"]["mean"] for run in runs}
    assert list(by_name) == ["contrast", "contrast (dense)", "chance", "oracle"]
    assert by_name["oracle"]["image_auroc"] == 1.0
    assert by_name["oracle"]["pixel_auroc"] == max(mean["pixel_auroc"] for mean in by_name.values())
    assert all(set(run) == {"model", "dataset", "dir", "metrics"} for run in runs)
    assert {"leaderboard.md", "leaderboard.html"} <= {path.name for path in folder.iterdir()}
    assert f"leaderboard: {folder / 'leaderboard.html'}" in messages


def test_published_results_need_no_run(lvlm_ad_command, tmp_path):
    """Filters choose rows; the page goes to published.html; a folder that is named must be there."""
    shown = lvlm_ad_command("leaderboard", "--published", "--trained-on", "nothing", "--shots", "0", "--format", "md")
    assert shown.returncode == 0
    assert shown.stdout.count("| publ. | WinCLIP | nothing |") == 4
    assert "| AdaCLIP" not in shown.stdout
    page = lvlm_ad_command("leaderboard", "--published", "--format", "html")
    assert (page.returncode, page.stderr) == (0, "leaderboard: published.html\n")
    assert "AdaCLIP" in (tmp_path / "published.html").read_text(encoding="utf-8")
    for arguments, message in (
        (["elsewhere", "--published"], "no folder elsewhere"),
        (["--published", "--verify"], "--published cannot be combined"),
        (["--by-model", "--trained-on", "visa"], "--trained-on chooses published rows"),
        (["--published", "--shots", "9"], "No row has --shots 9. Published rows have 0,"),
        (["--published", "--trained-on", "mvtecs"], "Did you mean 'mvtec'?"),
    ):
        failed = lvlm_ad_command("leaderboard", *arguments)
        assert failed.returncode == 2
        assert message in failed.stderr


def test_filters_choose_runs_of_a_folder(lvlm_ad_command, finished):
    """By the method and the number of reference images."""
    kept = lvlm_ad_command("leaderboard", finished[0], "--shots", "0", "--method", "maps", "--format", "csv")
    assert kept.returncode == 0
    assert "contrast (dense)" in kept.stdout
    none = lvlm_ad_command("leaderboard", finished[0], "--shots", "5")
    assert none.returncode == 2
    assert "No run has the given --shots and --method" in none.stderr


@pytest.mark.parametrize("form", ["table", "md", "csv", "json", "tex"])
def test_a_leaderboard_goes_to_stdout_or_a_file(lvlm_ad_command, finished, form):
    """Every format is the same in both places."""
    printed = lvlm_ad_command("leaderboard", finished[0], "--format", form)
    assert "oracle" in printed.stdout
    to_file = lvlm_ad_command("leaderboard", finished[0], "--format", form, "-o", f"new/board.{form}")
    assert (printed.returncode, to_file.returncode, to_file.stdout) == (0, 0, "")
    written = Path(f"new/board.{form}").read_text(encoding="utf-8")
    if form == "table":
        # A terminal of 160 columns, a file of 140.
        assert written.split() == printed.stdout.split()
    else:
        assert written == printed.stdout


def test_two_runs_are_compared(lvlm_ad_command, finished):
    """A table of all metrics, or JSON; three runs need a page."""
    folders = [run["dir"] for run in finished[1]]
    table = lvlm_ad_command("compare", folders[0], folders[2], "--resamples", 100)
    assert table.returncode == 0, table.stderr
    for text in ("contrast minus chance: mean of 2 categories", "pixel_aupro", "largest differences"):
        assert text in table.stdout
    compared = json.loads(lvlm_ad_command("compare", folders[0], folders[3], "--images", 2, "--json").stdout)
    assert (compared["names"], len(compared["images"])) == (["contrast", "oracle"], 2)
    several = lvlm_ad_command("compare", folders[0], folders[2], folders[3])
    assert (several.returncode, "--html DIR" in several.stderr) == (2, True)


def test_divisions_are_stored(quick_bench):
    """A second bench divides no image; another division is computed again. The old name --no-frame still works."""
    first = quick_bench("--model", "chance")
    again = quick_bench("--model", "oracle", "--reference-rows", "--no-frame")
    other = quick_bench("--model", "oracle", "--set", "grid_rows=3")
    assert "dividing: 12\n" in first.stderr
    assert ("chance" in first.stdout, "dividing" in first.stdout) == (True, False)
    assert "dividing: 12 (12 stored)" in again.stderr
    assert "chance:" not in again.stderr
    assert "dividing: 12\n" in other.stderr


@pytest.mark.slow
def test_images_without_a_usable_answer_end_with_3(quick_bench, endpoint):
    """The counts and a remedy are printed. A model's escape sequences do not reach the terminal."""
    endpoint.reply = lambda _: (400, {"error": {"message": "bad \x1b[31mpicture\x07"}}, {})
    replies = iter(["image anomaly score: 0.5."] + ["No idea."] * 5)
    rejected = endpoint.reply
    endpoint.reply = lambda body: next(replies, None) or rejected(body)
    options = ("--model", "gpt-4v", "--set", f"base_url={endpoint.url}", "--concurrency", 1)
    done = quick_bench(*options, "--json", env={"OPENAI_API_KEY": "sk-x"})
    assert done.returncode == 3, done.stderr
    answers = json.loads(done.stdout)["runs"][0]["metrics"]["answers"]
    assert (answers["usable"], answers["total"]) == (1, 12)
    assert "--retry-failed asks again" in done.stderr
    assert r"bad \x1b[31mpicture" in " ".join(done.stderr.split())
    assert "\x1b" not in done.stderr


@pytest.mark.slow
def test_a_dry_run_asks_nothing(quick_bench, endpoint):
    """It prints the number of questions and their cost on stdout, as text or JSON."""
    options = ("--model", "gpt-4v", "--set", f"base_url={endpoint.url}", "--dry-run")
    prices = ("--set", "price_input=2.5", "--set", "price_output=10", "--set", "image_tokens=fixed 500")
    done = quick_bench(*options, *prices, env={"OPENAI_API_KEY": "sk-x"})
    assert (done.returncode, endpoint.asked) == (0, [])
    assert re.search(r"gpt-4v: 12 questions, 0 already answered, 12 to ask; input tokens about .* USD", done.stdout)
    done = quick_bench(*options, "--json", env={"OPENAI_API_KEY": "sk-x"})
    assert json.loads(done.stdout)["forecast"][0]["to_ask"] == 12


@pytest.mark.parametrize(
    "key", [("--set", "api_key_env=MY_KEY"), ("--set", "api_key_file=absent")], ids=["a variable", "a file"]
)
def test_a_dry_run_needs_no_key(quick_bench, key):
    """Costs can be estimated before there is a key; asking needs one, which is said before an image is divided."""
    options = ("--model", "gpt-4v", "--limit", "1", *key)
    estimated = quick_bench(*options, "--dry-run")
    assert (estimated.returncode, "2 to ask" in estimated.stdout) == (0, True), estimated.stderr
    asked = quick_bench(*options, "--out", "fresh")
    assert asked.returncode == 2
    assert "key" in asked.stderr
    assert "dividing" not in asked.stderr


@pytest.mark.parametrize(
    ("model", "more", "says"),
    [
        (
            "gpt-4o",
            (),
            "gpt-4o: asks gpt-4o at https://api.openai.com/v1; the provider remove[ds] this model on 2027-01-14.",
        ),
        ("gpt-4v", ("--set", "model=gpt-9"), r"gpt-4v: asks gpt-9 at https://api.openai.com/v1\.$"),
        ("gpt-4v", ("--set", "base_url=http://127.0.0.1:9/v1"), r"gpt-4v: asks gpt-4o at http://127.0.0.1:9/v1\.$"),
        ("contrast", (), r"^dividing: 2$"),
    ],
)
def test_the_model_that_is_asked_is_named_at_the_start(quick_bench, model, more, says):
    """The first line says which model a preset asks, where, and when its provider removes it, if that is known."""
    done = quick_bench("--model", model, "--limit", "1", *more, "--dry-run")
    assert re.match(says, done.stderr.splitlines()[0]), done.stderr


def test_ask_writes_one_picture(lvlm_ad_command, kept_data):
    """One image, one model: scores as text or JSON on stdout, and a PNG with image, marks, answer and map."""
    image = kept_data / "bolt" / "test" / "hole" / "001.png"
    done = lvlm_ad_command("ask", image, "--model", "contrast", *GRID, "--json")
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout)
    assert 0 <= asked["image_score"] <= 1
    with Image.open(asked["picture"]) as picture:
        assert picture.width > 3 * picture.height
        assert np.asarray(picture).std() > 20
    shown = lvlm_ad_command("ask", image, "--model", "contrast", *GRID).stdout
    assert re.search(rf"image score: 0.*\nregions: .*\npicture: {asked['picture']}\n", shown)
    oracle = lvlm_ad_command("ask", image, "--model", "oracle", *GRID)
    assert oracle.returncode == 2
    assert "ground truth" in oracle.stderr


def test_ask_asks_a_chat_model_as_a_bench_would(lvlm_ad_command, kept_data, endpoint):
    """The question names the product only with --category; the answer is shown, stored and not asked again."""
    image = kept_data / "bolt" / "test" / "hole" / "001.png"
    ask = ("ask", image, "--model", "gpt-4v", "--set", f"base_url={endpoint.url}", *GRID)
    endpoint.reply = lambda _: "image anomaly score: 0.5.\nregion 3: 0.25."
    for more in ((), (), ("--category", "metal_nut")):
        asked = lvlm_ad_command(*ask, *more)
        assert asked.returncode == 0
        shown = "model: gpt-4v (gpt-4o)\nanswer: image anomaly score: 0.5.\nanswer: region 3: 0.25.\nimage score: 0.500"
        assert shown in asked.stdout
        assert asked.stderr.startswith("gpt-4v: asks gpt-4o")
    texts = [body["messages"][0]["content"][-1]["text"] for body in endpoint.asked]
    assert ["metal nut" in text for text in texts] == [False, True]
    compared = lvlm_ad_command(*ask, "--method", "pairs")
    assert (compared.returncode, len(endpoint.asked)) == (2, 2)
    assert "lvlm-ad inspect FOLDER --good DIR" in compared.stderr
    assert "regions:" not in lvlm_ad_command(*ask[:6], "--set", "image_size=96", "--method", "score").stdout


def test_regions_shows_a_division(lvlm_ad_command, kept_data):
    """A marked picture of the protocol's size, and how many regions; a file name that is no picture is an error."""
    image = kept_data / "bolt" / "test" / "good" / "000.png"
    done = lvlm_ad_command("regions", image, *GRID, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["picture"], result["count"] > 1) == ("000-regions.png", True)
    with Image.open("000-regions.png") as picture:
        assert picture.size == (96, 96)
    done = lvlm_ad_command("regions", image, *GRID, "-o", "deep/er/a.png")
    assert (done.returncode, done.stdout) == (0, f"regions: {result['count']}\npicture: deep/er/a.png\n")
    assert Path("deep/er/a.png").is_file()
    done = lvlm_ad_command("regions", image, *GRID, "-o", "a.txt")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "a.txt does not end in .png" in done.stderr


def test_a_model_says_which_methods_it_can_be_inspected_with(lvlm_ad_command):
    """A model whose convention is unknown cannot answer in boxes, and says why; naming one is the remedy."""

    def methods(*settings):
        told = json.loads(lvlm_ad_command("models", "vllm", "--json", "--set", "model=m", *settings).stdout)
        return {one["name"]: one["why_not"] for one in told["methods"]}

    assert {name for name, why_not in methods().items() if not why_not} >= {"regions", "score", "yes-no", "cells"}
    assert "--set convention=NAME" in methods()["boxes"]
    assert methods("--set", "convention=qwen3_1000")["boxes"] == ""
    table = lvlm_ad_command("models", "vllm").stdout
    assert re.search(r"\nNot boxes, masks, points: its preset names no convention", table)
    assert "no setting 'convntion'. Did you mean" in lvlm_ad_command("models", "vllm", "--set", "convntion=x").stderr
    assert "Name the model" in lvlm_ad_command("models", "--check").stderr


@pytest.mark.slow
def test_models_say_whether_they_can_run(lvlm_ad_command):
    """Each preset and plugin is listed, ready or with the reason why not; one model is listed with its options."""
    listed = {model["name"]: model for model in json.loads(lvlm_ad_command("models", "--json").stdout)["models"]}
    assert listed["contrast"]["ready"]
    assert not listed["gpt-4v"]["ready"]
    assert "OPENAI_API_KEY" in listed["gpt-4v"]["why_not"]
    assert re.match("the provider remove[ds] this model on 2027-01-14", listed["gpt-4o"]["end"])
    assert (listed["gpt-4o"]["end_of_life"], listed["gemini"]["end_of_life"]) == ("2027-01-14", None)
    runs_with = [listed[name]["engines"] for name in ("qwen3-vl-8b", "minicpm-v-4.5", "gpt-4o", "contrast")]
    assert runs_with == [["transformers", "vllm"], ["vllm"], [], []]
    model = json.loads(lvlm_ad_command("models", "gpt-4o", "--json", env={"OPENAI_API_KEY": "sk-x"}).stdout)
    options = {option["name"]: option for option in model["options"]}
    assert (options["model"]["value"], options["model"]["changes_answers"]) == ("gpt-4o", True)
    assert (options["timeout"]["type"], options["timeout"]["changes_answers"]) == ("float", False)
    table = lvlm_ad_command("models", "gpt-4o", env={"OPENAI_API_KEY": "sk-x"}).stdout
    assert "reasoning_effort" in table
    assert "this model on 2027-01-14" in table


def test_data_commands(lvlm_ad_command, small_data):
    """The command info counts; check reads everything and reports all problems with exit status 2."""
    info = json.loads(lvlm_ad_command("data", "info", "--data", small_data, "--json").stdout)
    assert (info["images"], [category["good"] for category in info["categories"]]) == (12, [3, 3])
    assert "bolt" in lvlm_ad_command("data", "info", "--data", small_data).stdout
    sound = lvlm_ad_command("data", "check", "--data", small_data)
    assert (sound.returncode, sound.stdout) == (0, "12 test images; errors: 0; warnings: 0.\n")
    (small_data / "bolt" / "test" / "hole" / "000.png").write_bytes(b"no image")
    (small_data / "nut1" / "ground_truth" / "hole" / "002_mask.png").write_bytes(b"no mask")
    checked = lvlm_ad_command("data", "check", "--data", small_data, "--json")
    assert checked.returncode == 2
    problems = json.loads(checked.stdout)["problems"]
    assert [problem["severity"] for problem in problems].count("error") == 2


def test_file_names_and_markup_are_shown_as_text(lvlm_ad_command, tmp_path):
    """Names with brackets, newlines and escapes are neither markup nor terminal commands."""
    root = tmp_path / "[red]odd\x1b[31m\nname"
    root.mkdir()
    done = lvlm_ad_command("data", "info", "--data", root)
    assert done.returncode == 2
    assert "[red]odd" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.slow
def test_the_real_tiles(lvlm_ad_command, shared):
    """On photographs of magnetic tiles, chance ranks below contrast, and contrast below the oracle."""
    data = ("--dataset", "folder", "--data", shared / "data", "--category", "magnetic_tile", "--limit", 12)
    done = lvlm_ad_command("bench", *data, "--resamples", 0, "--json")
    assert done.returncode == 0, done.stderr
    auroc = {run["model"]: run["metrics"]["mean"]["pixel_auroc"] for run in json.loads(done.stdout)["runs"]}
    assert 0.35 < auroc["chance"] < 0.65 < auroc["contrast"] < auroc["oracle"]
