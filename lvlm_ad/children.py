"""Start other Python processes so that none imports a file of the current folder, such as ``json.py``, as a module.

A command may be run in a folder of unknown origin. Python looks for modules there first if it is started with ``-c`` or
``-m``, and libraries start processes in this way, too.
"""

from __future__ import annotations

import os
import pickle
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["folder_of", "program_path", "protect_children", "python_command", "search_path"]

_BEGIN = "import sys; count = int(sys.argv[1]); sys.path[:] = sys.argv[2 : 2 + count]; del sys.argv[1 : 2 + count]\n"


def protect_children() -> None:
    """Keep the current folder out of ``sys.path`` in every Python that this process or a library starts."""
    os.environ["PYTHONSAFEPATH"] = "1"


def search_path() -> list[str]:
    """Return ``sys.path`` for another Python, without the current folder, unless lvlm-ad itself is in it."""
    # Without pathlib, which itself imports much: ``__main__`` calls this while the current folder still comes first.
    here, home = os.path.realpath("."), os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    return [entry for entry in sys.path if here == home or os.path.realpath(entry) != here]


def python_command(code: str, *arguments: str, also: tuple[str, ...] = ()) -> list[str]:
    r"""Return the command for another Python that imports what this one does, but nothing of the current folder.

    Args:
        code: what it runs.
        *arguments: its ``sys.argv[1:]``.
        also: folders of the user's own modules; they come last in its ``sys.path``.

    Example:
        >>> import subprocess
        >>> subprocess.run(python_command("print(sys.argv[1])", "seen"), capture_output=True, text=True).stdout
        'seen\n'
    """
    path = [*search_path(), *also]
    return [sys.executable, "-P", "-c", _BEGIN + code, str(len(path)), *path, *arguments]


def folder_of(module: ModuleType | None) -> str:
    """Return the folder from which a module is imported by its full name; "" for one without a file."""
    if module is None or not getattr(module, "__file__", None):
        return ""
    folder = os.path.realpath(str(module.__file__))
    for _ in range(module.__name__.count(".") + 1 + folder.endswith("__init__.py")):
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder


def program_path(name: str) -> str | None:
    """Return where a program is: beside this Python, where pip installs it, else on the PATH; None: nowhere.

    Example:
        >>> program_path("no such program") is None
        True
    """
    import shutil  # noqa: PLC0415 - ``__main__`` imports this module first, see above

    beside = os.path.join(os.path.dirname(sys.executable), name)  # noqa: PTH118, PTH120
    return beside if os.access(beside, os.X_OK) else shutil.which(name)


def serve() -> None:
    """Call functions that come from stdin until it ends, and write what they return to stdout; a worker process.

    Here, because a process that imports little is ready soon: what a function needs, its pickle imports. What the
    process is to import before the first call are its arguments, as ``pkgutil.resolve_name`` takes them.
    """
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What a library prints must not get between the results.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if sys.argv[1:]:
        from pkgutil import resolve_name  # noqa: PLC0415 - ``__main__`` imports this module first, see above

        for name in sys.argv[1:]:
            resolve_name(name)
    # The process that asked may be gone at any time.
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):
        while True:
            # A pickle in a pickle: where the inner one names what cannot be imported, the outer one is read to its end.
            request = pickle.load(requests)  # nosec B301 # noqa: S301 - from our own process
            try:
                function, arguments = pickle.loads(request)  # nosec B301 # noqa: S301 - as above
                reply = pickle.dumps((function(*arguments), None), pickle.HIGHEST_PROTOCOL)
            except Exception as error:  # noqa: BLE001 - raised again in the process that asked
                reply = pickle.dumps((None, error))
            replies.write(reply)
            replies.flush()
    os._exit(0)
