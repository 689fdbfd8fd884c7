"""Run a method's conversations in another Python process, where sets of strings have another order."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lvlm_ad.testing.any_plugin import file_of, in_fresh_python
from lvlm_ad.testing.conversations import answers_of, converse, view_of

if TYPE_CHECKING:
    from lvlm_ad.methods import Method

__all__ = ["keys_elsewhere", "keys_here"]

_PROBE = """
import importlib.util, json
module, file, name, options, *kinds = sys.argv[1:]
from lvlm_ad.testing.elsewhere import keys_here
spec = importlib.util.spec_from_file_location(module, file)
sys.modules[module] = loaded = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loaded)
cls = getattr(loaded, name)
keys = keys_here(cls(cls.Options.model_validate_json(options)), kinds)
sys.stdout = sys.__stdout__
print("\\n" + json.dumps(keys))
"""


def keys_here(method: Method, kinds: Iterable[str]) -> list[list[str]]:
    """Return the keys of the questions that a method asks, for each kind of answers."""
    return [converse(method, view_of(method), answers_of(kind)).keys for kind in kinds]


def keys_elsewhere(method: Method, kinds: Iterable[str]) -> list[list[str]] | None:
    """Return the same from another Python process; None for a class that it cannot import, as from a notebook."""
    cls, file = method.implementation, file_of(method)
    if file is None or getattr(sys.modules[cls.__module__], cls.__name__, None) is not cls:
        return None
    arguments = (str(file.resolve()), cls.__name__, method.options.model_dump_json(), *kinds)
    other_order = {**os.environ, "PYTHONHASHSEED": "271828"}
    keys: list[list[str]] = in_fresh_python(_PROBE, cls.__module__, *arguments, env=other_order)
    return keys
