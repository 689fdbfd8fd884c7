"""The data sets that can be read: their names, layouts, licences and what their authors report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from lvlm_ad.datasets.autovi import is_autovi, read_autovi
from lvlm_ad.datasets.bmad import is_bmad, read_bmad
from lvlm_ad.datasets.dagm import is_dagm, read_dagm
from lvlm_ad.datasets.demo import read_demo
from lvlm_ad.datasets.folder import read_folder
from lvlm_ad.datasets.folders import folders_in
from lvlm_ad.datasets.head_ct import is_head_ct, read_head_ct
from lvlm_ad.datasets.kaputt import KAPUTT_SPLITS, is_kaputt, read_kaputt
from lvlm_ad.datasets.kolektor import is_ksdd, is_ksdd2, read_ksdd, read_ksdd2
from lvlm_ad.datasets.loco import is_loco, read_loco
from lvlm_ad.datasets.meta_json import is_meta_json, read_meta_json
from lvlm_ad.datasets.mmad import is_mmad, read_mmad, read_mmad_similar
from lvlm_ad.datasets.mvtec import read_mvtec
from lvlm_ad.datasets.mvtec_ad_2 import AD2_SPLITS, is_ad2, read_ad2
from lvlm_ad.datasets.mvtec_relatives import BTAD, DTD_SYNTHETIC, GOODSAD, MPDD
from lvlm_ad.datasets.real_iad import D3, REAL_IAD, REAL_IAD_SPLITS, VARIETY, is_family, read_family
from lvlm_ad.datasets.visa import read_visa
from lvlm_ad.datasets.yes_no import read_yes_no
from lvlm_ad.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["READERS", "Reader", "recognized", "recognized_around"]

Read: TypeAlias = "Callable[[Path, Threshold], Listing]"
"""Lists a data set, given its root and ``Sample.threshold``; raises ``DataError`` if the root is no such data set."""


@dataclass(frozen=True)
class Reader:
    """A data set that can be read.

    Attributes:
        title: its name in sentences.
        read: lists its test images.
        fits: whether a folder is unmistakably this data set, so that ``--data`` is enough to recognize it; None: the
            data set must always be named.
        licence: its licence; "" where none was found.
        page: where its page is, or where it can be found.
        metrics: the metrics that its authors report, which tables show first.
        splits: name for ``--split`` -> what lists that split, for each split beside the usual one.
        split: the name of the usual split, which ``read`` lists; "" if it has none.
    """

    title: str
    read: Read
    fits: Callable[[Path], bool] | None = None
    licence: str = ""
    page: str = ""
    metrics: tuple[str, ...] = ()
    splits: Mapping[str, Read] = field(default_factory=dict)
    split: str = ""

    def where(self, name: str) -> str:
        """Say that a data set cannot be downloaded here, where it is, and its licence; ``name`` is its key.

        Example:
            >>> print(READERS["visa"].where("visa"))  # doctest: +ELLIPSIS
            VisA has no download here; it is available at github.com/amazon-science/spot-diff, licence CC BY 4.0. ...
        """
        if name in {"demo", "folder", "meta-json"}:
            return f"{name!r} is not downloaded: it is {self.title}. Give another name."
        page = f"it is available at {self.page}" if self.page else "it is available from its authors"
        licence = f"licence {self.licence}" if self.licence else "no licence is known to lvlm-ad"
        return (
            f"{self.title} has no download here; {page}, {licence}. Give its folder with --dataset {name} --data PATH."
        )

    def of_split(self, split: str | None) -> Read:
        """Return the function that lists a split.

        Args:
            split: its name; None or "": the usual one.

        Raises:
            ConfigError: there is no split of this name.

        Example:
            >>> READERS["mvtec-ad-2"].of_split("privat")
            Traceback (most recent call last):
            ...
            lvlm_ad.errors.ConfigError: MVTec AD 2 has no split 'privat'. Did you mean 'private' or 'private-mixed'?
        """
        if split in {None, "", self.split}:
            return self.read
        if not self.splits:
            raise ConfigError(f"{self.title} has only one split; leave out the split {split!r:.80}.")
        if split not in self.splits:
            known = [*filter(None, (self.split,)), *self.splits]
            raise ConfigError(f"{self.title} has no split {split!r:.80}.{nearest(str(split), known)}")
        return self.splits[str(split)]


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
        metrics=(
            "au_spro@0.05",
            "au_spro_logical@0.05",
            "au_spro_structural@0.05",
            "image_auroc_groups",
            "image_auroc_logical",
            "image_auroc_structural",
        ),
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
    # Not recognized by its folder: a user's own folders may be called yes and no.
    "yes-no": Reader("a set of the folders yes and no", read_yes_no, page="kaggle.com", metrics=("image_auroc",)),
    "head-ct": Reader("Head CT", read_head_ct, is_head_ct, page="kaggle.com", metrics=("image_auroc",)),
    "kaputt": Reader(
        "Kaputt",
        read_kaputt,
        is_kaputt,
        licence="CC BY-NC-ND 4.0",
        page="huggingface.co/datasets/amazon/kaputt",
        metrics=("image_ap", "image_auroc"),
        splits={name: partial(read_kaputt, split=name) for name in KAPUTT_SPLITS},
    ),
    "mmad": Reader("MMAD", read_mmad, is_mmad, page=_MMAD, metrics=("choice_accuracy",)),
    "mmad-similar": Reader("MMAD with similar templates", read_mmad_similar, page=_MMAD, metrics=("choice_accuracy",)),
    "mvtec-ad-2": Reader(
        "MVTec AD 2",
        read_ad2,
        is_ad2,
        licence=_NON_COMMERCIAL,
        page="mvtec.com/company/research/datasets",
        metrics=("pixel_aupro@0.05", "segf1", "classf1"),
        splits={name: partial(read_ad2, split=name) for name in AD2_SPLITS if name != "public"},
        split="public",
    ),
    "real-iad": Reader(
        "Real-IAD",
        partial(read_family, REAL_IAD),
        partial(is_family, REAL_IAD),
        licence=_NON_COMMERCIAL,
        page="github.com/Tencent/AnomalyDetection_Real-IAD",
        metrics=("image_auroc", "sample_auroc", "pixel_aupro"),
        splits={name: partial(read_family, REAL_IAD, split=name) for name in REAL_IAD_SPLITS},
    ),
    "real-iad-d3": Reader("Real-IAD D3", partial(read_family, D3), partial(is_family, D3)),
    "real-iad-variety": Reader("Real-IAD Variety", partial(read_family, VARIETY), partial(is_family, VARIETY)),
    # Last, because a meta.json may lie in the folder of any other data set.
    "meta-json": Reader("a data set listed in meta.json", read_meta_json, is_meta_json),
}
"""Name -> reader. A new layout is a function in a file of its own, and an entry here."""


def recognized(root: Path) -> str | None:
    """Return the name of the data set that a folder unmistakably is; None if it could be several.

    See ``recognized_around`` for a folder around the data set's.

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


def recognized_around(root: Path) -> str | None:
    """Return the name of the data set that a folder unmistakably is, or that the only folder in it is; else None."""
    with suppress(DataError, OSError):
        if (name := recognized(root)) is not None:
            return name
        inner = folders_in(root)
        return recognized(inner[0]) if len(inner) == 1 else None
    return None
