"""The galleries of a site: a few images of each model, with its map beside the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import LvlmAdError
from lvlm_ad.evaluate.painting import shapes_of
from lvlm_ad.evaluate.sources import Sources, find_sources
from lvlm_ad.log import Progress
from lvlm_ad.report.pictures import why_no_map, write_pictures
from lvlm_ad.report.summary import separations_of
from lvlm_ad.runs import folders_of, read_run
from lvlm_ad.site.permissions import Permissions, licence_of

if TYPE_CHECKING:
    from lvlm_ad.runs import DataFolders, PredictionRecord, Run
    from lvlm_ad.site.contents import Contents, ModelRow

__all__ = ["Galleries", "Gallery", "Shown"]

_DEFECTIVE, _GOOD = 4, 2
"""Images of a gallery."""

_HALF = 0.5


@dataclass(frozen=True)
class Shown:
    """An image of a gallery: its record, and the paths of its pictures, "" where there is none."""

    record: PredictionRecord
    correct: bool | None
    """Whether the score is on the right side of more than half of the category's images of the other class; None: of
    exactly half."""
    image: str
    truth: str
    map: str


@dataclass(frozen=True)
class Gallery:
    """Images of a model on one data set, or why there are none."""

    title: str
    """Of the set of images."""
    row: str = ""
    images: Sequence[Shown] = ()
    why_not: str = ""
    credit: str = ""


@dataclass
class Galleries:
    """Makes galleries; data sets are read once.

    Args:
        permissions: which data sets' pictures may be shown.
        data: the folder of a data set, or folders by name; other images are read where they were when this machine
            made the runs.
        progress: receives how many pictures are written.
        stack: closes what was opened.
    """

    permissions: Permissions
    data: DataFolders
    progress: Progress
    stack: ExitStack
    files: dict[str, bytes] = field(default_factory=dict)
    """Path in the site -> picture; grows with every gallery."""
    _sources: dict[Any, Sources | str] = field(default_factory=dict)

    def of(self, contents: Contents, model: str) -> list[Gallery]:
        """Return a gallery for each data set of a model: of its best row with a map. Reference rows have none."""
        by_set: dict[str, list[ModelRow]] = {}
        for row in contents.models[model]:
            if row.run.manifest.model.frame:
                continue
            by_set.setdefault(row.table.image_set, []).append(row)
        folder = contents.model_pages[model].removeprefix("models/").removesuffix(".html")
        return [
            self._gallery(rows, f"pictures/{folder}/{Path(contents.dataset_pages[images]).stem}")
            for images, rows in by_set.items()
        ]

    def _gallery(self, rows: Sequence[ModelRow], folder: str) -> Gallery:
        dataset, title = rows[0].table.dataset, rows[0].table.title
        why_not = self.permissions.why_not(dataset, rows[0].run.manifest.dataset.categories)
        for row in rows if not why_not else ():
            if not row.run.manifest.method.places or row.run.manifest.model.row == "dense":
                continue
            try:
                run = read_run(row.run.dir)
                sources = self._find(run)
                if isinstance(sources, str):
                    why_not = sources
                    continue
                if why_not := why_no_map(run, sources):
                    continue
                images = self._images(run, sources, folder)
            except (LvlmAdError, ValueError) as error:
                # The message may name folders of this machine, so the page does not have it.
                self.progress.note(f"No pictures of {row.run.dir}: {error}")
                why_not = "the run's files cannot be used"
                continue
            credit = f"{title}. {licence_of(dataset)} Shrunk; outlines and maps are added."
            why_not = "" if images else "no category has good and defective images"
            return Gallery(title, row.entry.name, images, why_not, "" if dataset == "demo" else credit)
        return Gallery(title, why_not=why_not or "this model has no anomaly map")

    def _find(self, run: Run) -> Sources | str:
        """Find the images of a run, or say why they are not there; the message names no place on this machine."""
        manifest = run.manifest
        key = (manifest.dataset.fingerprint, manifest.division.hash, manifest.protocol.get("image_size"))
        if key not in self._sources:
            self._sources[key] = "the images were not found when this site was made"
            # The demo can be drawn again anywhere.
            drawn = [Path(self.stack.enter_context(TemporaryDirectory()))] if manifest.dataset.name == "demo" else []
            for data in (*folders_of(self.data, manifest.dataset.name), None, *drawn):
                try:
                    self._sources[key] = find_sources(run, data, self.progress, self.stack)
                    break
                except LvlmAdError as error:
                    problem = str(error)
            else:
                self.progress.note(f"No pictures of {manifest.dataset.name}: {problem}")
        return self._sources[key]

    def _images(self, run: Run, sources: Sources, folder: str) -> list[Shown]:
        chosen = _chosen(run)
        few = replace(run, predictions=[record for record, _ in chosen])
        highest = max((one.score for record in few.predictions for one in shapes_of(record)), default=0.0) or 1.0
        shown = []
        with TemporaryDirectory() as temporary:
            written = write_pictures([few], sources, Path(temporary), highest, [None], Progress())
            for (record, correct), files in zip(chosen, written, strict=True):
                paths = []
                for name in (files["image"], files["truth"], files["maps"][0]):
                    paths.append(f"{folder}/{name}" if name else "")
                    if name:
                        self.files[paths[-1]] = (Path(temporary) / name).read_bytes()
                if paths[0]:
                    shown.append(Shown(record, correct, *paths))
        return shown


def _chosen(run: Run) -> list[tuple[PredictionRecord, bool | None]]:
    """Choose defective images from the best to the worst separated, and a good image of each end.

    Each comes with ``Shown.correct``.
    """
    known = [
        (share, record.id, record)
        for record, share in zip(run.predictions, separations_of(run), strict=True)
        if share is not None
    ]
    chosen = []
    for label, count in ((True, _DEFECTIVE), (False, _GOOD)):
        ordered = sorted((one for one in known if one[2].label == label), key=lambda one: (-one[0], one[1]))
        places = dict.fromkeys(round(at * (len(ordered) - 1) / (count - 1)) for at in range(count)) if ordered else ()
        for at in places:
            share, _, record = ordered[at]
            chosen.append((record, None if share == _HALF else share > _HALF))
    return chosen
