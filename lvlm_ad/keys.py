"""Tell by their names which options and variables hold a secret: no message, table or file may contain its value."""

from __future__ import annotations

import re

__all__ = ["is_secret_option", "is_secret_variable"]

_OPTION = re.compile(
    r"(?:\w*_)?(?:api_?key|(?:access|secret|private|auth)_key|(?:access|api|auth|bearer|hf|hub|refresh)_token"
    r"|secret|password|passwd|passphrase|credentials?)|key|token"
)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|SECRET|PASS|PASSWORD)")


def is_secret_option(name: str) -> bool:
    """Say whether an option of this name holds a secret itself, not the name of a variable or file that does.

    Example:
        >>> is_secret_option("api_key"), is_secret_option("api_key_env"), is_secret_option("stop_token")
        (True, False, False)
    """
    return bool(_OPTION.fullmatch(name.lower()))


def is_secret_variable(name: str) -> bool:
    """Say whether an environment variable of this name holds a secret.

    Example:
        >>> is_secret_variable("OPENAI_API_KEY"), is_secret_variable("HOME")
        (True, False)
    """
    return bool(_VARIABLE.fullmatch(name.upper()))
