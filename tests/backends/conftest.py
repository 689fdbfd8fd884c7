"""An environment that holds a scripted vLLM, and models for it."""

import json
import venv
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "scripted_vllm.py"
VERSIONS = {"vllm": "0.32.0+cpu", "torch": "2.13.0+cpu", "transformers": "5.19.0"}


@pytest.fixture(scope="session")
def scripted_vllm(tmp_path_factory):
    """The program vllm of an environment of its own, as pip would install it; see ``scripted_vllm.py``."""
    home = tmp_path_factory.mktemp("vllm env")
    venv.EnvBuilder(symlinks=True, with_pip=False).create(home)
    packages = next(home.glob("lib/python3*/site-packages"))
    for name, version in VERSIONS.items():
        folder = packages / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    module = packages / "vllm" / "model_executor" / "models"
    module.mkdir(parents=True)
    (module / "registry.py").write_text(
        "class ModelRegistry:\n"
        "    @staticmethod\n"
        "    def get_supported_archs():\n"
        "        return ['Qwen2_5_VLForConditionalGeneration', 'Gemma3ForConditionalGeneration']\n"
    )
    program = home / "bin" / "vllm"
    # A path with a blank cannot stand in a first line; pip writes this instead.
    python = home / "bin" / "python3"
    program.write_text(f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n{PROGRAM.read_text()}")
    program.chmod(0o755)
    return program


@pytest.fixture
def served_model(tmp_path):
    """The folder of a model that the scripted vLLM serves; its weights are empty."""
    folder = tmp_path / "tiny model"
    folder.mkdir()
    config = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl"}
    (folder / "config.json").write_text(json.dumps(config))
    header = b"{}      "
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder


@pytest.fixture
def seen(served_model):
    """A function that returns what the scripted vLLM was given: how it was started, and the bodies of questions."""

    def read():
        file = served_model / "seen.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [one for one in lines if "arguments" in one], [one["body"] for one in lines if "body" in one]

    return read


@pytest.fixture
def backend(scripted_vllm, served_model, tmp_path, monkeypatch):
    """Build a backend on the scripted vLLM; all are closed at the end."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    from lvlm_ad_backends.vllm import VllmBackend, VllmOptions

    from lvlm_ad.presets import validated

    built = []

    def build(mode="", **options):
        monkeypatch.setenv("SCRIPTED_VLLM", mode)
        settings = {"model": str(served_model), "vllm": scripted_vllm, **options}
        built.append(VllmBackend(validated(VllmOptions, settings, "model")))
        return built[-1]

    yield build
    for one in built:
        one.close()
