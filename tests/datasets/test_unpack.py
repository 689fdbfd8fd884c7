"""Hostile archives: nothing leaves the folder, no link is made, and no more comes out than was agreed."""

import gzip
import io
import os
import stat
import tarfile
import zipfile

import pytest

from lvlm_ad.datasets.unpack import unpack
from lvlm_ad.errors import DataError

MOST = 1_000_000


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
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content, *mode in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode:
                info.external_attr = mode[0] << 16
            file.writestr(info, content)
    return path


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_tar_archives_come_out_as_they_are(tmp_path, mode):
    """Files and folders with their content; special rights of the archive are not kept."""
    archive = tar_of(
        tmp_path / "a",
        ("x", None, tarfile.DIRTYPE, ""),
        ("x/empty", None, tarfile.DIRTYPE, ""),
        ("./x/a b.png", b"1"),
        ("é/c", b""),
        mode=mode,
    )
    assert unpack(archive, tmp_path / "out", MOST) == 2
    assert tree(tmp_path / "out") == {"x/a b.png": b"1", "é/c": b""}
    assert (tmp_path / "out" / "x" / "empty").is_dir()
    assert not (tmp_path / "out" / "x" / "a b.png").stat().st_mode & (stat.S_ISUID | stat.S_ISGID)


def test_zip_archives_come_out_as_they_are(tmp_path):
    """As tar archives do."""
    archive = zip_of(tmp_path / "a", ("x/", ""), ("x/a.png", b"1"), ("c", b"2", stat.S_IFREG | 0o644))
    assert unpack(archive, tmp_path / "out", MOST) == 2
    assert tree(tmp_path / "out") == {"x/a.png": b"1", "c": b"2"}


NAMES = ["/etc/evil", "../evil", "a/../../evil", "C:/evil", "c:evil", "..\\evil", "a\\b", "a/\nb", "n" * 300, "é" * 200]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [tar_of, zip_of])
def test_names_that_lead_out_are_refused(tmp_path, name, kind):
    """Absolute, upwards, with a drive or a backslash, too long or unprintable; nothing is written outside."""
    (tmp_path / "in").mkdir()
    archive = kind(tmp_path / "in" / "a", ("good", b"1"), (name, b"evil"))
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(archive, tmp_path / "in" / "out", MOST)
    assert {path.name for path in tmp_path.iterdir()} == {"in"}
    assert tree(tmp_path / "in" / "out").keys() <= {"good"}


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "good"),
        (tarfile.LNKTYPE, "../../secret"),
        (tarfile.LNKTYPE, "good"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.GNUTYPE_SPARSE, ""),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, kind, target):
    """Links wherever they point, devices, pipes and sparse files."""
    archive = tar_of(tmp_path / "a", ("good", b"1"), ("odd", None, kind, target))
    with pytest.raises(DataError, match=r"link, a device|damaged"):
        unpack(archive, tmp_path / "out", MOST)
    assert not os.path.lexists(tmp_path / "out" / "odd")


def test_links_in_zips_are_refused(tmp_path):
    """A member whose rights call it a symbolic link."""
    archive = zip_of(tmp_path / "a", ("odd", b"/etc/passwd", stat.S_IFLNK | 0o777))
    with pytest.raises(DataError, match="is a link or encrypted"):
        unpack(archive, tmp_path / "out", MOST)
    assert not os.path.lexists(tmp_path / "out" / "odd")


@pytest.mark.parametrize("kind", [tar_of, zip_of])
def test_bombs_are_refused(tmp_path, kind):
    """What comes out is counted, whatever the archive says of it."""
    archive = kind(tmp_path / "a", ("x", bytes(10 * MOST)))
    assert archive.stat().st_size < MOST / 20
    with pytest.raises(DataError, match="more than 1,000,000 bytes"):
        unpack(archive, tmp_path / "out", MOST)
    assert sum(len(content) for content in tree(tmp_path / "out").values()) <= MOST


@pytest.mark.parametrize("names", [("a", "a"), ("a/B", "a/b"), ("a", "a/b")])
@pytest.mark.parametrize("kind", [tar_of, zip_of])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_in_one_place_are_refused(tmp_path, names, kind):
    """The same name, names that are the same on some systems, a file as a folder."""
    archive = kind(tmp_path / "a", *((name, b"1") for name in names))
    with pytest.raises(DataError, match=r"twice|where another is a folder"):
        unpack(archive, tmp_path / "out", MOST)


