"""The version of lvlm-ad, in this one place."""

__all__ = ["__version__"]

__version__ = "0.2.0.dev0"
