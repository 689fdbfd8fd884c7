"""Data sets: published ones, a folder of your own and the built-in demo, each an ordered sequence of samples."""

from lvlm_ad.datasets.check import check_dataset
from lvlm_ad.datasets.load import load_dataset
from lvlm_ad.datasets.sample import Dataset, Sample

__all__ = ["Dataset", "Sample", "check_dataset", "load_dataset"]
