"""Inspect a folder: list its pictures, ask about those that are new, decide, and write what is known so far."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from PIL import Image

from lvlm_ad.errors import DataError
from lvlm_ad.evaluate.bench import with_sound_cache
from lvlm_ad.evaluate.inspection_plan import InspectionConfig, InspectionPlan, threshold_of
from lvlm_ad.evaluate.inspection_results import InspectedPicture, InspectedPictures, Inspection, inspected
from lvlm_ad.evaluate.inspector import Inspector, Outcome
from lvlm_ad.evaluate.map_files import MAP_FORMATS, write_map
from lvlm_ad.evaluate.overlay import overlay
from lvlm_ad.files import write_file
from lvlm_ad.log import Progress

if TYPE_CHECKING:
    from lvlm_ad.datasets import Sample
    from lvlm_ad.datasets.pictures import FileState
    from lvlm_ad.evaluate.detectors import Prediction

__all__ = ["forecast_inspection", "inspect"]

_LOOK = 2.0
"""Seconds between two looks into a folder that fills."""

_STILL = 2.0
"""Seconds after its last change during which a file may still be written."""

_WRITE, _SHARE = 5.0, 20
"""While pictures come, the files are written anew after so many seconds, or so many times as long as it took before."""

_DRAWN = tuple(f".{kind}" for kind in MAP_FORMATS)
"""Endings of the files that are drawn: maps, and overlays as PNG."""

_LONGEST_NAME = 180
"""Bytes of a file's name; file systems allow 255, of which a suffix and a temporary name need some."""


def inspect(
    config: InspectionConfig,
    progress: Progress | None = None,
    updated: Callable[[Inspection], object] = lambda _: None,
) -> Inspection:
    """Score pictures that have no labels, and decide which raise an alarm.

    Answers are stored as those of a bench: after an interruption the same call continues and asks nothing twice.
    ``scores.csv``, ``inspection.json`` and, with good pictures for the threshold, ``good.csv`` are written into the
    inspection's folder at intervals and at the end, ``overlays/`` and ``maps/`` picture by picture.

    Args:
        config: what to inspect, and how.
        progress: receives reports on how far it has come.
        updated: called whenever the files were written; by the thread that calls ``inspect``.

    Returns:
        The inspection. With ``watch`` it returns after Ctrl-C.

    Raises:
        ConfigError: a name, setting or value is wrong, or there are too few good pictures.
        DataError: a folder does not exist or holds no picture, or too few good pictures have a score.
        FatalError: the model cannot be asked any further; what is known is written.
        StoreError: a store cannot be read or written.
        OSError: a result cannot be written.

    Example:
        >>> import tempfile
        >>> from lvlm_ad import RunConfig
        >>> with tempfile.TemporaryDirectory() as root:
        ...     line, grid = Path(root, "line"), {"division": "grid", "image_size": 64}
        ...     line.mkdir()
        ...     Image.new("L", (64, 64)).save(line / "7.png")
        ...     run = RunConfig(models=["contrast"], settings=grid)
        ...     inspection = inspect(InspectionConfig(line, run, out=Path(root, "results")))
        ...     print(inspection.counts, inspection.pictures[0].path)
        {'alarm': 0, 'undecided': 0, 'pass': 1} 7.png
    """
    progress = progress or Progress()
    plan = InspectionPlan.of(config, progress.note)
    inspection = Inspection(plan)
    inspection.start()

    def work() -> Inspection:
        with Inspector.started(plan.plan, progress) as inspector:
            _Work(plan, inspection, inspector, updated).run()
        return inspection

    return with_sound_cache(work, plan.plan, progress)


