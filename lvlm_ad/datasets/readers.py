"""The data sets that can be read: their names, layouts, licences and what their authors report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from lvlm_ad.datasets.autovi import is_autovi, read_autovi
from lvlm_ad.datasets.bmad import is_bmad, read_bmad
from lvlm_ad.datasets.dagm import is_dagm, read_dagm
from lvlm_ad.datasets.demo import read_demo
from lvlm_ad.datasets.folder import read_folder
from lvlm_ad.datasets.head_ct import is_head_ct, read_head_ct
from lvlm_ad.datasets.kaputt import is_kaputt, read_kaputt
from lvlm_ad.datasets.kolektor import is_ksdd, is_ksdd2, read_ksdd, read_ksdd2
from lvlm_ad.datasets.loco import is_loco, read_loco
from lvlm_ad.datasets.mmad import is_mmad, read_mmad, read_mmad_similar
from lvlm_ad.datasets.mvtec import read_mvtec
from lvlm_ad.datasets.mvtec_relatives import BTAD, DTD_SYNTHETIC, GOODSAD, MPDD
from lvlm_ad.datasets.visa import read_visa
from lvlm_ad.datasets.yes_no import read_yes_no
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["READERS", "Reader", "recognized"]

Read: TypeAlias = "Callable[[Path, Threshold], Listing]"
"""Lists a data set, given its root and ``Sample.threshold``; raises ``DataError`` if the root is no such data set."""


@dataclass(frozen=True)
class Reader:
    """A data set that can be read.

    Attributes:
        title: its name in sentences.
        read: lists its test images.
        fits: whether a folder is unmistakably this data set, so that ``--data`` alone says what it is; None: no
            folder is.
        licence: its licence; "" where none was found.
        page: where its page is, or where it is found.
        metrics: the metrics that its authors report, which tables show first.
        splits: other parts that have a reader of their own, by the name that ``--split`` gives.
    """

    title: str
    read: Read
    fits: Callable[[Path], bool] | None = None
    licence: str = ""
    page: str = ""
    metrics: tuple[str, ...] = ()
    splits: Mapping[str, Read] = field(default_factory=dict)


_NON_COMMERCIAL = "CC BY-NC-SA 4.0"

_MMAD = "github.com/jam-cc/MMAD"

READERS: dict[str, Reader] = {
    "demo": Reader("the built-in demo", read_demo),
    "folder": Reader("a folder of your own", read_folder),
    "mvtec": Reader("MVTec AD", read_mvtec, licence=_NON_COMMERCIAL, page="mvtec.com/company/research/datasets"),
    "visa": Reader("VisA", read_visa, licence="CC BY 4.0", page="github.com/amazon-science/spot-diff"),
    "loco": Reader(
        "MVTec LOCO AD",
        read_loco,
        is_loco,
        licence=_NON_COMMERCIAL,
        page="mvtec.com/company/research/datasets",
        metrics=("au_spro@0.05", "image_auroc"),
    ),
    "autovi": Reader(
        "AutoVI",
        read_autovi,
        is_autovi,
        licence=_NON_COMMERCIAL,
        page="zenodo.org/records/10459003",
        metrics=("au_spro@0.05",),
    ),
    "btad": Reader(
        "BTAD",
        BTAD.read,
        BTAD.fits,
        licence=_NON_COMMERCIAL,
        page="avires.dimi.uniud.it",
        metrics=("pixel_auroc",),
    ),
    "mpdd": Reader(
        "MPDD",
        MPDD.read,
        MPDD.fits,
        licence=_NON_COMMERCIAL,
        page="github.com/stepanje/MPDD",
        metrics=("image_auroc", "pixel_auroc"),
    ),
    "dtd-synthetic": Reader(
        "DTD-Synthetic",
        DTD_SYNTHETIC.read,
        DTD_SYNTHETIC.fits,
        page="the paper Zero-shot versus Many-shot (WACV 2023)",
        metrics=("image_auroc", "pixel_auroc", "pixel_aupro"),
    ),
    "goodsad": Reader(
        "GoodsAD", GOODSAD.read, GOODSAD.fits, page="github.com/jianzhang96/GoodsAD", metrics=("image_auroc",)
    ),
    "ksdd": Reader(
        "KolektorSDD",
        read_ksdd,
        is_ksdd,
        licence=_NON_COMMERCIAL,
        page="vicos.si/resources/kolektorsdd",
        metrics=("image_ap",),
    ),
    "ksdd2": Reader(
        "KolektorSDD2",
        read_ksdd2,
        is_ksdd2,
        licence=_NON_COMMERCIAL,
        page="vicos.si/resources/kolektorsdd2",
        metrics=("image_ap",),
    ),
    "dagm": Reader("DAGM 2007", read_dagm, is_dagm, page="hci.iwr.uni-heidelberg.de"),
    "bmad": Reader(
        "BMAD",
        read_bmad,
        is_bmad,
        licence=_NON_COMMERCIAL,
        page="github.com/DorisBao/BMAD",
        metrics=("image_auroc", "pixel_auroc", "pixel_aupro"),
    ),
    # Anybody's folders may be called yes and no, so the name must be given.
    "yes-no": Reader("a set of the folders yes and no", read_yes_no, page="kaggle.com", metrics=("image_auroc",)),
    "head-ct": Reader("Head CT", read_head_ct, is_head_ct, page="kaggle.com", metrics=("image_auroc",)),
    "kaputt": Reader(
        "Kaputt",
        read_kaputt,
        is_kaputt,
        licence="CC BY-NC-ND 4.0",
        page="huggingface.co/datasets/amazon/kaputt",
        metrics=("image_ap", "image_auroc"),
    ),
    "mmad": Reader("MMAD", read_mmad, is_mmad, page=_MMAD, metrics=("choices",)),
    "mmad-similar": Reader("MMAD with similar templates", read_mmad_similar, page=_MMAD, metrics=("choices",)),
}
"""Name -> reader. A new layout is a function in a file of its own, and an entry here."""


def recognized(root: Path) -> str | None:
    """Return the name of the data set that a folder unmistakably is; None if it may be any.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "pushpins", "test", "logical_anomalies").mkdir(parents=True)
        ...     recognized(Path(folder))
        'loco'
    """
    with suppress(DataError, OSError):
        if root.is_dir():
            return next((name for name, reader in READERS.items() if reader.fits and reader.fits(root)), None)
    return None
