"""Finds backends and baselines: those of installed packages by name, the user's own by file or module."""

from lvlm_ad.plugins.classes import Kind
from lvlm_ad.plugins.installed import clashes, installed, is_ours, load_installed, owner, plugin_names, unreadable
from lvlm_ad.plugins.models import Model, build, find_model, load_plugin

__all__ = [
    "Kind",
    "Model",
    "build",
    "clashes",
    "find_model",
    "installed",
    "is_ours",
    "load_installed",
    "load_plugin",
    "owner",
    "plugin_names",
    "unreadable",
]