def forecast_inspection(config: InspectionConfig, progress: Progress | None = None) -> dict[str, Any] | None:
    """Estimate what an inspection would ask and cost, without asking; no key is needed.

    Returns:
        What ``ChatDetector.forecast`` returns, good pictures included; None for a method that asks nothing.
    """
    progress = progress or Progress()
    plan = InspectionPlan.of(config, progress.note)
    quiet = plan.without_key()

    def work() -> dict[str, Any] | None:
        with Inspector.started(quiet, progress) as inspector:
            inspector.gather(plan.all_samples())
            return inspector.detector.forecast()

    return with_sound_cache(work, quiet, progress)


class _Work:
    """An inspection under way: who is asked what, and which files are written when."""

    def __init__(
        self,
        plan: InspectionPlan,
        inspection: Inspection,
        inspector: Inspector,
        updated: Callable[[Inspection], object],
    ) -> None:
        self._plan, self._inspection, self._inspector, self._updated = plan, inspection, inspector, updated
        self._progress, self._paid = inspector.session.progress, inspector.detector.paid
        # Many threads may get an answer at once; pictures may be large.
        self._counting = threading.Lock()
        self._drawing = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._stems: set[str] = set()
        self._stem_of: dict[str, str] = {}
        self._written, self._took, self._changed = time.monotonic(), 0.0, False

    def run(self) -> None:
        """Choose the threshold, then inspect what is there and, with ``watch``, what comes until Ctrl-C."""
        plan, detector = self._plan, self._inspector.detector
        self._inspection.identity = detector.plugin.identity()
        if plan.config.maps is not None and not detector.places:
            self._progress.note(f"--method {plan.plan.method_name} gives no map, so none is written.")
        if plan.plan.config.batch:
            self._inspector.gather(plan.all_samples())
        # A folder that is empty by mistake must not replace the results before.
        arrivals = self._arrivals()
        first = next(arrivals)
        detector.start()
        try:
            self._expect(first)
            self._choose_threshold()
            for paths in chain([first], arrivals):
                self._inspect(paths)
        except KeyboardInterrupt:
            if not plan.config.watch:
                raise
        finally:
            # A command that fails before its first answer must not replace the results before.
            if self._changed or not self._inspection.scores_file.exists():
                self._write()

    def _arrivals(self) -> Iterator[list[str]]:
        """Yield the pictures that are there and, with ``watch``, again and again those that are new or changed.

        A file is taken when two looks find it the same, or when it has not changed for a while: a camera or a copy may
        still be writing it.
        """
        watch, folder = self._plan.config.watch, self._plan.pictures
        taken: dict[str, FileState] = {}
        before: dict[str, FileState] = {}
        while True:
            began, now = time.monotonic(), time.time()
            states = folder.scan()
            ready = [
                path
                for path, state in states.items()
                if taken.get(path) != state and (not watch or before.get(path) == state or now - state.changed > _STILL)
            ]
            if not watch and not ready:
                raise DataError(f"{folder.root} holds no picture; give the folder of the pictures.")
            taken |= {path: states[path] for path in ready}
            before = states
            yield ready
            if not watch:
                return
            time.sleep(max(_LOOK, 10 * (time.monotonic() - began) if not ready else 0))

    def _expect(self, paths: Iterable[str]) -> None:
        """Give each picture a row, and a name for the files that are drawn of it."""
        paths = list(paths)
        self._inspection.found.expect(paths)
        for path in paths:
            if path not in self._stem_of:
                self._stem_of[path] = stem = next(one for one in _stems(path) if one not in self._stems)
                self._stems.add(stem)

    def _choose_threshold(self) -> None:
        plan, good = self._plan, self._inspection.good
        if plan.for_threshold:
            good.expect(sample.id for sample in plan.good_samples())
            self._progress.start(f"{self._inspection.model}: good pictures", len(plan.for_threshold))
            self._inspector.run(
                plan.good_samples(),
                lambda sample, outcome: self._take(good, sample, outcome, draw=False),
                self._write_if_due,
            )
            self._progress.finish()
        threshold = threshold_of(plan.choice, [row.score for row in good.rows()])
        good.decide(threshold)
        self._inspection.found.decide(threshold)

    def _inspect(self, paths: list[str]) -> None:
        """Ask about pictures of the folder; say for each status how many are undecided, and why one of them is."""
        if not paths:
            self._write_if_due(0.0)
            return
        self._expect(paths)
        found, plan = self._inspection.found, self._plan
        self._progress.start(self._inspection.model, len(paths))
        self._inspector.run(
            plan.samples(paths),
            lambda sample, outcome: self._take(found, sample, outcome, draw=True),
            self._write_if_due,
        )
        self._progress.finish()
        new = set(paths)
        undecided: dict[str, list[InspectedPicture]] = {}
        for row in found.rows():
            if row.path in new and row.score is None:
                undecided.setdefault(row.status, []).append(row)
        for status, rows in undecided.items():
            first = rows[0]
            self._progress.note(f"Undecided ({status}): {len(rows)} of {len(paths)}. {first.path}: {first.note[:300]}")
        self._write_if_due(0.0)

    def _take(self, rows: InspectedPictures, sample: Sample, outcome: Outcome, *, draw: bool) -> None:
        """Draw and note what came of a picture; called by several threads."""
        row = inspected(sample.id, outcome, paid=self._paid)
        stored = False
        cost: float | None = 0.0
        if not isinstance(outcome, DataError):
            stored = outcome.stored
            cost = outcome.spent
            if draw:
                with self._drawing:
                    row = self._drawn(sample, outcome, row)
        with self._counting:
            row = rows.put(row)
            self._changed = True
            self._progress.advance(failed=row.score is None, stored=stored, cost=cost)

    def _drawn(self, sample: Sample, prediction: Prediction, row: InspectedPicture) -> InspectedPicture:
        """Write the picture with its regions, and its map."""
        config, out, stem = self._plan.config, self._inspection.out, self._stem_of[sample.id]
        values = prediction.score_map.dense() if prediction.dense is None else prediction.dense.map
        overlay_file = map_file = ""
        # A line may move a picture away as soon as it was read.
        with suppress(DataError):
            if config.overlays:
                drawn, buffer = overlay(sample.image, values), BytesIO()
                Image.fromarray(drawn).save(buffer, "PNG")
                write_file(_place(out / f"overlays/{stem}.png"), buffer.getvalue())
                overlay_file = f"overlays/{stem}.png"
        for kind in MAP_FORMATS:
            file = f"maps/{stem}.{kind}"
            # No score is not "no anomaly". A map of an earlier answer, or in another format, must not stay.
            if kind == config.maps and row.score is not None and self._inspector.detector.places:
                map_file = file
                write_map(_place(out / file), values)
            else:
                (out / file).unlink(missing_ok=True)
        return replace(row, overlay=overlay_file, map=map_file)

    def _write_if_due(self, pause: float = _WRITE) -> None:
        """Write unless nothing is new, or the last writing is not long ago: the longer it took, the longer."""
        if self._changed and time.monotonic() - self._written >= max(pause, _SHARE * self._took):
            self._write()

    def _write(self) -> None:
        """Write everything that is known."""
        began, self._changed = time.monotonic(), False
        budget, inspection = self._inspector.session.budget, self._inspection
        inspection.spent_usd = budget.spent if self._paid else 0.0
        inspection.write()
        self._updated(inspection)
        self._written = time.monotonic()
        self._took = self._written - began


def _place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _stems(path: str) -> Iterator[str]:
    """Yield names for the files drawn of a picture: the first that no other picture has is taken."""
    text = path.encode("utf-8", "backslashreplace").decode()
    *folders, _ = text.split("/")
    # A folder must not have the name of a file that is drawn of another picture.
    is_clear = not any(folder.lower().endswith(_DRAWN) for folder in folders)
    if is_clear and all(len(part.encode()) <= _LONGEST_NAME for part in text.split("/")):
        yield from (text.removesuffix(PurePosixPath(text).suffix), text)
    yield hashlib.sha256(text.encode()).hexdigest()
