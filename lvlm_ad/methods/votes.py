"""Several answers about the same regions, and their mean."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from lvlm_ad.errors import ConfigError
from lvlm_ad.methods.combining import mean_of
from lvlm_ad.methods.contract import Conversation, MethodOptions, View
from lvlm_ad.methods.regions import (
    NumberedRegions,
    numbering_of,
    read_regions,
    region_request,
    regions_of,
    with_usual_numbers,
)
from lvlm_ad.presets import load_prompt
from lvlm_ad.prompts import fill_prompt, sentences

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Request
    from lvlm_ad.regions import Regions
    from lvlm_ad.text2seg.finding import Finding

__all__ = ["Votes", "VotesOptions"]


class VotesOptions(MethodOptions):
    """Options of votes."""

    votes: Annotated[int, Field(ge=2, le=64)] = 3
    """Answers per image."""
    vary: Literal["repeat", "paraphrase", "renumber"] = "repeat"
    """What differs from the second question on. repeat: nothing; answers vary only with a temperature above 0.
    paraphrase: the wording. renumber: the numbers of the regions."""
    paraphrases: tuple[str, ...] = tuple(f"class-{number}" for number in range(2, 10))
    """vary=paraphrase: the prompts of the second and later questions, as names of presets or paths of prompt files."""


@dataclass(frozen=True, slots=True)
class _Vote:
    """A question, and what is needed to read its answer.

    Attributes:
        request: the question.
        regions: the regions.
        numbers: the regions in the order in which the question numbers them; empty: their own.
    """

    request: Request
    regions: Regions
    numbers: tuple[int, ...] = ()

    def read(self, answer: Answer, view: View) -> Finding:
        """Read the answer; its regions get their usual numbers."""
        return with_usual_numbers(read_regions(answer, self.regions, view), self.numbers)


class Votes(NumberedRegions):
    """Asks about the numbered regions several times, and averages the answers.

    The first question is that of the method ``regions``, so its stored answers are used. All questions of an image may
    be asked at once. Image score and scores of regions are means over the answers that have an image score; a region
    that such an answer does not name scores 0 in it. The standard deviation of the image score is kept.

    Raises:
        ConfigError: there are too few paraphrases, or one cannot be read or has a placeholder that nothing fills.
    """

    Options = VotesOptions

    def __init__(self, options: MethodOptions | None = None) -> None:
        super().__init__(options)
        needed = self.options.votes - 1 if self.options.vary == "paraphrase" else 0
        names = self.options.paraphrases[:needed]
        if len(names) < needed:
            raise ConfigError(
                f"votes={self.options.votes} with vary=paraphrase needs {needed} paraphrases, and there are "
                f"{len(names)}. Set fewer votes, or name more prompts: --set paraphrases='[\"a.toml\", ...]'."
            )
        self._prompts = [load_prompt(name) for name in names]
        for prompt in self._prompts:
            fill_prompt(prompt, dict.fromkeys(("class_name", "n_regions", "pictures", "references"), ""))

    def identity(self) -> dict[str, Any]:
        """Return the options; of paraphrases also the hash of what they say."""
        identity = super().identity()
        if not self._prompts:
            del identity["paraphrases"]
            return identity
        texts = [prompt.model_dump_json(exclude={"name", "description"}) for prompt in self._prompts]
        names = [prompt.name for prompt in self._prompts]
        return {**identity, "paraphrases": names, "sentences": hashlib.sha256("".join(texts).encode()).hexdigest()}

    def inspect(self, view: View) -> Conversation:
        """Ask all questions at once."""
        votes = list(self._votes(view))
        answers = yield [vote.request for vote in votes]
        return mean_of([vote.read(answer, view) for vote, answer in zip(votes, answers, strict=True)])

    @property
    def repeats(self) -> int:
        """How often the same question is asked about an image."""
        return int(self.options.votes) if self.options.vary == "repeat" else 1

    def most_questions(self, view: View) -> int:  # noqa: ARG002
        """Return how many questions an image takes."""
        return int(self.options.votes)

    def _votes(self, view: View) -> Iterator[_Vote]:
        regions = regions_of(view)
        first = region_request(view)
        yield _Vote(first, regions)
        for index in range(1, self.options.votes):
            if self.options.vary == "repeat":
                yield _Vote(replace(first, options={**first.options, "repeat": index}), regions)
            elif self.options.vary == "renumber":
                numbers = numbering_of(regions, index)
                yield _Vote(region_request(view, numbers=numbers), regions, numbers)
            else:
                prompt = self._prompts[index - 1]
                known = {"class_name": view.class_name, "n_regions": str(regions.count)}
                text = fill_prompt(prompt, {**sentences(prompt, view.protocol), **known})
                yield _Vote(region_request(view, text=text, format=prompt.format), regions)
