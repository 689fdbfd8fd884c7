"""``recommend.json``: which model and method to take, how sure that is, and what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lvlm_ad.errors import RunError
from lvlm_ad.files import read_file, write_file
from lvlm_ad.limits import MANIFEST_BYTES
from lvlm_ad.runs.fields import Amount, Count
from lvlm_ad.runs.run import reading
from lvlm_ad.studies.record import MAKE_AGAIN, Finite, Number, Record

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RECOMMEND_FILE", "CandidateRecord", "Recommendation", "RoundRecord", "Stop"]

RECOMMEND_FILE = "recommend.json"

Stop = Literal["decided", "budget", "images", "interrupted"]
"""Why nothing more was asked: one candidate remains, or all that remain are within the margin; the budget or the images
were used up; Ctrl-C."""


class CandidateRecord(Record):
    """A candidate, and what became of it."""

    name: str
    words: str
    model: str
    method: str
    image_auroc: Number
    """On the images that it answered."""
    usd_per_image: Number
    images: Count
    """How many images it was to be asked about."""
    answered: Count
    """How many of them have a usable answer."""
    unasked: Count = 0
    """How many of them the budget left unasked."""
    failed: bool = False
    """Whether it could not be asked, or answered too few images; then it is compared with no other candidate."""
    loss: Finite
    """By how much it is worse than the best candidate at most, with 95 % over all rounds. Candidates that failed do not
    count among the others."""
    left_in_round: Count | None = None
    """The round after which it was dropped; None: asked until the end."""
    reason: str = ""
    """Why it was dropped."""
    run: str | None = None
    """The folder of its last run, beside ``recommend.json``."""


class RoundRecord(Record):
    """A round: the number of images, and the candidates that remained after it."""

    images: Count
    left: list[str]


class Recommendation(Record):
    """The content of ``recommend.json``."""

    schema_version: Annotated[int, Field(ge=1, le=1)] = 1
    name: str
    """The name of its folder."""
    sentence: str
    """The recommendation."""
    choice: str
    """The name of the candidate to take."""
    sure: bool
    """Whether, with 95 %, no candidate is better than the choice by more than the margin. Those that failed do not
    count."""
    loss: Finite
    """By how much the choice is worse than the best candidate at most. Those that failed do not count."""
    margin: Finite
    """Differences up to this do not matter."""
    stop: Stop
    complete: bool
    """Whether every candidate could be asked, every question has a usable answer, and neither the budget nor Ctrl-C
    stopped the rounds."""
    dataset: str
    available: Count
    """Labelled images that there are."""
    images: Count
    """All images of the data set that a full run would ask about."""
    asked: Count
    """Images asked about, added up over candidates."""
    budget_usd: Amount
    spent_usd: Amount | None
    """Stored answers cost nothing. None: the cost of an answer is unknown."""
    full_run_usd: Amount | None
    """What a bench of the choice on all images costs, if none of it is stored; None: unknown."""
    candidates: list[CandidateRecord]
    rounds: list[RoundRecord]
    seed: int
    versions: dict[str, str]
    written: str
    """UTC, ISO 8601."""

    @classmethod
    def read(cls, folder: Path) -> Recommendation:
        """Read the recommendation in a folder.

        Raises:
            RunError: the file is missing or damaged, or a newer version wrote it.
        """
        with reading(folder, RECOMMEND_FILE, "recommendation", MAKE_AGAIN.format(RECOMMEND_FILE)) as path:
            return cls.model_validate_json(read_file(path, MANIFEST_BYTES))

    def write(self, folder: Path) -> Path:
        """Write the recommendation into its folder and return the file's path.

        Raises:
            RunError: it cannot be written.
        """
        path = folder / RECOMMEND_FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_file(path, self.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}.") from error
        return path
