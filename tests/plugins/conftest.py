"""Files and packages of users."""

import importlib
import sys

import pytest


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a file into the current folder; the test's modules are forgotten after it."""
    monkeypatch.chdir(tmp_path)

    def make(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
        importlib.invalidate_caches()
        return path

    yield make
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def install(write, tmp_path, monkeypatch):
    """A function that installs a distribution of one module: name, group, entry point, source."""

    def make(distribution, group, entry, source):
        module = entry.split("=")[1].strip().split(":")[0]
        info = f"{distribution.replace('-', '_')}-1.5.dist-info"
        write(f"site/{module}.py", source)
        write(f"site/{info}/METADATA", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        write(f"site/{info}/RECORD", f"{module}.py,,\n")
        write(f"site/{info}/entry_points.txt", f"[lvlm_ad.{group}]\n{entry}\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    return make
