"""Which options and variables hold a secret, by their names: no message, table or file may hold its value."""

from __future__ import annotations

import re

__all__ = ["holds_secret", "is_variable_of_secret", "named_variables"]

_OPTION = re.compile(
    r"(?:\w*_)?(?:api_?key|(?:access|secret|private|auth)_key|(?:access|api|auth|bearer|hf|hub|refresh)_token"
    r"|secret|password|passwd|passphrase|credentials?)|key|token"
)
"""Not every "token" is one: there are stop tokens and image tokens."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|SECRET|PASS|PASSWORD)")


def holds_secret(option: str) -> bool:
    """Say whether an option of this name holds a secret itself, not the name of a variable or file that does."""
    return bool(_OPTION.fullmatch(option.lower()))


def is_variable_of_secret(name: str) -> bool:
    """Say whether an environment variable of this name holds a secret."""
    return bool(_VARIABLE.fullmatch(name.upper()))


def named_variables(text: str) -> set[str]:
    """Return the variables for secrets that stand in quotes in a source text."""
    return {found for found in re.findall(r"[\"']([A-Z][A-Z0-9_]*)[\"']", text) if is_variable_of_secret(found)}