def test_damaged_archives_are_told(tmp_path):
    """Cut off, with a byte changed, empty or no archive at all: one error."""
    whole = tar_of(tmp_path / "a", ("x", os.urandom(50_000))).read_bytes()
    zipped = zip_of(tmp_path / "b", ("x", os.urandom(50_000))).read_bytes()
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 1
    bad_zip = bytearray(zipped)
    bad_zip[len(bad_zip) // 2] ^= 1
    for number, content in enumerate((whole[: len(whole) // 2], bytes(broken), bytes(bad_zip), b"", b"hello" * 1000)):
        (tmp_path / "c").write_bytes(content)
        with pytest.raises(DataError, match=r"damaged, or no archive|holds no files"):
            unpack(tmp_path / "c", tmp_path / f"out{number}", MOST)


def large_header(path, kind, size):
    """A gzipped tar whose first header says that it has so many bytes; most of them are there."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    with gzip.open(path, "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(min(size, 1 << 20)))
    return path


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path, kind):
    """Whole headers are held in memory, before any limit on what comes out."""
    archive = large_header(tmp_path / "a", kind, 4 << 30)
    with pytest.raises(DataError, match=r"holds a header of 4,294,967,296 bytes"):
        unpack(archive, tmp_path / "out", MOST)


def test_many_headers_of_one_member_are_refused(tmp_path):
    """Each is small, and together they are not."""
    one = tarfile.TarInfo("x")
    one.type, one.size = tarfile.XHDTYPE, 512
    content = b"".join([one.tobuf(tarfile.GNU_FORMAT) + b"9 a=bcd\n\n".ljust(512, b"\0") for _ in range(100_000)])
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=r"holds a header of|damaged"):
        unpack(tmp_path / "a", tmp_path / "out", MOST)


def test_long_names_in_headers_come_out(tmp_path):
    """As pax and GNU write them."""
    name = "/".join(["long" * 20] * 4)
    for number, form in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        with tarfile.open(tmp_path / f"a{number}", "w:gz", format=form) as tar:
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"1"))
        assert unpack(tmp_path / f"a{number}", tmp_path / f"out{number}", MOST) == 1
        assert tree(tmp_path / f"out{number}") == {name: b"1"}


@pytest.mark.parametrize("kind", [tar_of, zip_of])
def test_folders_are_counted(tmp_path, kind, monkeypatch):
    """They take no bytes; those that a name implies count too."""
    monkeypatch.setattr("lvlm_ad.datasets.unpack._FOLDERS", 20)
    folders = [
        (f"{number}/", None, tarfile.DIRTYPE, "") if kind is tar_of else (f"{number}/", "") for number in range(21)
    ]
    with pytest.raises(DataError, match="more than 20 folders"):
        unpack(kind(tmp_path / "a", *folders), tmp_path / "out", MOST)
    with pytest.raises(DataError, match="more than 20 folders"):
        unpack(kind(tmp_path / "b", *((f"{n}/a/b/x", b"1") for n in range(7))), tmp_path / "out2", MOST)
    assert unpack(kind(tmp_path / "c", *((f"{n}/x", b"1") for n in range(20))), tmp_path / "out3", MOST) == 20


@pytest.mark.parametrize("kind", [tar_of, zip_of])
def test_entries_are_counted(tmp_path, kind, monkeypatch):
    """Files and folders together."""
    monkeypatch.setattr("lvlm_ad.datasets.unpack._ENTRIES", 10)
    assert unpack(kind(tmp_path / "a", *((f"x{n}", b"") for n in range(10))), tmp_path / "out", MOST) == 10
    with pytest.raises(DataError, match="more than 10 files and folders"):
        unpack(kind(tmp_path / "b", *((f"x{n}", b"") for n in range(11))), tmp_path / "out2", MOST)


@pytest.mark.parametrize("mode", ["w:bz2", "w:xz"])
def test_damage_within_is_told_whatever_the_compression(tmp_path, mode):
    """A byte that has changed: one error, not one of the system's."""
    content = bytearray(tar_of(tmp_path / "a", ("x", os.urandom(50_000)), mode=mode).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match="damaged, or no archive"):
        unpack(tmp_path / "a", tmp_path / "out", MOST)


@pytest.mark.parametrize("kind", [tar_of, zip_of])
def test_long_names_are_cut_in_messages(tmp_path, kind):
    """A message is a line."""
    archive = kind(tmp_path / "a", ("x/" * 5000 + "y", b"1"))
    with pytest.raises(DataError, match=r"^a holds 'x/x/x.*'\.\.\., a name that leads out") as caught:
        unpack(archive, tmp_path / "out", MOST)
    assert len(str(caught.value)) < 250


def test_what_comes_out_is_heard(tmp_path):
    """How much it is, as it comes."""
    heard = []
    unpack(tar_of(tmp_path / "a", ("x", b"1" * 10), ("y", b"1" * 5)), tmp_path / "out", MOST, heard.append)
    assert heard == [10, 15]
