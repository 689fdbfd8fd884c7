"""A vision-language model in this process: prepares batches of questions and generates the answers."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from transformers import LogitsProcessorList

from lvlm_ad.backend import Answer, FirstToken, Outcome, Token, Usage, number_tokens
from lvlm_ad.backend.batching import TooLargeError
from lvlm_ad.backend.tokens import first_index, sound_first, without_cut_character
from lvlm_ad.weights import chosen_device

from .decoding import Grammars, Recorder, Sampler
from .loading import first_line, load_model

if TYPE_CHECKING:
    from lvlm_ad.backend import Request

    from .options import TransformersOptions


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prepared batch.

    Attributes:
        requests: the questions.
        inputs: the processor's tensors, padded on the left, floats as the model's data type; includes int64
            ``input_ids`` ``(B, L)``.
        lengths: tokens of each question without padding.
    """

    requests: Sequence[Request]
    inputs: Any
    lengths: Sequence[int]


@dataclass(frozen=True, eq=False)
class Output:
    """The model's output for one question.

    Attributes:
        ids: the new tokens, including those after the end.
        alternatives: for each new token the most likely tokens, int64 ``(N, K)``, and their natural-log probabilities,
            float32 ``(N, K)``. A token may occur twice.
        length: tokens of the question.
        seconds: time of the batch, divided by its number of questions.
    """

    ids: Sequence[int]
    alternatives: tuple[torch.Tensor, torch.Tensor]
    length: int
    seconds: float


