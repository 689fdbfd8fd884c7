"""Make an environment with everything that this Python has, and the wheels of a folder that it lacks; see gpu.sh.

    python benchmarks/gpu_environment.py ENVIRONMENT WHEELS

Nothing is downloaded, and what is installed stays as it is: torch and its like are those of this Python.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def installed(name: str) -> bool:
    """Return whether this Python has a package."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def main() -> None:
    """Make the environment and print what was installed."""
    environment, folder = Path(sys.argv[1]), Path(sys.argv[2])
    found = {wheel: wheel.name.partition("-")[0].replace("_", "-") for wheel in sorted(folder.glob("*.whl"))}
    if "lvlm-ad" not in found.values():
        sys.exit(f"{folder} holds no wheel of lvlm-ad; benchmarks/gpu_wheels.sh writes it.")
    lacking = [wheel for wheel, name in found.items() if name == "lvlm-ad" or not installed(name)]
    # Without pip of its own, which some systems leave out of venv; this Python's pip installs into it.
    venv.create(environment)
    packages = environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # A .pth file, since this Python may itself be an environment, whose packages another one would not see.
    here = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "this-python.pth").write_text("".join(f"{path}\n" for path in here))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", packages, *lacking], check=True)
    print(f"from {folder}: {', '.join(wheel.name for wheel in lacking)}", file=sys.stderr)


if __name__ == "__main__":
    main()
