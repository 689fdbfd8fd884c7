"""Whether a plugin lets a key be seen: in what it prints, in what a run records, in its errors and answers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.backend import Backend, Request
from lvlm_ad.keys import holds_secret, is_variable_of_secret, named_variables
from lvlm_ad.plugins import as_plugin
from lvlm_ad.testing.running import expect, so_far

if TYPE_CHECKING:
    from lvlm_ad.baseline import Baseline

__all__ = ["note_leaks", "nothing_secret_is_shown"]

_SECRET = 8
"""Characters from which a value of the environment is taken for a secret."""
_MARKER = "lvlm-ad-secret-that-must-not-be-seen"


def nothing_secret_is_shown(plugin: Backend | Baseline) -> None:
    """No option holds a key itself, and no key of the environment is seen in identity, repr, answers or errors."""
    for name in plugin.Options.model_fields:
        expect(
            not holds_secret(name),
            f"the option {name!r} holds a secret, and options are written into run.json: take the name of a variable "
            f"instead, as in {name}_env: str = 'MY_KEY', and read that when it asks",
        )
    leaked = [*so_far().leaked, *_leaks(*_shown(plugin))]
    variables = _variables(plugin)
    if variables:
        with _set(variables):
            leaked += _leaks(*_said_with_a_marker(plugin))
    expect(not leaked, f"identity(), repr(), environment(), an answer or an error holds {', '.join(sorted({*leaked}))}")


def note_leaks(*texts: str) -> None:
    """Remember which keys of the environment stand in texts that came from a plugin."""
    so_far().leaked.extend(_leaks(*texts))


def _leaks(*texts: str) -> list[str]:
    secrets = {name: value for name, value in os.environ.items() if is_variable_of_secret(name)}
    return [name for name, value in secrets.items() if len(value) >= _SECRET and any(value in text for text in texts)]


def _shown(plugin: Backend | Baseline) -> list[str]:
    texts = [str(list(plugin.identity().items())), repr(plugin), str(plugin), repr(plugin.options)]
    # Whether it can say where it runs is not asked here.
    with suppress(Exception):
        texts.append(str(plugin.environment()))
    return texts


def _said_with_a_marker(plugin: Backend | Baseline) -> list[str]:
    """Build it anew where keys are set to a marker, and have it say all that it can."""
    try:
        other = as_plugin(plugin.implementation, "it").build(plugin.options)
    except BaseException as error:  # noqa: BLE001 - what it says is looked at
        return [str(error)]
    said = _shown(other)
    # One that holds a model would load it a second time.
    if isinstance(other, Backend) and not other.distributable:
        try:
            said.append(repr(other.answer(Request((), "A question asked with a wrong key."))))
        except BaseException as error:  # noqa: BLE001 - as above
            said.append(str(error))
    with suppress(Exception):
        other.close()
    return said


def _variables(plugin: Backend | Baseline) -> set[str]:
    """Return the variables for keys that its options name, or its file."""
    values = [getattr(plugin.options, name, None) for name in plugin.Options.model_fields]
    found = {one for one in values if isinstance(one, str) and one.isupper() and is_variable_of_secret(one)}
    with suppress(OSError, TypeError, UnicodeDecodeError):
        found |= named_variables(Path(inspect.getsourcefile(plugin.implementation) or "").read_text(encoding="utf-8"))
    return found


@contextmanager
def _set(variables: set[str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update({name: f"{_MARKER}-{name}" for name in variables})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
