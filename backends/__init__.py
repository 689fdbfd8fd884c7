"""Backends of this repository: ways of reaching a model, one package each."""
