"""Columns of the metrics of places."""

import csv
import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from lvlm_ad.cli.terminal import print_board
from lvlm_ad.leaderboard import CATEGORY_FORMATS, FORMATS, category_table, make_board, metrics_by_category
from lvlm_ad.report.board_page import board_page

PLACES = {
    "miou_box": 0.5,
    "miou_mask": 0.25,
    "acc_box_50": 0.75,
    "acc_mask_50": 0.625,
    "false_alarms": 0.125,
    "point_hit": None,
    "interval": {"miou_box": [0.4, 0.6]},
    "undefined": {"point_hit": "no points"},
}


@pytest.fixture
def boards(make_run):
    """Two tables: a model's boxes and another's, whose values differ, and a row of regions."""

    def boxes(name, auroc, **changes):
        run = make_run(name, auroc, division="", method={"name": "boxes"})
        shapes = {**PLACES, **changes}
        metrics = {**run.metrics, "mean": {**run.metrics["mean"], "shapes": shapes}}
        metrics["categories"] = {one: {**of, "shapes": shapes} for one, of in metrics["categories"].items()}
        return replace(run, metrics=metrics)

    return make_board([boxes("a", 0.9), boxes("b", 0.7, false_alarms=0.05), make_run("c")])


def test_a_table_with_places_has_their_columns(boards):
    """Only the table that has them, only those that are defined, with their meaning; intervals are kept."""
    boxes, regions = FORMATS["md"](boards).split("###")[1:]
    head = "PRO | mIoU (boxes) | mIoU (masks) | ACC@0.5 (boxes) | False alarms | To best"
    assert head in boxes
    assert "mIoU" not in regions.split("In percent")[0]
    assert "| 50.0 | 25.0 | 75.0 | 12.5 |" in boxes
    assert "mIoU (boxes): mean IoU" in regions
    assert "Point hits" not in boxes
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](boards))))
    assert [line["miou_box_high"] for line in lines] == ["0.6", "0.6", ""]
    assert "ACC@0.5 (boxes)" in FORMATS["tex"](boards)
    assert "no points" in boxes


def test_the_best_value_of_places_is_marked(boards):
    """Few places on good images are good."""
    boxes = boards.groups[0]
    assert [boxes.place(one, "false_alarms") for one in boxes.entries] == ["second", "best"]


def test_the_terminal_and_the_page_show_them(boards):
    """With their explanation; a narrow terminal names the columns that it leaves out."""
    wide, narrow = io.StringIO(), io.StringIO()
    print_board(boards, Console(file=wide, width=250))
    print_board(boards, Console(file=narrow, width=80))
    assert "mIoU (boxes): mean IoU" in wide.getvalue()
    assert "mIoU (masks)" in narrow.getvalue().split("No room here for:")[1]
    page = re.sub(r"</?span[^>]*>", "", board_page(boards))
    assert page.count('<th scope="col">mIoU (boxes)</th>') == 1
    assert "mIoU (masks): the same" in page


def test_places_can_be_chosen_by_category(boards):
    """A cell of a table by category may show them."""
    table = category_table(boards.groups[0], metrics_by_category("miou_box,acc_mask_50"))
    assert "**50.0**/**62.5**" in CATEGORY_FORMATS["md"]([table])
