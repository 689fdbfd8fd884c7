"""What happens to the probabilities of each next token: held to the answer format, written down, drawn from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessor

from lvlm_ad.errors import ConfigError

if TYPE_CHECKING:
    from lvlm_ad.backend import Request

__all__ = ["Draw", "Grammars", "Record", "answer_pattern"]

_ALTERNATIVES = 20
"""How many of the likeliest tokens are written down at each place."""

_SCORE = r"(0|1|0\.[0-9][0-9]?|1\.0)"
"""Digits are spelled out: in a regular expression of Unicode any script has digits."""


def answer_pattern(n_regions: int) -> str:
    """Return the regular expression of the published answer format, with the regions that were drawn.

    Regions may come in any order; not more are named than there are.
    """
    if n_regions == 0:
        return rf"image anomaly score: {_SCORE}\."
    numbers = "|".join(str(number) for number in range(1, n_regions + 1))
    return rf"image anomaly score: {_SCORE}(; region ({numbers}): {_SCORE}){{0,{n_regions}}}\."


class Grammars:
    """Holds answers to their format. Each different question's grammar is compiled once.

    Args:
        tokenizer: the model's.
        vocabulary: how many scores the model gives at each place; may be more than the tokenizer has tokens.
        stops: the tokens that end an answer.

    Raises:
        ConfigError: xgrammar is not installed.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, stops: Sequence[int]) -> None:
        try:
            import xgrammar  # noqa: PLC0415 - an optional dependency
        except ModuleNotFoundError as error:
            raise ConfigError("constrain=true needs xgrammar; pip install 'lvlm-ad[constrain]'.") from error
        self._xgrammar = xgrammar
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=list(stops))
        self._compiler = xgrammar.GrammarCompiler(info)
        self._compiled: dict[str, Any] = {}

    def processor(self, requests: Sequence[Request]) -> Any:
        """Return what holds each row of a batch to its question's format; it serves one ``generate`` alone."""
        from xgrammar.contrib.hf import LogitsProcessor as Held  # noqa: PLC0415 - as above

        return Held([self._grammar(request) for request in requests])

    def _grammar(self, request: Request) -> Any:
        schema = request.options.get("schema")
        wanted = (
            json.dumps(schema, sort_keys=True) if schema else answer_pattern(int(request.options.get("n_regions", 0)))
        )
        if wanted not in self._compiled:
            # Blanks between the parts of an object are free otherwise, and a model may write them for ever.
            self._compiled[wanted] = (
                self._compiler.compile_json_schema(wanted, any_whitespace=False)
                if schema
                else self._compiler.compile_regex(wanted)
            )
        return self._compiled[wanted]


class Record(LogitsProcessor):
    """Writes down the likeliest tokens at each place, with the probabilities from which the next token is taken.

    Attributes:
        steps: for each place, token ids int64 and natural-log probabilities float32, both ``(B, K)``; an id may stand
            twice.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Look at one place; nothing is changed."""
        best = torch.log_softmax(scores.float(), dim=-1).topk(min(_ALTERNATIVES, scores.shape[-1]), dim=-1)
        self.steps.append((best.indices, best.values))
        return scores

    def add(self, tokens: torch.Tensor, scores: torch.Tensor) -> None:
        """Write down another token, int64 ``(B, 1)``, at the last place."""
        ids, values = self.steps[-1]
        own = torch.log_softmax(scores.float(), dim=-1).gather(1, tokens)
        self.steps[-1] = (torch.cat([ids, tokens], dim=1), torch.cat([values, own], dim=1))


class Draw(LogitsProcessor):
    """BootstrapSamples the next token at random, each row from a stream of its own, so that a batch decides nothing.

    The largest of log-probability / temperature + Gumbel noise is a draw from the softmax; ``generate`` must then take
    the largest.

    Args:
        temperature: above 0.
        seed: the run's.
        requests: the question of each row.
        device: where the scores are; the same seed draws otherwise on another kind of device.
        record: gets the token that is drawn, which need not be among the likeliest.
    """

    def __init__(
        self, temperature: float, seed: int, requests: Sequence[Request], device: torch.device, record: Record
    ) -> None:
        self._temperature = temperature
        self._record = record
        self._streams = [torch.Generator(device).manual_seed(_seed_of(seed, request) % 2**63) for request in requests]

    def __call__(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of which the largest is a random draw."""
        noise = torch.stack(
            [torch.empty(scores.shape[-1], device=scores.device).exponential_(generator=one) for one in self._streams]
        )
        # Minus the logarithm of an exponential variable has Gumbel's distribution.
        noisy = scores.float() / self._temperature - noise.log()
        self._record.add(noisy.argmax(dim=-1, keepdim=True), scores)
        return noisy


def _seed_of(seed: int, request: Request) -> int:
    return int.from_bytes(hashlib.sha256(request.key({"seed": seed}).encode()).digest()[:8], "big")
