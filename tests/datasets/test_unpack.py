"""Archives: nothing is written outside the folder, and no more comes out than agreed."""

import contextlib
import io
import os
import random
import stat
import tarfile
import zipfile

import pytest

from lvlm_ad.datasets import download as downloading
from lvlm_ad.datasets.download import unpack
from lvlm_ad.errors import DataError

LIMIT = 1_000_000


def tar_of(path, *members, mode="w:xz"):
    """Write a tar of (name, content), or of (name, None, kind, link's target)."""
    with tarfile.open(path, mode) as tar:
        for name, content, *special in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o6777
            if content is None:
                info.type, info.linkname = special
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content or b""))
    return path


def zip_of(path, *members):
    """Write a zip of (name, content)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def tree(folder):
    """What a folder holds: relative path -> bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_tar_archives_come_out_with_their_content(tmp_path, mode):
    """Files and folders come out whatever the compression; special rights of the archive are dropped."""
    archive = tar_of(tmp_path / "a", ("x", None, tarfile.DIRTYPE, ""), ("./x/a b.png", b"1"), ("é/c", b""), mode=mode)
    sizes = []
    unpack(archive, tmp_path / "out", LIMIT, sizes.append)
    assert tree(tmp_path / "out") == {"x/a b.png": b"1", "é/c": b""}
    assert not (tmp_path / "out" / "x" / "a b.png").stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    assert sizes == [0, 1, 1]


def test_zip_archives_come_out_with_their_content(tmp_path):
    """Zip archives come out like tar archives."""
    unpack(zip_of(tmp_path / "a", ("x/", ""), ("x/a.png", b"1"), ("c", b"2")), tmp_path / "out", LIMIT)
    assert tree(tmp_path / "out") == {"x/a.png": b"1", "c": b"2"}


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil"])
@pytest.mark.parametrize("kind", [tar_of, zip_of])
def test_nothing_is_written_outside_the_folder(tmp_path, name, kind):
    """A member with an absolute path, or one that leads upwards, is refused or comes out inside."""
    (tmp_path / "in").mkdir()
    archive = kind(tmp_path / "in" / "a", (name, b"evil"))
    with contextlib.suppress(DataError):
        unpack(archive, tmp_path / "in" / "out", LIMIT)
        assert name.startswith("/")
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"a", "out"}


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../secret"),
        (tarfile.LNKTYPE, "../../secret"),
        (tarfile.CHRTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_devices_and_links_out_of_the_folder_are_refused(tmp_path, kind, target):
    """What is not a file, a folder or a link within the folder is refused in one line."""
    archive = tar_of(tmp_path / "a", ("good", b"1"), ("odd", None, kind, target))
    with pytest.raises(DataError, match=r"^a was refused: ") as caught:
        unpack(archive, tmp_path / "out", LIMIT)
    assert "\n" not in str(caught.value)
    assert not os.path.lexists(tmp_path / "out" / "odd")


def test_a_link_in_a_zip_becomes_a_text_file(tmp_path):
    """A zip's symbolic link is not created."""
    info = zipfile.ZipInfo("odd")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    unpack(zip_of(tmp_path / "a", (info, b"/etc/passwd")), tmp_path / "out", LIMIT)
    assert not (tmp_path / "out" / "odd").is_symlink()
    assert tree(tmp_path / "out") == {"odd": b"/etc/passwd"}


@pytest.mark.parametrize("kind", [tar_of, zip_of])
def test_bombs_are_refused(monkeypatch, tmp_path, kind):
    """More bytes or more members than agreed are refused before they are written."""
    archive = kind(tmp_path / "a", ("x", bytes(10 * LIMIT)))
    with pytest.raises(DataError, match="more than 1,000,000 bytes"):
        unpack(archive, tmp_path / "out", LIMIT)
    assert tree(tmp_path / "out") == {}
    monkeypatch.setattr(downloading, "_MAX_MEMBERS", 10)
    with pytest.raises(DataError, match="more than 10 files and folders"):
        unpack(kind(tmp_path / "b", *((f"x{n}", b"") for n in range(11))), tmp_path / "out2", LIMIT)


def test_a_zip_that_understates_its_size_is_refused(tmp_path):
    """No more bytes than a zip's member announces are written; that they are not all is an error."""
    data = bytearray(zip_of(tmp_path / "a", ("x", bytes(10 * LIMIT))).read_bytes())
    size = (10 * LIMIT).to_bytes(4, "little")
    (tmp_path / "a").write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(DataError, match="damaged, or not an archive"):
        unpack(tmp_path / "a", tmp_path / "out", LIMIT)
    assert sum(map(len, tree(tmp_path / "out").values())) <= LIMIT


def test_damaged_archives_are_named(tmp_path):
    """An archive that is cut off, changed, empty, or not an archive at all gives one error of one line."""
    # With the seed 60, the changed bit of the bzip2 archive makes the next header look like the end of the archive.
    noise = random.Random(60).randbytes(50_000)
    wholes = {mode: tar_of(tmp_path / "a", ("x", noise), mode=mode).read_bytes() for mode in ("w:bz2", "w:xz")}
    wholes["zip"] = zip_of(tmp_path / "a", ("x", noise)).read_bytes()
    contents = [b"", b"hello" * 1000, wholes["w:xz"][:20_000]]
    for whole in wholes.values():
        changed = bytearray(whole)
        changed[len(changed) // 2] ^= 1
        contents.append(bytes(changed))
    for number, content in enumerate(contents):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(DataError, match=r"damaged, or not an archive|holds no files") as caught:
            unpack(tmp_path / "a", tmp_path / f"out{number}", LIMIT)
        assert "\n" not in str(caught.value)
