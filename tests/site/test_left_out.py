"""What the command says about studies that a site leaves out."""

import shutil
from pathlib import Path

import pytest

from lvlm_ad.cli import sites
from lvlm_ad.leaderboard import COLUMNS

STUDIES = Path(__file__).parents[1] / "data" / "studies"


@pytest.mark.slow
@pytest.mark.parametrize(("count", "words"), [(1, "1 study is"), (2, "2 studies are")])
def test_studies_left_out_are_counted(count, words, tmp_path, capsys):
    """One study is not called studies."""
    for path in sorted(STUDIES.rglob("study.json"))[:count]:
        shutil.copytree(path.parent, tmp_path / "runs" / path.parent.name)
    known = {"verified": True, "data": None, "gallery": "", "exports": None}
    sites.write([], tmp_path / "runs", tmp_path / "site", "image_auroc", COLUMNS, **known)
    assert f"{words} left out: --verify cannot recompute figures of studies." in capsys.readouterr().err
