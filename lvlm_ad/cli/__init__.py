"""The command line: a thin shell over the library."""

from lvlm_ad.cli.app import app, main

__all__ = ["app", "main"]
