"""Find backends and baselines, installed ones and the user's own, and build models with them.

A name that ``--model`` takes leads to a ``Plugin`` (a class that can answer or score); with settings it is a ``Model``;
and ``build`` makes the backend or baseline.
"""

from lvlm_ad.plugins.adapt import Kind, Plugin, as_plugin
from lvlm_ad.plugins.find import (
    Model,
    build,
    clashes,
    find_model,
    installed,
    is_ours,
    load_plugin,
    owner,
    plugin_names,
)

__all__ = [
    "Kind",
    "Model",
    "Plugin",
    "as_plugin",
    "build",
    "clashes",
    "find_model",
    "installed",
    "is_ours",
    "load_plugin",
    "owner",
    "plugin_names",
]
