"""Kaputt (Amazon): parcels and goods, listed in Parquet tables; each item has reference images of its own.

datasets/{query,reference}-{test,validation,train}.parquet, and the images in query-image/ and reference-image/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.folders import check_root, contents_of, find_root, folders_in, is_file
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.errors import ConfigError, DataError

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.masks import Threshold

__all__ = ["KAPUTT_SPLITS", "is_kaputt", "read_kaputt"]

KAPUTT_SPLITS = ("train", "validation")
"""Further splits, which have references and labels as the usual one, test."""

_ANY_KIND = "defect"
_CLASS_NAMES = {"other": "item", "book_other": "book"}
"""Category -> what a question calls it; categories are materials of packaging, and these two names are no words."""


def is_kaputt(root: Path) -> bool:
    """Return whether a folder is Kaputt: it has tables such as datasets/query-test.parquet."""
    tables = root / "datasets"
    return tables.is_dir() and any(tables.glob("query-*.parquet"))


def read_kaputt(root: Path, threshold: Threshold, split: str = "test") -> Listing:
    """List a split of Kaputt; the root is the folder of datasets/, or the one around it.

    No mask is read: good images have masks, too, so they may show the item and not the defect.

    Raises:
        DataError: ``root`` is not a folder, has no such tables, or one cannot be read.
        ConfigError: pyarrow is not installed.
    """
    check_root(root)
    home = find_root(root, ([root], folders_in(root)), is_kaputt)
    if home is None:
        raise DataError(
            f"{shown(root)} is not Kaputt: it holds {contents_of(root)}, but datasets/query-{split}.parquet was "
            "expected. It is available through a form on its page, huggingface.co/datasets/amazon/kaputt, licence "
            "CC BY-NC-ND 4.0."
        )
    listing = Listing("kaputt", home, threshold)
    query, reference = (home / "datasets" / f"{name}-{split}.parquet" for name in ("query", "reference"))
    if not is_file(query):
        listing.report(query, f"{shown(query)} does not exist; restore it from the archive.")
        return listing
    rows = _rows(query, ("item_identifier", "item_material", "defect", "defect_types", "query_image"))
    references = _references(listing, reference, {row["item_identifier"] for row in rows})
    for number, row in enumerate(rows, start=1):
        where = f"{shown(query)}, row {number}: "
        category = row["item_material"]
        listing.category = str(category)
        if not isinstance(row["defect"], bool) or not all(map(_is_text, (category, row["query_image"]))):
            fields = {name: row[name] for name in ("item_material", "defect", "query_image")}
            listing.report(query, f"{where}expected are two texts, and true or false for defect, not {fields!r:.200}.")
            continue
        image = listing.listed_file(row["query_image"], where, query, home / "query-image")
        if image is not None:
            kind = _kind(row["defect_types"]) if row["defect"] else "good"
            listing.add(category, kind, image, [], where, references=references.get(row["item_identifier"], ()))
            listing.class_names[category] = _CLASS_NAMES.get(category, category.replace("_", " "))
    listing.category = ""
    return listing


def _references(listing: Listing, table: Path, items: set[Any]) -> dict[Any, tuple[Path, ...]]:
    """Return the normal images of each of the items."""
    if not is_file(table):
        listing.report(table, f"{shown(table)} does not exist, so there are no references; restore it.", "warning")
        return {}
    found: dict[Any, list[Path]] = {}
    for number, row in enumerate(_rows(table, ("item_identifier", "reference_image")), start=1):
        where = f"{shown(table)}, row {number}: "
        if row["item_identifier"] not in items:
            continue
        if not _is_text(row["reference_image"]):
            listing.report(table, f"{where}reference_image must be a path, not {row['reference_image']!r:.80}.")
            continue
        path = listing.listed_file(row["reference_image"], where, table, listing.root / "reference-image")
        if path is not None:
            found.setdefault(row["item_identifier"], []).append(path)
    return {item: tuple(paths) for item, paths in found.items()}


def _rows(table: Path, columns: Sequence[str]) -> list[Mapping[str, Any]]:
    try:
        # A large package, which only this data set needs.
        from pyarrow import ArrowException, parquet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError("The tables of Kaputt need pyarrow: pip install 'lvlm-ad[kaputt]'.") from error
    try:
        present = parquet.read_schema(table).names
        missing = [name for name in columns if name not in present]
        if missing:
            raise DataError(f"{shown(table)} has no column {', '.join(missing)}; it has {', '.join(present):.200}.")
        rows: list[Mapping[str, Any]] = parquet.read_table(table, columns=list(columns)).to_pylist()
    except (OSError, ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{shown(table)} cannot be read: {reason:.200}. Restore it from the archive.") from error
    return rows


def _kind(types: Any) -> str:
    """Return the kind of a defect: its types in the table, joined; "defect" where the table has none."""
    names = [types] if isinstance(types, str) else [str(name) for name in types or ()]
    return "+".join(sorted(name.strip() for name in names if name.strip())) or _ANY_KIND


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
