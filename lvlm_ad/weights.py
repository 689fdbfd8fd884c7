"""Models that run on this machine: their files, the hash of these files, and the device for torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import struct
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lvlm_ad.errors import ConfigError

__all__ = [
    "at_hand",
    "check_weights",
    "chosen_device",
    "device_name",
    "find_weights",
    "from_hub",
    "name_of_model",
    "user_cache",
    "weights_hash",
    "weights_size",
]

_MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""Pickled weights (*.bin, *.pt) are never downloaded: loading a pickle can run any code in it."""
_CODE_FILES = ("*.py",)
"""Code that comes with a model: downloaded only if the user trusts it, and part of the model's hash."""
_DUPLICATES = ("consolidated*",)
"""The same weights a second time, in Mistral's own layout."""
_LARGE = 10_000_000
"""Bytes from which a file's hash is cached."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_SHA256 = re.compile("[0-9a-f]{64}")
_START = 512
"""How many bytes are read to recognise a file's format."""
_LONGEST_HEADER = 100_000_000
"""Maximum size of a safetensors file's list of tensors in bytes, as in the safetensors library."""


def user_cache() -> Path:
    """Return the folder for files worth keeping between runs: ``lvlm-ad`` in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lvlm-ad"


def find_weights(name: str, *, revision: str | None = None, code: bool = False) -> Path:
    """Return the folder with a model's files; files at the Hugging Face hub are downloaded once.

    Args:
        name: a folder, or a name at the hub such as ``Qwen/Qwen2.5-VL-7B-Instruct``.
        revision: a branch, tag or commit at the hub; None: its main branch.
        code: whether to download the code that comes with the model too.

    Raises:
        ConfigError: the folder contains no such model, or a revision is given for a folder; or ``from_hub`` fails.
    """
    if not name:
        raise ConfigError("No model is named; give its folder, or its name at the hub.")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or not _HUB_NAME.fullmatch(name):
            raise ConfigError(f"There is no folder {name}; give a model's folder, or its name at the hub.")
        files = (*_MODEL_FILES, *_CODE_FILES) if code else _MODEL_FILES
        folder = from_hub(name, files, revision=revision)
    elif revision is not None:
        raise ConfigError(f"{name} is a folder, which has no revisions; leave revision={revision} out.")
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{name} holds no config.json, so it is not a model that can be loaded.")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"{name} holds no weights as safetensors. Other formats are not loaded, since a pickle may run any code; "
            "convert the weights, or choose another revision."
        )
    for file in sorted(folder.glob("*.safetensors")):
        check_weights(file)
    return folder


def check_weights(path: Path) -> None:
    r"""Raise an error with the remedy if a file clearly does not hold a model's weights.

    Raises:
        ConfigError: it cannot be read, or is a Git LFS pointer, a web page, empty or cut off.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "model.safetensors")
        ...     _ = file.write_text("version https://git-lfs.github.com/spec/v1\\noid sha256:0\\nsize 9\\n")
        ...     try:
        ...         check_weights(file)
        ...     except ConfigError as error:
        ...         print(str(error).partition(" is ")[2])
        a Git LFS pointer, not the weights; run 'git lfs pull' in its folder, or download the file itself.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START)
            missing = _missing_bytes(path, start)
    except OSError as error:
        raise ConfigError(f"The weights {path} cannot be read: {error.strerror}.") from error
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith(b"version https://git-lfs"):
        what = "is a Git LFS pointer, not the weights; run 'git lfs pull' in its folder, or download the file itself"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        what = "is a web page, not the weights; download the file itself, which may need a login"
    elif not start:
        what = "is empty; download it again"
    elif missing:
        what = f"is cut off: {missing} are missing; download it again"
    else:
        return
    raise ConfigError(f"{path} {what}.")


def _missing_bytes(path: Path, start: bytes) -> str:
    """Describe what a file lacks at its end; "" if nothing, or if it has another format."""
    size = path.stat().st_size
    if start.startswith(b"PK\x03\x04"):
        return "" if zipfile.is_zipfile(path) else "the last bytes"
    if path.suffix != ".safetensors" or not start:
        return ""
    length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0  # noqa: PLR2004 - the header's length
    if not 0 < length <= _LONGEST_HEADER or start[8:9] != b"{":
        return ""
    if size < 8 + length:
        return f"{8 + length - size:,} bytes and more"
    try:
        with path.open("rb") as file:
            file.seek(8)
            tensors = json.loads(file.read(length))
        end = max((one["data_offsets"][1] for name, one in tensors.items() if name != "__metadata__"), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        return ""
    return f"{8 + length + end - size:,} bytes" if isinstance(end, int) and size < 8 + length + end else ""


def at_hand(name: str, *, revision: str | None = None) -> bool:
    """Return whether a model of the hub is already on this machine; the hub is not asked."""
    try:
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - comes with an extra
    except ModuleNotFoundError:
        return False
    return isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str)


