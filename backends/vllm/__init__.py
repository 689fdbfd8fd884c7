"""Backend for open vision-language models that vLLM serves on this machine: starts the server, asks it, ends it."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from lvlm_ad.backend import Answer, Backend, BackendOptions, Capabilities, Picture, Request
from lvlm_ad.backend.formats import answer_pattern
from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError, RejectedError, TransientError
from lvlm_ad.memory import check_memory, free_bytes, needs_in_words
from lvlm_ad.weights import find_weights, name_of_model, user_cache, weights_hash

# As installed, the package's name is another one.
from ..openai import OpenAIBackend, OpenAIOptions  # noqa: TID252
from .command import check_model, model_config, serve_command, tensor_parallel
from .installation import find_vllm, visible_gpus
from .options import VllmOptions
from .server import Server, environment, free_port

__all__ = ["VllmBackend", "VllmOptions"]

_CONCURRENCY = 128
"""Questions under way with batch_size=auto: more than a GPU answers at once, so that it never waits for one."""
_UNSAFE = re.compile(r"[^\w.+-]")
"""What a file's name should not contain."""
_DYING = 15.0
"""Seconds after a failed answer in which a server that is not well may end."""


class VllmBackend(Backend):
    """Asks a model that vLLM serves on this machine, many questions together.

    Building it is cheap: ``identity`` finds the model's files, the first question starts the server, ``close`` ends it.

    Args:
        options: the model, where vLLM is, and how it answers.

    Raises:
        ConfigError: there is no vLLM, or no GPU for it, or the model does not fit.
    """

    Options: ClassVar[type[BackendOptions]] = VllmOptions
    billed: ClassVar[bool] = False
    engines: ClassVar[tuple[str, ...]] = ("transformers", "vllm")

    def __init__(self, options: VllmOptions) -> None:
        super().__init__(options)
        self._options = options
        self._vllm = vllm = find_vllm(options.vllm)
        self._gpus = () if vllm.on_cpu else visible_gpus()
        if vllm.on_cuda and not self._gpus:
            raise ConfigError(
                f"vLLM {vllm.version} ({vllm.program}) needs an NVIDIA GPU, and nvidia-smi shows none; use a build of "
                "vLLM for this machine, or set engine=transformers."
            )
        self._dtype = options.dtype if options.dtype != "auto" else "float32" if vllm.on_cpu else "bfloat16"
        self._stored_as = self._dtype if options.quantize == "none" else options.quantize
        if options.parameters is not None:
            smaller = "quantize=fp8 or 4bit on a GPU"
            check_memory(options.parameters * 1e9, self._stored_as, self._free(), self._place(), smaller)
        size = options.batch_size
        self.capabilities = Capabilities(
            # With a given size, as many again wait at the server, so that each answer makes room for a question.
            concurrency=_CONCURRENCY if size == "auto" else 2 * size,
            batches_internally=True,
            max_output_tokens=options.max_tokens,
            schema=options.constrain,
            probabilities=bool(options.logprobs),
        )
        # A bench has it in its output folder.
        self._log = user_cache() / "vllm" / f"{_UNSAFE.sub('_', name_of_model(options.model))}.log"
        self._note: Callable[[str], None] = lambda _: None
        self._doing: Callable[[str], None] = lambda _: None
        self._lock, self._starting = threading.Lock(), threading.Lock()
        self._closed, self._cancelled = threading.Event(), threading.Event()
        self._folder: Path | None = None
        self._hash = self._failure = ""
        self._under_way = 0
        self._server: Server | None = None
        self._endpoint: OpenAIBackend | None = None

    def make_detector(self, session: Any, model: Any) -> Any:
        """Make what a bench runs; the server's log goes to the bench's output folder."""
        progress, name = session.progress, model.preset.name
        self._log = session.plan.config.out / f"vllm-{_UNSAFE.sub('_', name)}.log"
        self._note = lambda text: progress.note(f"{name}: {text}")
        self._doing = lambda text: progress.doing(f"{name}: vLLM starts", text)
        return super().make_detector(session, model)

    def identity(self) -> dict[str, Any]:
        """Identify the weights by their content, and add their data type on this device.

        Raises:
            ConfigError: the model cannot be found or downloaded, or this vLLM cannot run it.
        """
        self._find()
        return {
            **super().identity(),
            "model": name_of_model(self._options.model),
            "weights": self._hash,
            "dtype": self._dtype,
        }

    def environment(self) -> dict[str, str]:
        """Return the device, and the versions of vLLM and of its torch and transformers."""
        names = [gpu.name for gpu in self._gpus]
        device = ", ".join(f"{name} x {names.count(name)}" for name in dict.fromkeys(names))
        packages = {"vllm" if name == "vllm" else f"vllm_{name}": version for name, version in self._vllm.versions}
        return {"device": f"cuda: {device}" if device else self._place(), **packages}

    def needs(self) -> str:
        """Return the memory that it needs, the memory that is free, and whether its files must be downloaded."""
        options = self._options
        count = None if options.parameters is None else options.parameters * 1e9
        return needs_in_words(options.model, options.revision, count, self._stored_as, self._free(), self._place())

    def answer(self, request: Request) -> Answer:
        """Answer one question, together with other concurrent questions.

        Raises:
            FatalError: the server does not start, or has ended.
            RejectedError: the question is too long, or the model cannot process it.
            TransientError: the server failed at this question only.
        """
        server, endpoint = self._start()
        try:
            with self._counted():
                answer = endpoint.answer(request)
        except TransientError as error:
            if self._closed.is_set():
                raise FatalError("The model was closed.") from error
            if server.ended(_DYING):
                raise server.failure("ended while it was asked") from error
            raise
        written = answer.usage.output_tokens
        if answer.outcome == "truncated" and written is not None and written < self._options.max_tokens:
            # vLLM cuts such an answer; transformers does not take the question.
            raise RejectedError(
                f"a question of {answer.usage.input_tokens} tokens and an answer of up to {self._options.max_tokens} "
                "do not fit into what the model and the memory allow; send fewer or smaller pictures, set max_tokens "
                "lower, or max_model_len higher if it is set"
            )
        return answer

    def cancel_start(self) -> None:
        """End a server that does not answer yet."""
        self._cancelled.set()

    def close(self) -> None:
        """End the server, and all of its processes."""
        self._closed.set()
        self._cancelled.set()
        with self._lock:
            server, endpoint, self._server, self._endpoint = self._server, self._endpoint, None, None
        if server is not None:
            server.end(at_once=self._under_way > 0)
        if endpoint is not None:
            endpoint.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a question as under way."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def _place(self) -> str:
        return "cpu" if self._vllm.on_cpu else "cuda" if self._gpus else "gpu"

    def _free(self) -> int | None:
        """Return the free bytes on the device, on all GPUs together; None if unknown."""
        if self._vllm.on_cpu:
            return free_bytes()
        return sum(gpu.free for gpu in self._gpus) or None

    def _find(self) -> Path:
        """Find, check and hash the model's files, once."""
        options = self._options
        with self._lock:
            if self._folder is None:
                folder = find_weights(options.model, revision=options.revision, code=options.trust_remote_code)
                check_model(model_config(folder), options, self._vllm)
                self._hash = weights_hash(folder)
                self._folder = folder
            return self._folder

    def _start(self) -> tuple[Server, OpenAIBackend]:
        """Start the server, once; after a failure every question raises the same error."""
        with self._starting:
            if self._failure:
                raise FatalError(self._failure)
            if self._server is None or self._endpoint is None:
                try:
                    self._serve(self._find())
                except LvlmAdError as error:
                    self._failure = str(error)
                    self.close()
                    raise FatalError(self._failure) from error
            server, endpoint = self._server, self._endpoint
        if server is None or endpoint is None:
            raise FatalError("The model was closed.")
        return server, endpoint

    def _serve(self, folder: Path) -> None:
        """Start the server, wait until it answers, and ask it once."""
        options, vllm, begin = self._options, self._vllm, perf_counter()
        gpus = tensor_parallel(model_config(folder), len(self._gpus)) if options.gpus == "auto" else options.gpus
        gpus = 0 if vllm.on_cpu else gpus
        port, key = free_port(), secrets.token_hex(16)
        command = serve_command(
            folder, name_of_model(options.model), options, program=vllm.program, dtype=self._dtype, port=port, gpus=gpus
        )
        self._note(f"starting vLLM {vllm.version}; its log is {self._log}.")
        variables = environment(key, vllm.program, on_cpu=vllm.on_cpu)
        endpoint = OpenAIBackend(self._endpoint_options(port), key=key, more=self._more)
        with self._lock:
            if self._closed.is_set():
                raise FatalError("The model was closed.")
            self._server = server = Server(command, variables, port, self._log)
            self._endpoint = endpoint
        server.wait_until_ready(self._cancelled, self._doing)
        self._warm_up(server, port, key)
        self._note(f"vLLM is ready after {perf_counter() - begin:.0f} s.")

    def _warm_up(self, server: Server, port: int, key: str) -> None:
        """Ask once with a picture and probabilities: vLLM compiles some of its code only then."""
        options = self._endpoint_options(port).model_copy(update={"max_tokens": 2})
        first = OpenAIBackend(options, key=key)
        picture = Picture.from_pixels(np.full((224, 224, 3), 128, np.uint8))
        try:
            first.answer(Request((picture,), "What is this?", {"probabilities": True}))
        except TransientError as error:
            if server.ended(_DYING):
                raise server.failure("ended at its first question") from error
        except RejectedError:
            # The questions themselves will say what is wrong with them.
            pass
        finally:
            first.close()

    def _endpoint_options(self, port: int) -> OpenAIOptions:
        options = self._options
        return OpenAIOptions(
            model=name_of_model(options.model),
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key_env="",
            takes=("temperature", "seed", "logprobs", "uuid", *(("schema",) if options.constrain else ())),
            detail="none",
            temperature=options.temperature,
            seed=options.seed if options.temperature else None,
            max_tokens=options.max_tokens,
            token_parameter="max_tokens",  # nosec B106 # noqa: S106 - no secret
            logprobs=options.logprobs,
            keep_special_tokens=options.keep_special_tokens,
            timeout=options.timeout,
        )

    def _more(self, request: Request) -> Mapping[str, Any]:
        """Return the grammar of the published format; a schema is sent as OpenAI's endpoints take it."""
        fixed = self._options.constrain and "n_regions" in request.options and "schema" not in request.options
        if not fixed:
            return {}
        return {"structured_outputs": {"regex": answer_pattern(int(request.options["n_regions"]))}}
