"""Finds the weights of a model that runs here, in a folder or at the Hugging Face hub, and tells which they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lvlm_ad.errors import ConfigError

__all__ = ["at_hand", "find_weights", "from_hub", "user_cache", "weights_hash", "weights_size"]

_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""The files of a model. Pickled weights (*.bin, *.pt) are never fetched: to load them is to run what is in them."""
_CODE = ("*.py",)
"""Code that a model brings with it: fetched if the user trusts it, and part of what the model is."""
_UNWANTED = ("consolidated*",)
"""The same weights a second time, in another layout (Mistral's)."""
_WORTH_KEEPING = 10_000_000
"""Bytes from which a file's hash is kept."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def find_weights(name: str, *, revision: str | None = None, code: bool = False) -> Path:
    """Return the folder with a model's files; from the hub they are fetched, unless they were before.

    Args:
        name: a folder, or a name at the hub such as ``Qwen/Qwen2.5-VL-7B-Instruct``.
        revision: a branch, tag or commit at the hub; None: its main branch.
        code: whether the code that a model brings with it is fetched too.

    Raises:
        ConfigError: the folder holds no such model, or has no revisions; the hub does not know the name, or wants a
            licence to be accepted; the hub cannot be reached and the files are not here.
    """
    if not name:
        raise ConfigError("No model is named; give its folder, or its name at the hub.")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or not _HUB_NAME.fullmatch(name):
            raise ConfigError(f"There is no folder {name}; give a model's folder, or its name at the hub.")
        folder = from_hub(name, (*_WANTED, *_CODE) if code else _WANTED, revision=revision)
    elif revision is not None:
        raise ConfigError(f"{name} is a folder, which has no revisions; leave revision={revision} out.")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{name} holds no config.json, so it is no model that can be loaded.")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"{name} holds no weights as safetensors. Others are not loaded, since a pickle may run any code; convert "
            "them, or choose another revision."
        )
    return folder


def at_hand(name: str, *, revision: str | None = None) -> bool:
    """Say whether a model of the hub was fetched before; nothing is asked of the hub."""
    try:
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - comes with an extra
    except ModuleNotFoundError:
        return False
    return isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str)


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 (hex) over the names and contents of a model's files: weights, configuration, tokenizer, code.

    Weights in the hub's cache are not read: their content's hash is the name under which they are kept. Another file
    is read once; its hash is kept in the user's cache for as long as the file does not change.
    """
    files = {path for pattern in (*_WANTED, *_CODE) for path in folder.glob(pattern)}
    files -= {path for pattern in _UNWANTED for path in folder.glob(pattern)}
    order = sorted(files)
    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(_file_hash, order))
    listing = "".join(f"{path.name} {digest}\n" for path, digest in zip(order, digests, strict=True))
    return hashlib.sha256(listing.encode()).hexdigest()


def weights_size(folder: Path) -> int:
    """Return the bytes of a model's weights as they are stored: of the files that its index names, if it has one."""
    files = list(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    named = {"model.safetensors"}
    if index.is_file():
        with contextlib.suppress(ValueError, KeyError, AttributeError, OSError):
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    chosen = [path for path in files if path.name in named] or files
    return sum(path.stat().st_size for path in chosen)


def _file_hash(path: Path) -> str:
    kept = path.resolve()
    if path.is_symlink() and kept.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", kept.name):
        return kept.name
    stat = kept.stat()
    if stat.st_size < _WORTH_KEEPING:
        return _read_hash(kept)
    # The time of the last change of the file's entry cannot be set back by a user, unlike that of its content.
    stamp = f"{kept} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} {stat.st_dev}"
    note = user_cache() / "weights" / hashlib.sha256(stamp.encode("utf-8", "surrogateescape")).hexdigest()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        known = note.read_text(encoding="ascii")
        if re.fullmatch("[0-9a-f]{64}", known):
            return known
    digest = _read_hash(kept)
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(digest, encoding="ascii")
    return digest


def _read_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_cache() -> Path:
    """Return the folder for what is worth keeping between runs: ``lvlm-ad`` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lvlm-ad"


def from_hub(
    name: str,
    files: Sequence[str],
    *,
    revision: str | None = None,
    otherwise: str = "give its folder",
    extra: str = "local",
) -> Path:
    """Return the folder with a repository's files; they are fetched, unless they were before.

    Args:
        name: the repository at the hub.
        files: patterns of the files that are wanted.
        revision: a branch, tag or commit; None: the main branch.
        otherwise: what a user without a network can do, for messages.
        extra: the extra of this package that brings what talks to the hub.

    Raises:
        ConfigError: the hub does not know the name, wants a licence to be accepted or cannot be reached.
    """
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415 - comes with the extra "local"
        from huggingface_hub.errors import (  # noqa: PLC0415 - likewise
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ModuleNotFoundError as error:
        raise ConfigError(f"{name} is no folder here, and the hub needs: pip install 'lvlm-ad[{extra}]'.") from error
    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=list(files), ignore_patterns=list(_UNWANTED))
        )
    except GatedRepoError as error:
        raise ConfigError(
            f"{name} is gated: accept its licence at https://huggingface.co/{name}, then log in with 'hf auth login'."
        ) from error
    except RevisionNotFoundError as error:
        raise ConfigError(f"The hub has no revision {revision!r} of {name}.") from error
    except RepositoryNotFoundError as error:
        raise ConfigError(f"The hub knows no model {name}, or it is private: 'hf auth login' first.") from error
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"{name} is not on this machine and the hub cannot be reached (or HF_HUB_OFFLINE is set). Fetch it where "
            f"there is a network with 'hf download {name}', or {otherwise}."
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ConfigError(f"{name} cannot be fetched from the hub: {str(error).splitlines()[0][:300]}.") from error
