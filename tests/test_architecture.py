"""The rules of docs/architecture.md: the import graph is the data flow, and the framework knows no concrete model."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

LEAVES = (
    "errors",
    "guard",
    "missing",
    "keys",
    "log",
    "store",
    "progress",
    "arrays",
    "weights",
    "presets",
    "versions",
    "backend",
    "baseline",
)
"""Everything may import these; among them, each only those before it."""

STAGES = (
    "datasets",
    "regions",
    "prompts",
    "asking",
    "text2seg",
    "detectors",
    "metrics",
    "runs",
    "plugins",
    "engines",
    "evaluate",
    "leaderboard",
    "compare",
    "report",
    "testing",
    "pytest_plugin",
    "new_plugin",
    "doctor",
    "cli",
)
"""In the order of the data flow: a stage imports only earlier ones and the leaves."""

HEAVY = ("torch", "torchvision", "transformers", "safetensors", "huggingface_hub", "open_clip", "ray", "openai")

DEFERRED = {
    "lvlm_ad/regions/sam.py": {"torch", "transformers"},
    "lvlm_ad/weights.py": {"huggingface_hub", "torch"},
    "lvlm_ad/engines/cluster.py": {"ray"},
}
"""The framework's own uses of heavy packages, each inside a function: no plugin stands between them and the user."""


def modules():
    return sorted((REPOSITORY / "lvlm_ad").rglob("*.py"))


def stage_of(dotted):
    return dotted.split(".")[1] if dotted.count(".") else ""


def outside_functions(node):
    """Every node of a syntax tree that runs when the module is imported."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from outside_functions(child)


def imports(path, walk=ast.walk):
    """Every module that a file imports, at any place in it that ``walk`` finds."""
    found = []
    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            submodules = [f"{base}.{alias.name}" for alias in node.names] if base == "lvlm_ad" else [base]
            found += submodules
    return found


def test_the_table_lists_every_module():
    """No module of the package stands outside the table, and none is called utils, helpers, common or misc."""
    top = {path.relative_to(REPOSITORY / "lvlm_ad").parts[0].removesuffix(".py") for path in modules()}
    assert top - {"__init__", "__main__"} == set(LEAVES) | set(STAGES)
    assert not {path.stem for path in modules()} & {"utils", "util", "helpers", "common", "misc"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_module_imports_only_earlier_stages(path):
    """The import graph is the data flow."""
    own = path.relative_to(REPOSITORY / "lvlm_ad").parts[0].removesuffix(".py")
    if own in {"__init__", "__main__"}:
        return
    order = [*LEAVES, *STAGES]
    for name in imports(path):
        if not name.startswith("lvlm_ad.") or stage_of(name) in {own, "__version__"}:
            continue
        assert order.index(stage_of(name)) < order.index(own), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_the_framework_knows_no_concrete_model(path):
    """No module of the framework imports a plugin or names a plugin; a few import heavy packages, when used."""
    allowed = DEFERRED.get(path.relative_to(REPOSITORY).as_posix(), set())
    for name in imports(path):
        assert not name.startswith(("lvlm_ad_backends", "lvlm_ad_baselines")), f"{path.name} imports {name}"
        assert name.partition(".")[0] not in set(HEAVY) - allowed, f"{path.name} imports {name}"
    for name in imports(path, outside_functions):
        assert name.partition(".")[0] not in HEAVY, f"{path.name} imports {name} when it is imported itself"
    text = path.read_text(encoding="utf-8")
    assert "lvlm_ad_backends" not in text
    assert "lvlm_ad_baselines" not in text


def test_plugins_of_this_repository_are_found_like_a_strangers():
    """Every backend and baseline file is declared as an entry point, and each entry point can be loaded."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        value.split(":")[0]
        for group in ("lvlm_ad.backends", "lvlm_ad.baselines")
        for value in project["entry-points"][group].values()
    }
    for folder in ("backends", "baselines"):
        written = {f"lvlm_ad_{folder}.{path.stem}" for path in (REPOSITORY / folder).glob("[a-z]*.py")}
        assert written <= declared
    for group in ("lvlm_ad.backends", "lvlm_ad.baselines"):
        for name in project["entry-points"][group]:
            (entry,) = entry_points(group=group, name=name)
            assert isinstance(entry.load(), type)


def test_every_package_is_listed_for_the_wheel():
    """The build is told of every package folder, and of no other."""
    listed = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    packages = {
        ".".join(path.parent.relative_to(REPOSITORY).parts) for path in (REPOSITORY / "lvlm_ad").rglob("__init__.py")
    }
    # setuptools takes folders of files that a package reads for packages too.
    data = {"lvlm_ad.new_plugin.templates", "lvlm_ad.report.templates"}
    data |= {f"lvlm_ad_configs.{path.name}" for path in (REPOSITORY / "configs").iterdir() if any(path.glob("*.toml"))}
    assert listed == packages | data | {"lvlm_ad_backends", "lvlm_ad_baselines", "lvlm_ad_configs"}


def loaded_by(code):
    """The modules that a fresh interpreter has loaded after some code."""
    script = f"import sys\n{code}\nprint(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_help_imports_nothing_heavy():
    """`import lvlm_ad` and `lvlm-ad --help` load neither the plugins' packages nor the numeric ones."""
    slow = {*HEAVY, "sklearn", "skimage", "scipy", "numpy", "PIL", "pydantic", "joblib"}
    assert not loaded_by("import lvlm_ad") & slow
    helping = "from lvlm_ad.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass"
    assert not loaded_by(helping) & slow


def test_a_bench_of_the_offline_rows_needs_no_openai(tmp_path):
    """The offline rows run without importing openai or torch."""
    code = (
        "import lvlm_ad, pathlib\n"
        f"lvlm_ad.bench(models=['chance'], frame=False, limit=1, out=pathlib.Path({str(tmp_path)!r}))"
    )
    assert not loaded_by(code) & set(HEAVY)


def test_every_test_says_what_holds():
    """Each test has a docstring: one sentence or two that say what holds."""
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_public_names():
    """`__all__` of every package is sorted (constants, classes, functions), and each name in it exists."""
    import importlib

    def order(name):
        return (not name.isupper(), not name[0].isupper(), name)

    for name in ("lvlm_ad", *(f"lvlm_ad.{stage}" for stage in (*LEAVES, *STAGES))):
        module = importlib.import_module(name)
        assert list(module.__all__) == sorted(module.__all__, key=order), name
        assert all(getattr(module, public) is not None for public in module.__all__), name
