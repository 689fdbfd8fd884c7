"""One vision-language model in this process: loading it, preparing a batch of questions, generating the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
import transformers
from PIL import Image

from lvlm_ad.backend import Answer, Outcome, Token, Usage, number_tokens
from lvlm_ad.backend.batching import TooLargeError
from lvlm_ad.weights import chosen_device

from ._local_loading import first_line, loaded
from ._local_tokens import Draw, Grammars, Record

if TYPE_CHECKING:
    from lvlm_ad.backend import Request

    from .transformers import TransformersOptions

__all__ = ["LocalModel", "Prepared", "Written"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A batch on its way to the device.

    Attributes:
        requests: the questions.
        inputs: what the processor made of them, padded on the left; int64 ``input_ids`` ``(B, L)`` among it.
        lengths: tokens of each question, without padding.
    """

    requests: Sequence[Request]
    inputs: Any
    lengths: Sequence[int]


@dataclass(frozen=True, eq=False)
class Written:
    """What the model wrote for one question.

    Attributes:
        ids: the new tokens, those after the end included.
        alternatives: at each place the likeliest tokens with their natural-log probabilities.
        length: tokens of the question.
        seconds: how long the batch took, divided by its questions.
    """

    ids: Sequence[int]
    alternatives: Sequence[Sequence[tuple[int, float]]]
    length: int
    seconds: float


