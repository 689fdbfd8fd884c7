"""What is installed, which devices, keys and data sets there are."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from lvlm_ad import __version__
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.load import default_root
from lvlm_ad.doctor.finding import Finding, State
from lvlm_ad.errors import LvlmAdError, where
from lvlm_ad.plugins import clashes, find_model, installed, is_ours, load_installed, owner, unreadable
from lvlm_ad.presets import preset_names

__all__ = ["machine_findings"]

_CORE = ("numpy", "scipy", "scikit-image", "scikit-learn", "pillow", "pydantic", "matplotlib", "openai")
_EXTRAS = {
    "torch": "local",
    "transformers": "local",
    "accelerate": "local",
    "xgrammar": "constrain",
    "open_clip_torch": "clip",
    "ray": "ray",
}


def machine_findings() -> Iterator[Finding]:
    """Look at the installation, the devices, the keys (whether they are set, never what they are) and the data sets."""
    yield Finding(
        "installed", "lvlm-ad", "ok", f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    )
    for name in _CORE:
        found = _version(name)
        state: State = "ok" if found else "problem"
        yield Finding("installed", name, state, found or "not installed", "" if found else f"pip install {name}")
    for name, extra in _EXTRAS.items():
        found = _version(name)
        yield Finding(
            "installed", name, "ok" if found else "absent", found or f"not installed: pip install 'lvlm-ad[{extra}]'"
        )
    yield from _plugins()
    yield from _devices()
    yield from _keys()
    yield from _data_sets()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _plugins() -> Iterator[Finding]:
    """Load what strangers' packages bring; one that is broken stops no other."""
    for name, said in clashes(preset_names("models")).items():
        yield Finding("installed", name, "problem", said)
    for said in unreadable():
        yield Finding("installed", "entry points", "problem", said)
    for kind in ("backend", "baseline"):
        for name, entries in sorted(installed(kind).items()):
            if is_ours(entries[0]):
                continue
            try:
                load_installed(kind, name)
            except LvlmAdError as error:
                yield Finding("installed", f"{kind} {name}", "problem", str(error))
            else:
                yield Finding("installed", f"{kind} {name}", "ok", owner(entries[0]))


def _devices() -> Iterator[Finding]:
    yield Finding("devices", "processors", "ok", str(os.cpu_count()))
    if find_spec("torch") is None:
        return
    try:
        from lvlm_ad.weights import chosen_device, device_name  # noqa: PLC0415 - torch takes seconds

        yield Finding("devices", "torch", "ok", device_name(chosen_device("auto")))
    except Exception as error:  # noqa: BLE001 - a broken installation of torch can raise anything
        yield Finding("devices", "torch", "problem", f"it cannot be used: {where(error)}")


def _keys() -> Iterator[Finding]:
    users: dict[str, list[str]] = {}
    for name in preset_names("models"):
        try:
            model, _ = find_model(name, {})
        except LvlmAdError:
            continue
        default = model.plugin.Options.model_fields.get("api_key_env")
        variable = model.preset.options.get("api_key_env", default.default if default else "")
        if variable:
            users.setdefault(str(variable), []).append(name)
    for variable, names in sorted(users.items()):
        there = bool(os.environ.get(variable, "").strip())
        yield Finding(
            "keys", variable, "ok" if there else "absent", f"{'set' if there else 'not set'}: {', '.join(names)}"
        )


def _data_sets() -> Iterator[Finding]:
    for name in ("mvtec", "visa", "demo"):
        folder = default_root(name)
        if not folder.is_dir():
            had = "drawn when it is needed" if name == "demo" else f"lvlm-ad data download {name}, or --data PATH"
            yield Finding("data sets", name, "absent", f"not in {folder}: {had}")
            continue
        try:
            dataset = load_dataset(name)
        except LvlmAdError as error:
            yield Finding("data sets", name, "problem", str(error))
        else:
            yield Finding("data sets", name, "ok", f"{len(dataset)} test images in {folder}")
