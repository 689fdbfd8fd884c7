"""The good reference pictures of an inspection: some are shown in each question, the others set the threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import decode, shown
from lvlm_ad.decisions import Choice, Threshold, conformal, fixed, reference_quantile
from lvlm_ad.errors import ConfigError, DataError, ImageError
from lvlm_ad.prompts import reference_paths

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.pictures import PictureFolder
    from lvlm_ad.evaluate.config import Plan

__all__ = ["GoodPictures", "threshold_of", "threshold_words"]


@dataclass(frozen=True)
class GoodPictures:
    """Good pictures that can be read.

    Attributes:
        root: their folder.
        paths: their paths in it, in its order.
    """

    root: Path
    paths: tuple[str, ...]

    @classmethod
    def of(cls, folder: PictureFolder, note: Callable[[str], None]) -> GoodPictures:
        """List the good pictures in a folder; those that cannot be read are noted and left out."""
        readable, problems = [], []
        for path in folder.scan():
            try:
                decode(folder.root / path)
            except ImageError as error:
                problems.append(str(error))
            else:
                readable.append(path)
        if problems:
            note(f"{len(problems)} good pictures are not used. The first: {problems[0]}")
        return cls(folder.root, tuple(readable))

    def files(self) -> tuple[Path, ...]:
        """Return the files."""
        return tuple(self.root / path for path in self.paths)

    def for_threshold(self, plan: Plan, category: str) -> list[str]:
        """Return the pictures that no question shows: the score of a shown one says nothing about new pictures."""
        shown_files = set(reference_paths(plan.dataset, category, plan.protocol.shots, plan.config.seed))
        return [path for path in self.paths if self.root / path not in shown_files]


def check_enough(choice: Choice, shots: int, good: GoodPictures | None) -> None:
    """Refuse an inspection that needs more good pictures than there are.

    Raises:
        ConfigError: there are too few, or they would not be used.
    """
    needed = choice.references_needed
    if good is None:
        if needed or shots:
            why = f"--threshold {choice.text}" if needed else f"shots={shots}"
            raise ConfigError(f"{why} needs good pictures, {needed + shots} or more; name their folder with --good.")
        return
    if not needed and not shots:
        raise ConfigError(
            f"--threshold {choice.text} uses no good pictures. Leave --good out, or give --threshold conformal:0.05 or "
            "reference:0.95."
        )
    if len(good.paths) < needed + shots:
        parts = [f"{needed} for --threshold {choice.text}"] * bool(needed) + [f"{shots} to show"] * bool(shots)
        raise ConfigError(
            f"{needed + shots} good pictures are needed ({', '.join(parts)}), but {shown(good.root)} holds "
            f"{len(good.paths)}. Add good pictures, or choose another threshold."
        )


def threshold_of(choice: Choice, scores: Sequence[float | None]) -> Threshold:
    """Choose the threshold.

    Args:
        choice: how.
        scores: of the good pictures; None: the model gave none.

    Raises:
        DataError: too few good pictures have a score.
    """
    if not choice.needs_references or choice.value is None:
        return fixed(0.5 if choice.value is None else choice.value)
    known, needed = [score for score in scores if score is not None], choice.references_needed
    if len(known) < needed:
        raise DataError(
            f"--threshold {choice.text} needs {needed} good pictures with a score, but only {len(known)} of "
            f"{len(scores)} have one; good.csv says why. Answers are kept. Add good pictures, or ask again with "
            "--retry-failed or a higher --max-cost."
        )
    return conformal(known, choice.value) if choice.kind == "conformal" else reference_quantile(known, choice.value)


def threshold_words(choice: Choice, threshold: Threshold) -> str:
    """Say in a sentence when a picture alarms, and what is known about false alarms.

    Example:
        >>> from lvlm_ad.decisions import parse_threshold
        >>> threshold_words(parse_threshold("0.5"), fixed(0.5))
        'Alarm: a score of 0.5 or more.'
    """
    if threshold.value is None:
        return "There is no threshold yet."
    limit = f"above {threshold.value:.4g}" if threshold.strict else f"of {threshold.value:.4g} or more"
    words = f"Alarm: a score {limit}"
    if threshold.kind == "fixed":
        return f"{words}."
    words += f", chosen by {choice.text} from {threshold.n} good pictures"
    if threshold.guarantee is None or threshold.bound95 is None:
        return f"{words}; it guarantees no false-alarm rate."
    return (
        f"{words}. On average at most {100 * threshold.guarantee:.3g} % of good pictures alarm; with these "
        f"{threshold.n}, at most {100 * threshold.bound95:.3g} %, with 95 % confidence."
    )
