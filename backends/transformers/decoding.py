"""What happens to the scores of each next token: they force the answer's format, are recorded, and are sampled from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessor

from lvlm_ad.backend.formats import answer_pattern
from lvlm_ad.errors import ConfigError

if TYPE_CHECKING:
    from lvlm_ad.backend import Request

_ALTERNATIVES = 20
"""Number of the most likely tokens recorded at each step."""
_ANY_TEXT = r"[\s\S]*"
"""The answer to a question of a method that has no fixed format."""


class Grammars:
    """Forces answers into their format; compiles each format once.

    Args:
        tokenizer: the model's tokenizer.
        vocabulary: number of scores at each step; may exceed the tokenizer's number of tokens.
        stops: the tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, stops: Sequence[int]) -> None:
        try:
            import xgrammar  # noqa: PLC0415 - an optional dependency
        except ModuleNotFoundError as error:
            raise ConfigError("constrain=true needs xgrammar: pip install 'lvlm-ad[constrain]'.") from error
        self._xgrammar = xgrammar
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=list(stops))
        self._compiler = xgrammar.GrammarCompiler(info)
        self._compiled: dict[str, Any] = {}

    def processor(self, requests: Sequence[Request]) -> Any:
        """Return a processor for one call of ``generate`` that forces each row into its question's format."""
        from xgrammar.contrib.hf import LogitsProcessor as Constraint  # noqa: PLC0415 - as above

        return Constraint([self._grammar(request) for request in requests])

    def _grammar(self, request: Request) -> Any:
        schema = request.options.get("schema")
        if schema:
            grammar = json.dumps(schema)
        elif "n_regions" in request.options:
            grammar = answer_pattern(int(request.options["n_regions"]))
        else:
            grammar = _ANY_TEXT
        if grammar not in self._compiled and schema:
            # Without any_whitespace=False a model may write spaces without end.
            self._compiled[grammar] = self._compiler.compile_json_schema(grammar, any_whitespace=False)
        elif grammar not in self._compiled:
            self._compiled[grammar] = self._compiler.compile_regex(grammar)
        return self._compiled[grammar]


class Recorder(LogitsProcessor):
    """Records the most likely tokens of each step with their probabilities.

    Attributes:
        steps: for each step, token ids int64 and natural-log probabilities float32, both ``(B, K)``; an id may occur
            twice.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Record one step; return the scores unchanged."""
        best = torch.log_softmax(scores.float(), dim=-1).topk(min(_ALTERNATIVES, scores.shape[-1]), dim=-1)
        self.steps.append((best.indices, best.values))
        return scores

    def add(self, tokens: torch.Tensor, scores: torch.Tensor) -> None:
        """Add the tokens int64 ``(B, 1)`` to the last step."""
        ids, values = self.steps[-1]
        own = torch.log_softmax(scores.float(), dim=-1).gather(1, tokens)
        self.steps[-1] = (torch.cat([ids, tokens], dim=1), torch.cat([values, own], dim=1))


class Sampler(LogitsProcessor):
    """Samples the next token; each row has its own random stream, so the batch does not change an answer.

    The largest of log-probability / temperature + Gumbel noise is a sample from the softmax, which ``generate`` then
    takes.

    Args:
        temperature: above 0.
        seed: the run's seed.
        requests: the question of each row.
        device: device of the scores. Other kinds of device give other samples for the same seed.
        recorder: records the sampled token, which may not be among the most likely.
    """

    def __init__(
        self, temperature: float, seed: int, requests: Sequence[Request], device: torch.device, recorder: Recorder
    ) -> None:
        self._temperature = temperature
        self._recorder = recorder
        self._streams = [torch.Generator(device).manual_seed(_seed_of(seed, request)) for request in requests]

    def __call__(self, _input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of which the largest is the sampled token."""
        noise = torch.stack(
            [torch.empty(scores.shape[-1], device=scores.device).exponential_(generator=one) for one in self._streams]
        )
        # Minus the logarithm of an exponential variable is Gumbel distributed.
        noisy = scores.float() / self._temperature - noise.log()
        self._recorder.add(noisy.argmax(dim=-1, keepdim=True), scores)
        return noisy


def _seed_of(seed: int, request: Request) -> int:
    return int.from_bytes(hashlib.sha256(request.key({"seed": seed}).encode()).digest()[:8], "big") % 2**63
