"""Decisions on a run's page, without a browser: words, table and plots."""

from dataclasses import replace

import pytest

from lvlm_ad.decisions import Prices, parse_threshold
from lvlm_ad.evaluate.decide import DecisionSettings, decide
from lvlm_ad.report.decisions import decision_panel, decisions_of
from lvlm_ad.report.prevalence_plot import prevalence_plot
from lvlm_ad.report.run_plots import category_plots, run_plots


def panel_of(run, threshold="0.5", changes=None, **settings):
    """The panel of a run measured with this threshold; ``changes`` replace parts of its first category."""
    decisions = decide(DecisionSettings(parse_threshold(threshold), **settings), run.predictions)
    decisions["categories"]["bolt"] |= changes or {}
    return decision_panel(replace(run, metrics={**run.metrics, "decisions": decisions}), decisions)


def test_a_run_of_an_older_version_is_decided_at_half(kept_run):
    """The page says that the threshold is its own, and the figures are those of 0.5."""
    decisions = decisions_of(kept_run)
    panel = decision_panel(kept_run, decisions)
    assert "older version made it; this page begins with 0.5." in panel["rule"]
    assert decisions == decide(DecisionSettings(parse_threshold("0.5")), kept_run.predictions)
    assert panel["data"]["left_out"] == []


def test_a_run_says_what_its_threshold_is(kept_run):
    """Its kind, whether the threshold itself alarms, what it promises, and how many images a person decides about."""
    assert "at or above its threshold. The run's threshold: 0.5, fixed" in panel_of(kept_run)["rule"]
    silent = sum(one.image_score is None for one in kept_run.predictions)
    assert panel_of(kept_run)["notes"][0].startswith(f"{silent} of 22 images have no score.")
    promised = panel_of(kept_run, changes={"strict": True, "guarantee": 0.05, "bound95": 0.1458})
    assert "is above its threshold" in promised["rule"]
    assert "bolt: on average over references at most 5.0 % of the good images alarm" in promised["notes"][-1]
    assert "at most 14.6 %, with 95 % confidence" in promised["notes"][-1]


def test_a_missing_threshold_and_one_that_never_alarms_differ(kept_run):
    """The first decides nothing, the second lets everything pass; both give the reason."""
    reason = "on the calibration images it is best never to alarm"
    panel = panel_of(kept_run, changes={"threshold": None, "reason": reason})
    assert f"bolt: never an alarm, because {reason}." in panel["notes"]
    assert panel["data"]["thresholds"]["bolt"] == {
        "value": None,
        "strict": False,
        "text": "never alarms",
        "undecided": False,
    }
    panel = panel_of(kept_run, changes={"threshold": None, "tp": None, "reason": "too few"})
    assert "bolt: no threshold, because too few." in panel["notes"]
    assert panel["data"]["thresholds"]["bolt"]["undecided"]


def test_the_cost_of_a_part_in_words(kept_run):
    """With its interval, what other ways cost, and a verdict; the fields begin with the run's prices."""
    panel = panel_of(kept_run, prices=Prices(100, 5, 1, 0.02, 0.01))
    assert panel["data"]["prices"] == {"prevalence": 0.02, "miss": 100, "false_alarm": 5, "check": 1, "model": 0.01}
    assert panel["cost"].startswith("At the run's threshold and prices, with 2 % of the parts defective, a part costs ")
    assert "to pass everything 2, to scrap everything 4.9, to inspect everything 1." in panel["cost"]
    assert "of no use" in panel["cost"]
    assert panel_of(kept_run)["cost"] == ""


def test_images_that_chose_the_thresholds_are_left_out(kept_run):
    """They are the images that the stored counts do not contain."""
    panel = panel_of(kept_run, "calibration:0.4", seed=1)
    left = panel["data"]["left_out"]
    counted = sum(panel["pooled"][name] for name in panel["counts"])
    assert 0 < len(left) == len(kept_run.predictions) - counted
    assert f"{len(left)} images set the thresholds; the figures are those of the other {counted}." in panel["notes"]


def test_plots_of_decisions(kept_run):
    """Risk ends where answers do; ECE stands beside the value of a calibrated model; the threshold is drawn."""
    plots = {plot.name: plot for plot in run_plots(kept_run, {}, decisions_of(kept_run))}
    risk, calibration = plots["risk-coverage"].alt, plots["reliability"].alt
    assert "27.3 % of the images have no answer and are never accepted; if each of them counts as a wrong" in risk
    wrong = decisions_of(kept_run)["abstention"]["risk_abstentions_wrong"]
    assert f"{100 * wrong:.1f} % of all images are wrong." in risk
    assert "not reached at 80 %" in risk
    assert "no answer: a person decides" in plots["risk-coverage"].svg
    assert "not for that of a line" in calibration
    assert "cost" not in plots
    assert "a perfectly calibrated model would have 0." in calibration
    assert "threshold, 0.5" in plots["scores"].svg
    silent = [one.model_copy(update={"image_score": None}) for one in kept_run.predictions]
    run = replace(kept_run, predictions=silent)
    assert {"risk-coverage", "reliability"}.isdisjoint(plot.name for plot in run_plots(run, {}, decisions_of(run)))


def test_where_a_model_pays(kept_run):
    """The plot says at which shares of defective parts; a free baseline cannot be beaten, so there is no plot."""

    def plot(prices):
        return prevalence_plot(decide(DecisionSettings(parse_threshold("0.7"), prices=prices), kept_run.predictions))

    assert "it pays from 13 to 27 %." in plot(Prices(100, 20, 30, 0.3)).alt
    assert "it pays nowhere." in plot(Prices(100, 50, 0.001, 0.3)).alt
    assert plot(Prices(100, 50, 0, 0.3)) is None
    assert plot(None) is None


@pytest.mark.parametrize("left", ["image_auroc", "pixel_auroc", None])
def test_categories_side_by_side(kept_run, left):
    """Image and pixel AUROC as far as they are defined; one category alone has no plot."""
    categories = {name: dict(one) for name, one in kept_run.metrics["categories"].items()}
    for one in categories.values():
        for name in {"image_auroc", "pixel_auroc"} - {left} if left else ():
            one[name] = None
    wide, narrow = category_plots({"categories": categories})
    assert wide.alt == narrow.alt
    assert ("Image AUROC: bolt 73.3, nut1 63.3." in wide.alt) == (left != "pixel_auroc")
    assert ("Pixel AUROC: bolt 59.1, nut1 56.7." in wide.alt) == (left != "image_auroc")
    assert category_plots({"categories": {"bolt": categories["bolt"]}}) == []
    none = {name: {**one, "image_auroc": None, "pixel_auroc": None} for name, one in categories.items()}
    assert category_plots({"categories": none}) == []
