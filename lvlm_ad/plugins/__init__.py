"""Finds backends and baselines: those of installed packages by name, the user's own by file or module."""

from lvlm_ad.plugins.classes import Kind
from lvlm_ad.plugins.installed import installed, load_installed, owner, plugin_names
from lvlm_ad.plugins.models import Model, build, find_model, load_plugin

__all__ = [
    "Kind",
    "Model",
    "build",
    "find_model",
    "installed",
    "load_installed",
    "load_plugin",
    "owner",
    "plugin_names",
]
