"""The folder of a site: what is written, what is deleted, and what is refused."""

import json

import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.site.folder import SITE_FILE, check_folder, write_files


def test_a_folder_with_other_things_is_refused(tmp_path):
    """Nothing is written there; files of Git alone do not count."""
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(RunError, match=r"contains other files, such as 'holiday.jpg', and no site; give --site a new"):
        write_files(tmp_path, {"index.html": "a"})
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    (tmp_path / "holiday.jpg").unlink()
    (tmp_path / ".git").mkdir()
    write_files(tmp_path, {"index.html": "a"})
    assert (tmp_path / "index.html").read_text() == "a"


def test_a_file_is_refused(tmp_path):
    """The site is a folder."""
    (tmp_path / "site").write_text("x")
    with pytest.raises(RunError, match="is a file; give --site a folder"):
        check_folder(tmp_path / "site")


def test_a_file_that_no_site_made_is_not_overwritten(tmp_path):
    """A new page must not replace a file that somebody put there after the first site."""
    write_files(tmp_path / "site", {"index.html": "a"})
    (tmp_path / "site" / "about.html").write_text("mine")
    with pytest.raises(RunError, match=r"about.html is in the way, and no site made it"):
        write_files(tmp_path / "site", {"index.html": "b", "about.html": "b"})
    assert (tmp_path / "site" / "about.html").read_text() == "mine"


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "no JSON",
        json.dumps({"made_by": "somebody", "files": {}}),
        json.dumps({"made_by": "lvlm-ad", "files": {"../outside.txt": "0"}}),
        json.dumps({"made_by": "lvlm-ad", "files": {"/etc/hosts": "0"}}),
        json.dumps({"made_by": "lvlm-ad", "files": {"a/../../outside.txt": "0"}}),
    ],
)
def test_a_list_that_is_not_a_sites_is_refused(tmp_path, written):
    """A stranger's list cannot make the next build delete anything outside of the folder."""
    folder = tmp_path / "site"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("x")
    (folder / SITE_FILE).write_text(written)
    with pytest.raises(RunError, match=SITE_FILE):
        write_files(folder, {"index.html": "a"})
    assert (tmp_path / "outside.txt").exists()
    assert not (folder / "index.html").exists()


def test_a_link_leads_nowhere(tmp_path):
    """Neither writing nor deleting follows a link out of the folder."""
    folder, outside = tmp_path / "site", tmp_path / "outside"
    outside.mkdir()
    write_files(folder, {"index.html": "a", "models/x.html": "a"})
    (folder / "models" / "x.html").unlink()
    (folder / "models").rmdir()
    (folder / "models").symlink_to(outside)
    (outside / "x.html").write_text("a")
    for files in ({"index.html": "b"}, {"index.html": "b", "models/x.html": "b"}):
        with pytest.raises(RunError, match="is a link out of"):
            write_files(folder, files)
    assert (outside / "x.html").read_text() == "a"


def test_an_interrupted_build_is_completed_by_the_next(tmp_path, monkeypatch):
    """What a build that was killed has written belongs to the site."""
    import lvlm_ad.site.folder as module

    write_files(tmp_path / "site", {"index.html": "a", "old.html": "a"})
    written = []

    def stop_at_two(path, *arguments, **options):
        if path.name == "b.html":
            raise KeyboardInterrupt
        written.append(path.name)
        return real(path, *arguments, **options)

    real = module.write_file
    monkeypatch.setattr(module, "write_file", stop_at_two)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path / "site", {"index.html": "b", "a.html": "b", "b.html": "b"})
    assert "a.html" in written
    monkeypatch.undo()
    write_files(tmp_path / "site", {"index.html": "b", "a.html": "b", "b.html": "b"})
    left = sorted(path.name for path in (tmp_path / "site").iterdir())
    assert left == ["a.html", "b.html", "index.html", "site.json"]


def test_a_folder_whose_name_begins_with_a_dot_belongs_to_the_site(tmp_path):
    """The Hugging Face hub reads results from such a folder; it goes with the site that made it."""
    path = "exports/huggingface/org/model/.eval_results/visa_0a1b.yaml"
    write_files(tmp_path / "site", {"index.html": "a", path: "- value: 1\n"})
    assert (tmp_path / "site" / path).is_file()
    write_files(tmp_path / "site", {"index.html": "a"})
    assert sorted(one.name for one in (tmp_path / "site").iterdir()) == ["index.html", "site.json"]
