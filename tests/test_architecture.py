"""The rules of docs/architecture.md: the import graph is the data flow, and the framework knows no concrete model."""

import ast
import importlib
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from lvlm_ad.plugins import load_method

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "lvlm_ad"
MODULES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

STAGES = (
    "escape",
    "deferred",
    "errors",
    "limits",
    "plugin_errors",
    "log",
    "files",
    "children",
    "tasks",
    "workers",
    "png",
    "store",
    "weights",
    "memory",
    "presets",
    "conventions",
    "backend",
    "baseline",
    "datasets",
    "regions",
    "prompts",
    "asking",
    "text2seg",
    "methods",
    "metrics",
    "decisions",
    "runs",
    "plugins",
    "engines",
    "evaluate",
    "compare",
    "leaderboard",
    "studies",
    "report",
    "site",
    "tracking",
    "testing",
    "new_plugin",
    "doctor",
    "cli",
)
"""In the order of the data flow: a module imports earlier ones and its own package."""

FACE = {"__init__", "__main__", "_version"}
"""The public face, which everything may import or which imports nothing when it is imported."""

HEAVY = {
    "torch",
    "torchvision",
    "transformers",
    "safetensors",
    "huggingface_hub",
    "open_clip",
    "ray",
    "openai",
    "mlflow",
    "wandb",
}

DEFERRED = {
    "lvlm_ad.regions.sam": {"torch", "transformers"},
    "lvlm_ad.weights": {"huggingface_hub", "torch"},
    "lvlm_ad.engines.ray": {"ray"},
    "lvlm_ad.engines.actors": {"ray"},
    "lvlm_ad.tracking": {"mlflow", "wandb"},
}
"""Where the framework itself uses a heavy package, inside a function: no plugin stands between it and the user."""


def stage(module):
    """The part of the package that a module belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def when_imported(node):
    """Every node of a syntax tree that runs when the module is imported: no function, nothing for type checkers."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        yield from when_imported(child)


@cache
def imports(path, walk=ast.walk):
    """Every module that a file imports, at any place in it that ``walk`` visits; read once for all tests."""
    names = []
    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [part if part in MODULES else node.module for part in parts]
    return names


def test_each_module_stands_in_the_order_of_stages():
    """No module of the package stands outside the order, and none is called utils, helpers, common or misc."""
    assert {stage(module) for module in MODULES} - FACE <= set(STAGES)
    assert not {path.stem for path in MODULES.values()} & {"utils", "util", "helpers", "common", "misc"}


def test_modules_import_earlier_stages_only():
    """The import graph is the data flow; imports for type checkers follow it too."""
    upward = [
        f"{module} imports {name}"
        for module, path in MODULES.items()
        for name in imports(path)
        if stage(module) not in FACE
        and name.startswith("lvlm_ad.")
        and stage(name) not in FACE
        and STAGES.index(stage(name)) > STAGES.index(stage(module))
    ]
    assert upward == []


def test_no_module_imports_itself_in_a_circle():
    """Modules can be imported in an order, one after the other; imports for type checkers count too."""
    graph = {
        module: {name for name in imports(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    # A package's own face imports its modules, and they import each other by name.
    TopologicalSorter(
        {module: names for module, names in graph.items() if MODULES[module].stem != "__init__"}
    ).prepare()


def test_the_framework_knows_no_concrete_model():
    """No module of the framework names a plugin; a few import heavy packages, when they are used."""
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert "lvlm_ad_backends" not in text, module
        assert "lvlm_ad_baselines" not in text, module
        allowed = DEFERRED.get(module, set())
        assert not {name.partition(".")[0] for name in imports(path)} & (HEAVY - allowed), module
        assert not {name.partition(".")[0] for name in imports(path, when_imported)} & HEAVY, module


def test_plugins_of_this_repository_are_found_like_a_strangers():
    """Every backend and baseline file is declared as an entry point, and each entry point can be loaded."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {f"lvlm_ad.{folder}": folder for folder in ("backends", "baselines")}
    declared = {value.split(":")[0] for group in groups for value in project["entry-points"][group].values()}
    for group, folder in groups.items():
        written = {f"lvlm_ad_{folder}.{path.stem}" for path in (REPOSITORY / folder).glob("[a-z]*.py")}
        assert written <= declared
        for name in project["entry-points"][group]:
            (entry,) = entry_points(group=group, name=name)
            assert isinstance(entry.load(), type)


def test_methods_of_this_repository_are_found_like_a_strangers():
    """Each is declared as an entry point and built with its default options; no other stage imports one."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"]["lvlm_ad.methods"]
    for name, value in declared.items():
        method, _ = load_method(name, {})
        assert f"{type(method).__module__}:{type(method).__name__}" == value
        assert method.source == "", "a version identifies it"
    concrete = {value.split(":")[0] for value in declared.values()}
    for module, path in MODULES.items():
        assert stage(module) == "methods" or not concrete & set(imports(path)), module


def test_every_package_is_listed_for_the_wheel():
    """The build names every package folder, and no other."""
    listed = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    packages = {module for module, path in MODULES.items() if path.stem == "__init__"}
    # setuptools takes folders of data files for packages too.
    data = {"lvlm_ad.new_plugin.templates", "lvlm_ad.report.templates"}
    configs = REPOSITORY / "configs"
    folders = {path.parent.relative_to(configs) for path in configs.rglob("*.toml")} - {Path()}
    data |= {".".join(("lvlm_ad_configs", *folder.parts)) for folder in folders}
    plugins = {
        ".".join((f"lvlm_ad_{folder}", *path.parent.relative_to(REPOSITORY / folder).parts))
        for folder in ("backends", "baselines")
        for path in (REPOSITORY / folder).rglob("__init__.py")
    }
    assert listed == packages | data | plugins | {"lvlm_ad_configs"}


@pytest.mark.slow
def test_what_is_not_used_is_not_imported(tmp_path, kept_data):
    """``lvlm-ad --help`` imports no numeric package, and a bench of the offline rows neither openai nor torch."""
    script = (
        "import sys\n"
        "from lvlm_ad.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('\\n', *sorted(sys.modules))\n"
        "import lvlm_ad, pathlib\n"
        f"lvlm_ad.bench(models=['chance'], data={str(kept_data)!r}, limit=1, settings={{'image_size': 96}},\n"
        f"              out=pathlib.Path({str(tmp_path)!r}))\n"
        "print(*sorted(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    helping, benching = (set(line.split()) for line in done.stdout.splitlines()[-2:])
    assert not helping & (HEAVY | {"sklearn", "skimage", "scipy", "numpy", "PIL", "pydantic"})
    assert not benching & HEAVY


def test_every_test_says_what_holds():
    """Each test has a docstring: one sentence or two that say what holds."""
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_public_names_are_sorted_and_exist():
    """``__all__`` of every stage is sorted (constants, classes, functions), and each name in it exists."""
    for name in sorted({"lvlm_ad", *(f"lvlm_ad.{stage(module)}" for module in MODULES if stage(module) not in FACE)}):
        module = importlib.import_module(name)
        order = sorted(module.__all__, key=lambda one: (not one.isupper(), not one[0].isupper(), one))
        assert list(module.__all__) == order, name
        assert all(hasattr(module, public) for public in module.__all__), name


def test_no_module_imports_scipy_stats():
    """Every process would start 0.7 s later; scipy.special gives the same quantiles to the last digit."""
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        assert "scipy.stats" not in text, module
        assert "from scipy import stats" not in text, module
