"""Write a package with a working backend, baseline or method, for users to start from."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from lvlm_ad import __version__
from lvlm_ad.errors import ConfigError
from lvlm_ad.plugins import method_names, plugin_names
from lvlm_ad.presets import preset_names

if TYPE_CHECKING:
    from lvlm_ad.plugins import AnyKind

__all__ = ["new_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(kind: AnyKind, name: str, folder: Path | None = None) -> Path:
    """Write a package with one backend, baseline or method, its entry point and a test of its contract.

    Args:
        kind: backend, baseline or method.
        name: name for ``--model`` or ``--method``: small letters, digits and single dashes.
        folder: folder to create; None: one of that name in the current folder.

    Returns:
        The folder.

    Raises:
        ConfigError: the name is invalid or taken by another model or method, or the folder exists.

    Example:
        >>> import tempfile
        >>> folder = new_plugin("backend", "my-model", Path(tempfile.mkdtemp(), "made"))
        >>> (folder / "src" / "lvlm_ad_my_model" / "__init__.py").is_file()
        True
    """
    module = name.replace("-", "_")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r:.80} cannot be the name of a {kind}; give small letters and digits, with single dashes between "
            "them, such as my-model."
        )
    if kind == "method" and name in method_names():
        raise ConfigError(f"There is a method {name!r} already; give another name.")
    if kind != "method" and name in {*preset_names("models"), *plugin_names("backend"), *plugin_names("baseline")}:
        raise ConfigError(f"There is a model {name!r} already ('lvlm-ad models {name}' shows it); give another name.")
    if find_spec(f"lvlm_ad_{module}") is not None:
        raise ConfigError(
            f"A package lvlm_ad_{module} is installed already, which {name!r} would replace; give another name."
        )
    target = folder or Path(name)
    words = {
        "name": name,
        "package": f"lvlm_ad_{module}",
        "class_name": "".join(part.capitalize() for part in name.split("-")) + kind.capitalize(),
        "kind": kind,
        "version": __version__,
        "use": "--model gpt-4o --method" if kind == "method" else "--model",
    }
    try:
        target.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{target} exists already; nothing was written.") from None
    for path, template in {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README_method.md" if kind == "method" else "README.md",
        f"src/{words['package']}/__init__.py": f"{kind}.py",
        "tests/test_contract.py": "test_contract.py",
    }.items():
        text = (files("lvlm_ad.new_plugin") / "templates" / f"{template}.txt").read_text(encoding="utf-8")
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(text).substitute(words), encoding="utf-8")
    return target
