import hashlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.weights import find_weights, weights_hash, weights_size

NAME = "someone/tiny-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model(tmp_path):
    """A folder with the files that a model has."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "sam"}')
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"first")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"second")
    return folder


def offline(code, home):
    """Run code with the hub's cache in ``home`` and without a network."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        environment.pop(name, None)
    head = "from lvlm_ad.errors import ConfigError\nfrom lvlm_ad.weights import find_weights, weights_hash\n"
    return subprocess.run(
        [sys.executable, "-c", head + code], capture_output=True, text=True, env=environment, check=False
    )


def kept_by_the_hub(home, files):
    """Write files as the hub's cache does: contents under their hashes, and a folder of links for a commit."""
    root = home / "hub" / f"models--{NAME.replace('/', '--')}"
    snapshot = root / "snapshots" / COMMIT
    for folder in (root / "refs", root / "blobs", snapshot):
        folder.mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    for name, (blob, content) in files.items():
        (root / "blobs" / blob).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    return snapshot


def test_a_folder_is_taken_as_it_is(model, monkeypatch):
    """A folder with configuration and safetensors is a model, by absolute, relative or home path."""
    assert find_weights(str(model)) == model
    monkeypatch.chdir(model.parent)
    assert find_weights("model").resolve() == model
    monkeypatch.setenv("HOME", str(model.parent))
    assert find_weights("~/model") == model


def test_a_folder_that_is_no_model_is_one_line(model):
    """A folder without configuration, or with pickled weights only, is refused with the reason."""
    for weights in model.glob("*.safetensors"):
        weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ConfigError, match=r"holds no weights as safetensors.*a pickle may run any code"):
        find_weights(str(model))
    (model / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        find_weights(str(model))


@pytest.mark.parametrize("name", ["./nowhere", "../nowhere", "nowhere/else/entirely", "/nowhere", "a model"])
def test_what_is_no_folder_and_no_name_is_not_looked_up(name, tmp_path, monkeypatch):
    """A path that does not exist is an error, without asking the hub."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="There is no folder"):
        find_weights(name)


def test_a_name_needs_the_hubs_package_or_the_hub(tmp_path):
    """Without a network, or without the hub's package, the error says what to do."""
    code = f"try:\n    find_weights({NAME!r})\nexcept ConfigError as error:\n    print(error)\n"
    done = offline(code, tmp_path)
    assert done.returncode == 0, done.stderr
    if find_spec("huggingface_hub") is None:
        assert "pip install huggingface_hub" in done.stdout
    else:
        assert "is not on this machine" in done.stdout
        assert f"hf download {NAME}" in done.stdout
    assert done.stdout.count("\n") == 1


def test_what_was_fetched_before_needs_no_network(tmp_path):
    """The hub's cache works offline, and has the same hash as the same files in a folder."""
    pytest.importorskip("huggingface_hub", reason="the hub needs huggingface_hub, not installed here")
    weights, config = b"weights", b'{"model_type": "sam"}'
    files = {
        "model.safetensors": (hashlib.sha256(weights).hexdigest(), weights),
        "config.json": (hashlib.sha1(config).hexdigest(), config),
    }
    snapshot = kept_by_the_hub(tmp_path, files)
    done = offline(f"found = find_weights({NAME!r})\nprint(found)\nprint(weights_hash(found))", tmp_path)
    assert done.returncode == 0, done.stderr
    found, of_it = done.stdout.split()
    assert found == str(snapshot)
    plain = tmp_path / "plain"
    plain.mkdir()
    for name, (_, content) in files.items():
        (plain / name).write_bytes(content)
    assert of_it == weights_hash(plain)


def test_the_hash_is_that_of_the_content(model):
    """The hash depends on names and contents of a model's files, not on the folder's name or other files."""
    before = weights_hash(model)
    (model / "README.md").write_text("a model")
    (model / "model.bin").write_bytes(b"pickled")
    moved = model.rename(model.with_name("moved"))
    assert weights_hash(moved) == before

    seen = {before}
    (moved / "model-00002-of-00002.safetensors").write_bytes(b"Second")
    seen.add(weights_hash(moved))
    (moved / "config.json").write_text('{"model_type": "sam2"}')
    seen.add(weights_hash(moved))
    (moved / "preprocessor_config.json").write_text("{}")
    seen.add(weights_hash(moved))
    (moved / "preprocessor_config.json").rename(moved / "processor_config.json")
    seen.add(weights_hash(moved))
    assert len(seen) == 5


def test_the_hubs_own_hashes_are_trusted(tmp_path):
    """A link into the hub's cache is hashed by its name; any other link is read."""
    real = hashlib.sha256(b"gigabytes").hexdigest()
    # Were they read, the hashes would differ: neither file holds what it is called.
    one = kept_by_the_hub(tmp_path / "one", {"model.safetensors": (real, b"never read")})
    two = kept_by_the_hub(tmp_path / "two", {"model.safetensors": (real, b"neither is this")})
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "model.safetensors").write_bytes(b"gigabytes")
    assert weights_hash(one) == weights_hash(two) == weights_hash(plain)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / real).write_bytes(b"a file that happens to be called so")
    (elsewhere / "model.safetensors").symlink_to(tmp_path / real)
    assert weights_hash(elsewhere) != weights_hash(plain)
    git = kept_by_the_hub(tmp_path / "three", {"model.safetensors": (COMMIT, b"gigabytes")})
    assert weights_hash(git) == weights_hash(plain)


def test_the_size_is_that_of_the_weights(model):
    """The bytes of all shards, and of nothing else."""
    assert weights_size(model) == len(b"first") + len(b"second")


def test_code_counts_and_the_same_weights_in_another_layout_do_not(model):
    """Code is part of a model; Mistral's duplicate weights are not."""
    before, size = weights_hash(model), weights_size(model)
    (model / "consolidated.safetensors").write_bytes(b"first second")
    assert weights_hash(model) == before
    (model / "modeling_x.py").write_text("x = 1")
    assert weights_hash(model) != before
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights_size(model) == size
    (model / "model.safetensors.index.json").write_text("{")
    assert weights_size(model) > size


def test_a_folder_has_no_revision(model):
    """A revision names something at the hub."""
    with pytest.raises(ConfigError, match="has no revisions; leave revision=main out"):
        find_weights(str(model), revision="main")


def test_large_files_are_read_once(model, tmp_path, monkeypatch):
    """A large file's hash is cached until the file changes, even if its time is set back."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    large = model / "model-00001-of-00002.safetensors"
    large.write_bytes(bytes(11_000_000))
    before = weights_hash(model)
    (note,) = (tmp_path / "cache" / "lvlm-ad" / "weights").iterdir()
    assert note.read_text() == hashlib.sha256(bytes(11_000_000)).hexdigest()
    note.write_text("f" * 64)
    assert weights_hash(model) != before, "the note was not read"
    note.write_text("nonsense")
    assert weights_hash(model) == before
    times = large.stat()
    large.write_bytes(b"1" + bytes(10_999_999))
    os.utime(large, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert weights_hash(model) != before


def test_a_cache_that_cannot_be_written_costs_time_only(model, tmp_path, monkeypatch):
    """If the cache cannot be written, the hash is the same."""
    (model / "model-00001-of-00002.safetensors").write_bytes(bytes(11_000_000))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    expected = weights_hash(model)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert weights_hash(model) == expected