def from_hub(
    name: str,
    files: Sequence[str],
    *,
    revision: str | None = None,
    otherwise: str = "give its folder",
) -> Path:
    """Return the local folder of a repository at the hub; missing files are downloaded.

    Args:
        name: the repository.
        files: patterns of the wanted files.
        revision: a branch, tag or commit; None: the main branch.
        otherwise: what a user without a network can do, for messages.

    Raises:
        ConfigError: the hub does not know the name, requires a licence to be accepted, or cannot be reached.
    """
    try:
        from huggingface_hub import errors, snapshot_download  # noqa: PLC0415 - comes with the extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{name} is not a folder, and downloads from the hub need: pip install huggingface_hub."
        ) from error
    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=list(files), ignore_patterns=list(_DUPLICATES))
        )
    except errors.GatedRepoError as error:
        raise ConfigError(
            f"{name} is gated: accept its licence at https://huggingface.co/{name}, then log in with 'hf auth login'."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ConfigError(f"The hub has no revision {revision!r} of {name}.") from error
    except errors.RepositoryNotFoundError as error:
        raise ConfigError(f"The hub knows no model {name}, or it is private: 'hf auth login' first.") from error
    except errors.LocalEntryNotFoundError as error:
        raise ConfigError(
            f"{name} is not on this machine and the hub cannot be reached (or HF_HUB_OFFLINE is set). Download it "
            f"where there is a network with 'hf download {name}', or {otherwise}."
        ) from error
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        reason = str(error).splitlines()[0][:300]
        raise ConfigError(f"{name} cannot be downloaded from the hub: {reason}.") from error


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 (hex) over names and contents of a model's files: weights, configuration, tokenizer, code.

    Weights in the hub's cache are not read, because the cache names them by the hash of their content. Hashes of other
    large files are cached until the file changes.
    """
    files = {path for pattern in (*_MODEL_FILES, *_CODE_FILES) for path in folder.glob(pattern)}
    files -= {path for pattern in _DUPLICATES for path in folder.glob(pattern)}
    order = sorted(files)
    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(_file_hash, order))
    listing = "".join(f"{path.name} {digest}\n" for path, digest in zip(order, digests, strict=True))
    return hashlib.sha256(listing.encode()).hexdigest()


def weights_size(folder: Path) -> int:
    """Return the size of a model's stored weights in bytes: the files that its index names, if it has one."""
    files = list(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    named = {"model.safetensors"}
    if index.is_file():
        with contextlib.suppress(ValueError, KeyError, AttributeError, OSError):
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    chosen = [path for path in files if path.name in named] or files
    return sum(path.stat().st_size for path in chosen)


def name_of_model(model: str) -> str:
    """Return the name of a model at the hub, or of its folder, whose location is not part of the model.

    Example:
        >>> name_of_model("Qwen/Qwen3-VL-8B-Instruct"), name_of_model(".") == Path.cwd().name
        ('Qwen/Qwen3-VL-8B-Instruct', True)
    """
    folder = Path(model).expanduser()
    return folder.resolve().name if folder.is_dir() else model


def _file_hash(path: Path) -> str:
    target = path.resolve()
    if path.is_symlink() and target.parent.name == "blobs" and _SHA256.fullmatch(target.name):
        return target.name
    stat = target.stat()
    if stat.st_size < _LARGE:
        return _content_hash(target)
    # A user can set back the time of the last modification, but not st_ctime.
    stamp = f"{target} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} {stat.st_dev}"
    note = user_cache() / "weights" / hashlib.sha256(stamp.encode("utf-8", "surrogateescape")).hexdigest()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        cached = note.read_text(encoding="ascii")
        if _SHA256.fullmatch(cached):
            return cached
    digest = _content_hash(target)
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(digest, encoding="ascii")
    return digest


def _content_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chosen_device(wanted: str, *, setting: str = "device") -> str:
    """Return the device for torch, checked.

    Args:
        wanted: "cuda", "cuda:1", "mps", "cpu", or "auto": a CUDA GPU, else Apple's GPU, else the CPU.
        setting: name of the user's setting, for messages.

    Raises:
        ConfigError: there is no such device.
    """
    import torch  # noqa: PLC0415 - comes with an extra

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(kind for kind, present in available.items() if present)
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {wanted!r}; set {setting} to cuda, cuda:1, mps or cpu.") from error
    if not available.get(device.type, False):
        raise ConfigError(
            f"This machine or its torch {torch.__version__} has no {device.type}; set {setting}=cpu, or auto."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"There is no {wanted}: this machine has {torch.cuda.device_count()} CUDA GPUs.")
    return wanted


def device_name(device: str) -> str:
    """Return a device with the names of its GPUs, such as "cuda: NVIDIA H200 x 2", for a run's manifest."""
    import torch  # noqa: PLC0415 - comes with an extra

    if not device.startswith("cuda"):
        return device
    if device != "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return "cuda: " + ", ".join(f"{name} x {names.count(name)}" for name in dict.fromkeys(names))
