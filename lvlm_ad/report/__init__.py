"""Pictures of what a model saw, said and was read to mean."""

from lvlm_ad.report.overview import heat, overview

__all__ = ["heat", "overview"]
