"""Pages of runs, comparisons and leaderboards, and a picture of the three steps for one image."""

from lvlm_ad.report.overview import heat, overview

__all__ = ["heat", "overview"]
