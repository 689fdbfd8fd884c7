"""Measure the backend ``vllm`` against vLLM's own offline throughput on the same questions.

    python benchmarks/vllm_throughput.py --vllm VENV/bin/vllm

Both sides serve the same model (Qwen2.5-VL 7B's sizes, random weights; see local_throughput.py) and get the same
pictures as PNG in a data URI, the same text and greedy decoding. lvlm-ad starts a server, asks it over HTTP and ends
it; the other side is ``LLM.chat`` in one call (vllm_offline.py). Starting is not measured. Without a GPU, or with
``--small``, the model is a tiny one, which shows only that everything works: on a CPU, processes and HTTP take longer
than the model.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local_throughput import LARGE_RUN, SMALL_RUN, make_model, make_questions
from lvlm_ad_backends.vllm import VllmBackend, VllmOptions
from lvlm_ad_backends.vllm.installation import find_vllm, visible_gpus
from lvlm_ad_backends.vllm.server import environment
from process import run_json

if TYPE_CHECKING:
    from lvlm_ad.backend import Request

MAX_MODEL_LEN = 4096
"""A question is about 1,000 tokens: 729 for the picture, the rest for the text."""


def conversation(request: Request) -> list[dict[str, Any]]:
    """Write a question as the backend sends it."""
    (picture,) = request.images
    url = "data:image/png;base64," + base64.b64encode(picture.data).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": request.text}]
    return [{"role": "user", "content": content}]


def offline(options: VllmOptions, dtype: str, requests: list[Request], warm_up: list[Request]) -> dict[str, Any]:
    """Measure ``LLM.chat``, in vLLM's own Python."""
    vllm = find_vllm(options.vllm)
    more = {"enforce_eager": True, "max_num_seqs": 16} if vllm.on_cpu else {"gpu_memory_utilization": 0.9}
    asked = {
        "model": options.model,
        "dtype": dtype,
        "max_model_len": MAX_MODEL_LEN,
        "tokens": options.max_tokens,
        "more": more,
        "conversations": [conversation(request) for request in requests],
        "warm_up": [conversation(request) for request in warm_up],
    }
    # vLLM prints its log to stdout by default.
    variables = environment("", vllm.program, on_cpu=vllm.on_cpu) | {"VLLM_LOGGING_STREAM": "ext://sys.stderr"}
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "conversations.json"
        file.write_text(json.dumps(asked))
        script = Path(__file__).with_name("vllm_offline.py")
        return run_json(vllm.python, script, file, **variables)


def managed(options: VllmOptions, requests: list[Request], warm_up: list[Request]) -> dict[str, Any]:
    """Measure the backend."""
    backend = VllmBackend(options)
    try:
        with ThreadPoolExecutor(backend.capabilities.concurrency or 64) as pool:
            list(pool.map(backend.answer, warm_up))
            began = time.perf_counter()
            answers = list(pool.map(backend.answer, requests))
        seconds = time.perf_counter() - began
    finally:
        backend.close()
    tokens = sum(answer.usage.output_tokens or 0 for answer in answers)
    return {"seconds": seconds, "tokens": tokens, "texts": [answer.text for answer in answers]}


def main() -> None:
    """Measure both sides and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a tiny model and few pictures: a test")
    parser.add_argument("--vllm", type=Path, help="the program vllm; default: beside this Python, else on the PATH")
    parser.add_argument("--model", type=Path, help="folder for the model; made there unless it exists")
    args = parser.parse_args()
    vllm = find_vllm(args.vllm)
    large = not args.small and not vllm.on_cpu and bool(visible_gpus())
    sizes = LARGE_RUN if large else SMALL_RUN
    requests = make_questions(sizes["images"], sizes["side"])
    warm_up = make_questions(max(sizes["images"] // 2, 4), sizes["side"], seed=1)
    with tempfile.TemporaryDirectory() as work:
        folder = make_model(args.model or Path(work), large=large)
        options = VllmOptions(
            model=str(folder),
            vllm=vllm.program,
            max_tokens=sizes["tokens"],
            max_model_len=MAX_MODEL_LEN,
            dtype="bfloat16" if large else "float32",
            arguments=("--enforce-eager",) if vllm.on_cpu else (),
            batch_size=16 if vllm.on_cpu else "auto",
            # Both sides on one GPU.
            gpus=1,
        )
        sides = {"offline": offline(options, options.dtype, requests, warm_up)}
        sides["backend"] = managed(options, requests, warm_up)
    for side in sides.values():
        side["images_per_second"] = len(requests) / side["seconds"]
        side["tokens_per_second"] = side["tokens"] / side["seconds"]
    texts = [side.pop("texts") for side in sides.values()]
    record = {
        "model": "Qwen2.5-VL 7B sizes, random weights, bfloat16" if large else "tiny Qwen2.5-VL, float32",
        "device": ", ".join(gpu.name for gpu in visible_gpus()) or "CPU",
        "sizes": sizes,
        "versions": dict(vllm.versions),
        **sides,
        "ratio": sides["backend"]["images_per_second"] / sides["offline"]["images_per_second"],
        "equal texts": sum(one.rstrip("\ufffd") == other.rstrip("\ufffd") for one, other in zip(*texts, strict=True)),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
