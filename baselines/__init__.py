"""Baselines of this repository: methods that are not chat models, one file each."""
