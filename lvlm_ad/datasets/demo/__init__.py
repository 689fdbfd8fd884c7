"""The built-in demo data set: six categories of drawn or photographed things, with defects and masks."""

from __future__ import annotations

from lvlm_ad.datasets.demo.write import make_demo

__all__ = ["make_demo"]