class LocalModel:
    """A loaded model with its processor; raises as ``load_model`` does."""

    def __init__(self, folder: Path, options: TransformersOptions) -> None:
        self._options = options
        self._device = chosen_device(options.device)
        self._model, self._processor = load_model(folder, options, self._device)
        self._tokenizer = tokenizer = self._processor.tokenizer
        self._processors = threading.local()
        self._pieces: dict[int, str] = {}
        ends = self._model.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._model.generation_config.eos_token_id = sorted(self._ends)
        self._context = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._grammars = None
        if options.constrain:
            vocabulary = self._model.get_output_embeddings().weight.shape[0]
            self._grammars = Grammars(tokenizer, vocabulary, sorted(self._ends))
        # GPU -> bytes of the weights, and free bytes beside them.
        self._gpus = {
            index: (torch.cuda.memory_allocated(index), torch.cuda.mem_get_info(index)[0])
            for index in (range(torch.cuda.device_count()) if self._device.startswith("cuda") else ())
            if torch.cuda.memory_allocated(index)
        }

    def prepare(self, requests: Sequence[Request]) -> Prepared:
        """Turn questions into tensors, padded on the left to the longest; a ValueError says that one is too long.

        Several threads may call it at once.
        """
        conversations = [
            [{"role": "user", "content": [*_pictures(request), {"type": "text", "text": request.text}]}]
            for request in requests
        ]
        inputs = self._own_processor().apply_chat_template(
            conversations,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            processor_kwargs={"padding": True, "padding_side": "left"},
            **self._options.chat,
        )
        lengths = inputs["attention_mask"].sum(dim=1).tolist()
        longest = self._options.max_tokens
        if self._context is not None and max(lengths) + longest > self._context:
            raise ValueError(
                f"a question of {max(lengths)} tokens and an answer of up to {longest} do not fit into the "
                f"{self._context} of the model; send fewer or smaller pictures, or set max_tokens lower"
            )
        # Here, not on the device: half the memory for a batch that waits, and half the transfer.
        return Prepared(requests, inputs.to(dtype=self._model.dtype), lengths)

    @torch.inference_mode()
    def generate(self, prepared: Prepared) -> tuple[list[Output], float | None]:
        """Answer a batch.

        Returns:
            The output for each question, and the fraction of the GPU memory beside the weights that the batch used;
            None without a GPU.

        Raises:
            TooLargeError: the batch does not fit into the GPU's memory.
            FloatingPointError: the model computes NaN.
        """
        start, recorder, out_of_memory = perf_counter(), Recorder(), ""
        for index in self._gpus:
            torch.cuda.reset_peak_memory_stats(index)
        try:
            output = self._generate(prepared, recorder)
        except torch.OutOfMemoryError as error:
            out_of_memory = first_line(error)
        if out_of_memory:
            # Outside of the handler: the exception holds the frames, and these the batch.
            recorder.steps.clear()
            if self._device.startswith("cuda"):
                torch.cuda.empty_cache()
            raise TooLargeError(out_of_memory)
        ids, values = (torch.stack(steps, dim=1).cpu() for steps in zip(*recorder.steps, strict=True))
        if bool(values[:, :, 0].isnan().any()):
            raise FloatingPointError(
                f"the model's scores are not numbers as {self._model.dtype}; its weights are damaged, or it needs "
                "another type: set dtype=bfloat16 or float32"
            )
        # Shared by the questions, so that the seconds of all answers add up to the device's busy time.
        seconds = (perf_counter() - start) / len(prepared.requests)
        rows = [
            Output(
                ids=output[row].tolist(),
                alternatives=(ids[row], values[row]),
                length=length,
                seconds=seconds,
            )
            for row, length in enumerate(prepared.lengths)
        ]
        return rows, self._used_memory()

    def answer(self, output: Output) -> Answer:
        """Convert the output to an answer; may be called while the next batch is generated."""
        end = next((at for at, token in enumerate(output.ids) if token in self._ends), None)
        ids = output.ids if end is None else output.ids[:end]
        text = without_cut_character(self._decode(ids))
        pieces = [self._piece(before, token) for before, token in zip([None, *ids], ids, strict=False)]
        outcome: Outcome = "truncated" if end is None else "ok" if text.strip() else "empty"
        return Answer(
            text=text,
            outcome=outcome,
            usage=Usage(input_tokens=output.length, output_tokens=len(ids) + (end is not None)),
            seconds=output.seconds,
            detail="length" if end is None else "stop",
            tokens=self._number_tokens(pieces, output.alternatives, text),
            first=self._first_token(pieces, output.alternatives, text),
        )

    def _generate(self, prepared: Prepared, recorder: Recorder) -> torch.Tensor:
        """Return the new tokens, int64 ``(B, N)`` on the CPU."""
        options, model = self._options, self._model
        inputs = prepared.inputs.to(model.device)
        processors: list[Any] = [self._grammars.processor(prepared.requests)] if self._grammars else []
        processors.append(recorder)
        if options.temperature:
            processors.append(Sampler(options.temperature, options.seed, prepared.requests, model.device, recorder))
        output = model.generate(
            **inputs,
            max_new_tokens=options.max_tokens,
            # Takes the most likely token; Sampler changes which that is.
            do_sample=False,
            logits_processor=LogitsProcessorList(processors),
        )
        return output[:, inputs["input_ids"].shape[1] :].cpu()

    def _own_processor(self) -> Any:
        """Return this thread's own copy: a tokenizer cannot change its padding while another thread uses it."""
        if not hasattr(self._processors, "own"):
            self._processors.own = copy.deepcopy(self._processor)
        return self._processors.own

    def _number_tokens(
        self, pieces: Sequence[str], alternatives: tuple[torch.Tensor, torch.Tensor], text: str
    ) -> tuple[Token, ...]:
        """Return the tokens that spell numbers, with the tokens that could have stood there."""
        are_numbers = [any(letter.isdigit() or letter == "." for letter in piece) for piece in pieces]
        # Decode the twenty alternatives only where the token may be part of a number.
        return number_tokens(
            (
                (piece, self._likely(alternatives, at) if is_number else ())
                for at, (piece, is_number) in enumerate(zip(pieces, are_numbers, strict=True))
            ),
            text,
        )

    def _first_token(
        self, pieces: Sequence[str], alternatives: tuple[torch.Tensor, torch.Tensor], text: str
    ) -> FirstToken | None:
        """Return the token with which the answer begins, with the tokens that could have stood there."""
        at = first_index(pieces, text)
        return None if at is None else sound_first(FirstToken(pieces[at], self._likely(alternatives, at)))

    def _likely(self, alternatives: tuple[torch.Tensor, torch.Tensor], at: int) -> tuple[tuple[str, float], ...]:
        ids, values = (each[at].tolist() for each in alternatives)
        # A dict, as the sampled token may also be among the most likely.
        return tuple((self._piece(None, token), value) for token, value in dict(zip(ids, values, strict=True)).items())

    def _piece(self, before: int | None, token: int) -> str:
        """Return a token's text; the token before it decides whether it begins with a space."""
        if before is None:
            if token not in self._pieces:
                self._pieces[token] = self._decode([token])
            return self._pieces[token]
        return self._decode([before, token])[len(self._decode([before])) :]

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=not self._options.keep_special_tokens))

    def _used_memory(self) -> float | None:
        """Return the largest fraction, over the GPUs, of the memory beside the weights that a batch used."""
        if not self._gpus:
            return None
        peaks = {index: torch.cuda.max_memory_allocated(index) for index in self._gpus}
        return max(float((peaks[index] - base) / left) for index, (base, left) in self._gpus.items())


def _pictures(request: Request) -> list[dict[str, Any]]:
    return [{"type": "image", "image": Image.open(BytesIO(one.data)).convert("RGB")} for one in request.images]
