"""The answer of a model that knows the defects: the row "oracle" of every method but the default."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.errors import PluginError
from lvlm_ad.evaluate.detectors import Detector, Prediction, make_record, method_facts
from lvlm_ad.evaluate.painting import paint_places
from lvlm_ad.evaluate.views import Views
from lvlm_ad.methods import AskedModel, Finding
from lvlm_ad.methods.flaws import flaw_of
from lvlm_ad.plugin_errors import plugin_code

if TYPE_CHECKING:
    from lvlm_ad.baseline import Baseline, Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import Regions

__all__ = ["BestDetector"]


class BestDetector(Detector["Baseline"]):
    """A baseline with ``through_method``: it answers in the format of the plan's method."""

    sees_truth = True

    def __init__(self, session: Session, model: Model, baseline: Baseline) -> None:
        super().__init__(session, model, baseline)
        self._views = Views(session, model, AskedModel(self.name))
        self.workers, self.places = os.cpu_count() or 1, session.plan.method.places

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Score one sample."""
        plan, name = self.session.plan, f"The method {self.session.plan.method_name}"
        method, side = plan.method, plan.protocol.image_size
        view, mask, label = self._views.view(sample, regions), sample.mask, float(sample.label)
        finding = Finding(label)
        if mask is not None:
            with plugin_code(f"{name} raised", name=name, after=f" ({sample.id})."):
                finding = method.best_finding(view, resize_mask(mask, (side, side)))
            if flaw := flaw_of(finding, view, method.places):
                raise PluginError(f"{name} {flaw} ({sample.id}).")
            # A defect may be too small for the mask at this size.
            finding = replace(finding, image=label)
        record = make_record(sample, finding, 0 if view.regions is None else view.regions.count)
        score_map = paint_places(finding.shapes, view.regions, side, binary=plan.protocol.binary)
        return Prediction(record, score_map, divided=method.needs_regions)

    def facts(self, row: Row) -> dict[str, Any]:
        """Return this detector's part of a row's manifest."""
        baseline, plan = self.plugin, self.session.plan
        own = {"frame": baseline.reference_row, "label": baseline.label, "notes": list(baseline.notes)}
        return {
            "model": self.model_facts(row) | own,
            "protocol": plan.protocol.model_dump(mode="json", include={"image_size", "binary"}),
            **({"division": self.session.divisions.facts} if plan.method.needs_regions else {}),
            "method": method_facts(plan),
        }
