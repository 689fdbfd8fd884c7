"""Figures for papers: bars by category, and scores against cost."""

from lvlm_ad.leaderboard import Board
from lvlm_ad.leaderboard.board import Entry, Group
from lvlm_ad.report.paper_figures import category_bars, run_bars, save_board_figures
from lvlm_ad.runs import METRIC_NAMES


def entry(name, value, kind="ranked", cost=None):
    """A row with two categories, the first of which has an interval."""
    return Entry(
        name=name,
        kind=kind,
        rank=None,
        metrics=dict.fromkeys(METRIC_NAMES, value),
        usd_per_image=cost,
        categories={"nut": {"image_auroc": value}, "bolt": {"image_auroc": None}},
        category_intervals={"nut": {"image_auroc": (value - 0.1, value + 0.05)}},
    )


def heights(plot):
    """The heights of all bars, in percent."""
    return [round(bar.get_height(), 6) for bar in plot.figure.axes[0].patches]


def test_a_bar_has_its_value_and_a_line_its_interval():
    """An undefined value has no bar; the words say the same."""
    nut = {"image_auroc": 0.5, "interval": {"image_auroc": (0.25, 0.875)}}
    first = {"nut": nut, "bolt": {"image_auroc": None}, "mean": {"image_auroc": 0.75}}
    rows = [("x", first), ("y", {"nut": {"image_auroc": 0.0}})]
    plot = category_bars(rows, "image_auroc", "bars")
    assert heights(plot) == [50.0, 75.0, 0.0]
    lines = [line.get_ydata() for line in plot.figure.axes[0].lines]
    assert [25.0, 87.5] in [list(line) for line in lines if len(line) == 2]
    assert plot.alt == "Image AUROC by category: x: nut 50.0, mean 75.0; y: nut 0.0."
    assert [tick.get_text() for tick in plot.figure.axes[0].get_xticklabels()] == ["nut", "bolt", "mean"]


def test_nothing_to_draw_is_no_figure():
    """A metric that is undefined everywhere."""
    assert category_bars([("x", {"nut": {"pixel_ap": None}})], "pixel_ap", "bars") is None
    measures = {"image_auroc": 0.5, "interval": {"image_auroc": [0.4, 0.6]}}
    (plot,) = run_bars("x", {"categories": {"nut": measures}, "mean": measures})
    assert plot.name == "bars-image-auroc"
    assert heights(plot) == [50.0]


def test_figures_of_a_leaderboard_are_written_as_pdf_and_png(tmp_path):
    """Each group has its own; reference rows come on request, and models without room are named."""
    rows = [entry(f"m$x$ {n}", 0.9 - n / 100, cost=0.01) for n in range(9)] + [entry("oracle", 1.0, "frame")]
    priced = Group("t", {"categories": ["nut"]}, tuple(rows))
    free = Group("u", {"categories": ["nut"]}, (entry("x", 0.5),))
    left_out = save_board_figures(Board((priced, free)), tmp_path / "figures", reference_rows=True)
    assert left_out == ["m$x$ 8", "oracle"]
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    names = ("bars-image-auroc-1", "bars-image-auroc-2", "cost-1")
    assert written == {f"{name}.{form}" for name in names for form in ("pdf", "png")}
    assert (tmp_path / "figures" / "cost-1.pdf").read_bytes().startswith(b"%PDF")
