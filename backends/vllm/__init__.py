"""Backend for open vision-language models that vLLM serves on this machine: starts the server, asks it, ends it."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from lvlm_ad.backend import Answer, BackendOptions, Capabilities, Picture, Request
from lvlm_ad.backend.formats import answer_pattern
from lvlm_ad.backend.local import LocalBackend
from lvlm_ad.backend.shares import SharedTime
from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError, RejectedError, TransientError
from lvlm_ad.memory import free_bytes
from lvlm_ad.weights import name_of_model, user_cache

# Relative, because the installed package has another name: lvlm_ad_backends.
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
"""Seconds to wait, after a failed answer, whether an unhealthy server ends."""


class VllmBackend(LocalBackend):
    """Asks a model that vLLM serves on this machine, many questions together.

    Building it is cheap: ``identity`` finds the model's files, the first question starts the server, ``close`` ends it.

    Args:
        options: the model, where vLLM is, and how it answers.

    Raises:
        ConfigError: there is no vLLM, or no GPU for it, or the model does not fit.
    """

    Options: ClassVar[type[BackendOptions]] = VllmOptions
    engines: ClassVar[tuple[str, ...]] = ("transformers", "vllm")
    smaller: ClassVar[str] = "quantize=fp8 or 4bit on a GPU"
    options: VllmOptions

    def __init__(self, options: VllmOptions) -> None:
        self._vllm = vllm = find_vllm(options.vllm)
        self._gpus = gpus = () if vllm.on_cpu else visible_gpus()
        if vllm.on_cuda and not gpus:
            raise ConfigError(
                f"vLLM {vllm.version} ({vllm.program}) needs an NVIDIA GPU, and nvidia-smi shows none; use a build of "
                "vLLM for this machine, or set engine=transformers."
            )
        device = "cpu" if vllm.on_cpu else "cuda" if gpus else "gpu"
        dtype = options.dtype if options.dtype != "auto" else "float32" if vllm.on_cpu else "bfloat16"
        free = free_bytes if vllm.on_cpu else lambda: sum(gpu.free for gpu in gpus) or None
        super().__init__(options, device=device, dtype=dtype, free=free)
        size = options.batch_size
        self.capabilities = Capabilities(
            # With a given size, as many again wait at the server, so that each answer makes room for a question.
            concurrency=_CONCURRENCY if size == "auto" else 2 * size,
            batches_internally=True,
            max_output_tokens=options.max_tokens,
            schema=options.constrain,
            probabilities=bool(options.logprobs),
        )
        # A bench puts it into its output folder.
        self._log = user_cache() / "vllm" / f"{_UNSAFE.sub('_', name_of_model(options.model))}.log"
        self._note: Callable[[str], None] = lambda _: None
        self._doing: Callable[[str], None] = lambda _: None
        self._lock = threading.Lock()
        self._closed, self._cancelled = threading.Event(), threading.Event()
        self._time = SharedTime()
        self._server: Server | None = None
        self._endpoint: OpenAIBackend | None = None

    def make_detector(self, session: Any, model: Any) -> Any:
        """Make the detector of a bench, whose output folder gets the server's log."""
        progress, name = session.progress, model.preset.name
        self._log = session.plan.config.out / f"vllm-{_UNSAFE.sub('_', name)}.log"
        self._note = lambda text: progress.note(f"{name}: {text}")
        self._doing = lambda text: progress.doing(f"{name}: vLLM starts", text)
        # A study asks the same server in several benches, one after the other; the end of one cancels a start.
        if not self._closed.is_set():
            self._cancelled.clear()
        return super().make_detector(session, model)

    def environment(self) -> dict[str, str]:
        """Return the device, and the versions of vLLM and of its torch and transformers."""
        names = [gpu.name for gpu in self._gpus]
        device = ", ".join(f"{name} x {names.count(name)}" for name in dict.fromkeys(names))
        packages = {"vllm" if name == "vllm" else f"vllm_{name}": version for name, version in self._vllm.versions}
        return {"device": f"cuda: {device}" if device else self._device, **packages}

    def answer(self, request: Request) -> Answer:
        """Answer one question, together with other concurrent questions.

        Raises:
            FatalError: the server does not start, or has ended.
            RejectedError: the question is too long, or the model cannot process it.
            TransientError: the server failed at this question only.
        """
        server, endpoint = self._start()
        try:
            with self._time.question() as share:
                answer = endpoint.answer(request)
        except TransientError as error:
            if self._closed.is_set():
                raise FatalError("The model was closed.") from error
            if server.ended(_DYING):
                raise server.failure("ended while it was asked") from error
            raise
        written = answer.usage.output_tokens
        if answer.outcome == "truncated" and written is not None and written < self.options.max_tokens:
            # vLLM cuts such an answer; transformers does not take the question.
            raise RejectedError(
                f"a question of {answer.usage.input_tokens} tokens and an answer of up to {self.options.max_tokens} "
                "do not fit into what the model and the memory allow; send fewer or smaller pictures, set max_tokens "
                "lower, or max_model_len higher if it is set"
            )
        return replace(answer, seconds=share())

    def check(self, folder: Path) -> None:
        """Check that this vLLM runs the model."""
        check_model(model_config(folder), self.options, self._vllm)

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
            server.end(at_once=self._time.under_way > 0)
        if endpoint is not None:
            endpoint.close()

    def _start(self) -> tuple[Server, OpenAIBackend]:
        """Start the server, once."""
        with self.starting():
            if self._server is None or self._endpoint is None:
                try:
                    self._serve(self.find())
                except LvlmAdError:
                    self.close()
                    raise
            server, endpoint = self._server, self._endpoint
        if server is None or endpoint is None:
            raise FatalError("The model was closed.")
        return server, endpoint

    def _serve(self, folder: Path) -> None:
        """Start the server, wait until it answers, and ask it once."""
        options, vllm, begin = self.options, self._vllm, perf_counter()
        gpus = tensor_parallel(model_config(folder), len(self._gpus)) if options.gpus == "auto" else options.gpus
        gpus = 0 if vllm.on_cpu else gpus
        port, key = free_port(), secrets.token_hex(16)
        command = serve_command(
            folder, name_of_model(options.model), options, program=vllm.program, dtype=self._dtype, port=port, gpus=gpus
        )
        self._note(f"starting vLLM {vllm.version}; its log is {self._log}.")
        endpoint = OpenAIBackend(self._endpoint_options(port), key=key, more=self._more)
        with self._lock:
            if self._closed.is_set():
                raise FatalError("The model was closed.")
            self._server = server = Server(command, environment(key, vllm), port, self._log)
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
        options = self.options
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
        fixed = self.options.constrain and "n_regions" in request.options and "schema" not in request.options
        if not fixed:
            return {}
        return {"structured_outputs": {"regex": answer_pattern(int(request.options["n_regions"]))}}