class LocalModel:
    """A model and its processor, loaded.

    Args:
        folder: the model's files.
        options: how to load it, and how it is to answer.

    Raises:
        ConfigError: it is no model that answers questions about pictures, needs code of its own, or does not fit.
    """

    def __init__(self, folder: Path, options: TransformersOptions) -> None:
        self._options = options
        self._device = chosen_device(options.device)
        self._model, self._processor = loaded(folder, options, self._device)
        self._tokenizer = tokenizer = self._processor.tokenizer
        ends = self._model.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._model.generation_config.eos_token_id = sorted(self._ends)
        self._room = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._grammars = None
        if options.constrain:
            vocabulary = self._model.get_output_embeddings().weight.shape[0]
            self._grammars = Grammars(tokenizer, vocabulary, sorted(self._ends))
        # GPU -> bytes that the weights take, and bytes that they leave.
        self._gpus = {
            index: (torch.cuda.memory_allocated(index), torch.cuda.mem_get_info(index)[0])
            for index in (range(torch.cuda.device_count()) if self._device.startswith("cuda") else ())
            if torch.cuda.memory_allocated(index)
        }

    def prepare(self, requests: Sequence[Request]) -> Prepared:
        """Turn questions into tensors, padded on the left to the longest.

        Raises:
            ValueError: one is too long for the model.
        """
        conversations = [
            [{"role": "user", "content": [*_pictures(request), {"type": "text", "text": request.text}]}]
            for request in requests
        ]
        inputs = self._processor.apply_chat_template(
            conversations,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs={"padding": True, "padding_side": "left"},
            **self._options.chat,
        )
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        most = self._options.max_tokens
        if self._room is not None and max(lengths) + most > self._room:
            raise ValueError(
                f"a question of {max(lengths)} tokens and an answer of up to {most} do not fit into the {self._room} "
                "of the model; send fewer or smaller pictures, or set max_tokens lower"
            )
        return Prepared(requests, inputs, lengths)

    @torch.inference_mode()
    def generate(self, prepared: Prepared) -> tuple[list[Written], float | None]:
        """Answer a batch.

        Returns:
            What was written, and the fraction of the memory left by the weights that it took; None off a GPU.

        Raises:
            TooLargeError: the batch does not fit into the GPU's memory.
            FloatingPointError: what the model computes are no numbers.
        """
        began, record, short_of_memory = perf_counter(), Record(), ""
        self._forget_peaks()
        try:
            output = self._generated(prepared, record)
        except torch.OutOfMemoryError as error:
            short_of_memory = first_line(error)
        if short_of_memory:
            # Out here the exception is gone, and with it the frames that held the batch.
            record.steps.clear()
            if self._device.startswith("cuda"):
                torch.cuda.empty_cache()
            raise TooLargeError(short_of_memory)
        steps = [(ids.cpu(), values.cpu()) for ids, values in record.steps]
        if any(bool(values[:, :1].isnan().any()) for _, values in steps):
            raise FloatingPointError(
                f"the model's scores are not numbers as {self._model.dtype}; its weights are damaged, or it needs "
                "another type: set dtype=bfloat16 or float32"
            )
        # A batch's time is shared by its questions, so that seconds add up to the time that the device was busy.
        seconds = (perf_counter() - began) / len(prepared.requests)
        rows = [
            Written(
                ids=output[row].tolist(),
                # The token that was drawn may be among the likeliest too.
                alternatives=[
                    list(dict(zip(ids[row].tolist(), values[row].tolist(), strict=True)).items())
                    for ids, values in steps
                ],
                length=length,
                seconds=seconds,
            )
            for row, length in enumerate(prepared.lengths)
        ]
        return rows, self._taken()

    def answer(self, written: Written) -> Answer:
        """Turn what was written into an answer; may be called while another batch is being answered."""
        end = next((at for at, token in enumerate(written.ids) if token in self._ends), None)
        ids = written.ids if end is None else written.ids[:end]
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        outcome: Outcome = "truncated" if end is None else "ok" if text.strip() else "empty"
        return Answer(
            text=text,
            outcome=outcome,
            usage=Usage(input_tokens=written.length, output_tokens=len(ids) + (end is not None)),
            seconds=written.seconds,
            detail="length" if end is None else "stop",
            tokens=self._number_tokens(ids, written.alternatives, text),
        )

    def _generated(self, prepared: Prepared, record: Record) -> torch.Tensor:
        """Return the new tokens alone, int64 ``(B, N)`` on the CPU."""
        options, model = self._options, self._model
        inputs = prepared.inputs.to(model.device, dtype=model.dtype)
        processors: list[Any] = [record]
        if self._grammars is not None:
            processors.insert(0, self._grammars.processor(prepared.requests))
        if options.temperature:
            processors.append(Draw(options.temperature, options.seed, prepared.requests, model.device, record))
        output = model.generate(
            **inputs,
            max_new_tokens=options.max_tokens,
            # The next token is the likeliest, or drawn by Draw. All other settings are those of the library: a model's
            # own, such as a penalty on repetition, are left behind at loading.
            do_sample=False,
            logits_processor=transformers.LogitsProcessorList(processors),
        )
        return output[:, inputs["input_ids"].shape[1] :].cpu()

    def _number_tokens(
        self, ids: Sequence[int], alternatives: Sequence[Sequence[tuple[int, float]]], text: str
    ) -> tuple[Token, ...]:
        """Return the tokens that spell numbers, with what could have stood there."""
        pieces = [self._piece(before, token) for before, token in zip([None, *ids], ids, strict=False)]
        spells = [any(letter.isdigit() or letter == "." for letter in piece) for piece in pieces]
        # Only where a number is spelt are the alternatives turned into text: there are twenty at each place.
        return number_tokens(
            (
                (piece, [(self._piece(None, token), value) for token, value in likely] if spelt else ())
                for piece, likely, spelt in zip(pieces, alternatives, spells, strict=False)
            ),
            text,
        )

    def _piece(self, before: int | None, token: int) -> str:
        """Return a token's text; what stands before it decides on a blank at its start."""
        decode = self._tokenizer.decode
        if before is None:
            return str(decode([token], skip_special_tokens=True))
        head = str(decode([before], skip_special_tokens=True))
        return str(decode([before, token], skip_special_tokens=True))[len(head) :]

    def _forget_peaks(self) -> None:
        for index in self._gpus:
            torch.cuda.reset_peak_memory_stats(index)

    def _taken(self) -> float | None:
        """Return the largest fraction, over the GPUs, of the memory left by the weights that was in use at once."""
        if not self._gpus:
            return None
        peaks = {index: torch.cuda.max_memory_allocated(index) for index in self._gpus}
        return max(float((peaks[index] - base) / left) for index, (base, left) in self._gpus.items())


def _pictures(request: Request) -> list[dict[str, Any]]:
    return [{"type": "image", "image": Image.open(BytesIO(one.data)).convert("RGB")} for one in request.images]
