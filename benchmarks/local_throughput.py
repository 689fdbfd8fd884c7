"""Measure how many images a second the backend ``transformers`` answers, and how long the GPU waits for pictures.

Compares it with a plain loop that asks one picture at a time, as anomalib's VlmAd and VLMEvalKit do:

    python benchmarks/local_throughput.py --images 256 --tokens 64

The model has the sizes of Qwen2.5-VL 7B and random weights, so nothing is downloaded. Every answer has ``--tokens``
tokens. Without a CUDA GPU, or with ``--small``, the model is a tiny one, which shows only that everything works.

Two figures say what preparing pictures costs: ``waiting`` is the share of the time in which no batch was being
answered; ``slowed`` also counts that preparing slows down the thread that launches the GPU's work: it compares the time
with that of batches that were prepared beforehand.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
import transformers
from lvlm_ad_backends.transformers import TransformersBackend, TransformersOptions
from PIL import Image
from process import versions
from soft_pictures import soft_pictures

from lvlm_ad.backend import Picture, Request

TEXT = (
    "You inspect industrial products for defects. White borders divide the picture into 60 numbered regions. Give "
    "scores from 0 to 1, one for the image and one for each region that looks anomalous. The format: "
    "image anomaly score: 0.9; region 1: 0.9; region 3: 0.7."
)
LARGE = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 152_064,
    "layer_types": ["full_attention"] * 28,
    # A head has 128 values here: 64 frequencies, shared by time, row and column.
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}
LARGE_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 3584,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
"""The sizes of Qwen2.5-VL 7B, from its configuration at the hub."""
LARGE_RUN = {"images": 256, "plain": 24, "tokens": 64, "side": 768}
SMALL_RUN = {"images": 8, "plain": 4, "tokens": 4, "side": 224}


def make_model(folder: Path, *, large: bool) -> Path:
    """Make a model in a folder, with random weights, unless it is there; the large one takes 17 GB and a minute."""
    made = folder / "qwen2_5_vl"
    if made.is_dir():
        return made
    builder = Path(__file__).resolve().parents[1] / "tests" / "tiny_lvlms.py"
    subprocess.run([sys.executable, str(builder), str(folder), "qwen2_5_vl"], check=True, stderr=subprocess.DEVNULL)
    if not large:
        return made
    config = transformers.AutoConfig.from_pretrained(made)
    for part, sizes in ((config.text_config, LARGE), (config.vision_config, LARGE_VISION)):
        for name, value in sizes.items():
            setattr(part, name, value)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = transformers.AutoModelForImageTextToText.from_config(config)
    torch.set_default_dtype(torch.float32)
    model.generation_config = transformers.GenerationConfig.from_pretrained(made)
    model.save_pretrained(made)
    del model
    torch.cuda.empty_cache()
    return made


def make_questions(count: int, side: int, seed: int = 0) -> list[Request]:
    """Make questions with a picture each."""
    options = {"format": "text", "n_regions": 60}
    return [Request((Picture.from_pixels(one),), TEXT, options) for one in soft_pictures(count, side, seed)]


def write_whole_answers(tokens: int) -> None:
    """Let no answer end before the limit, on both sides, so that they do the same work."""
    generate = transformers.GenerationMixin.generate

    def whole(self: Any, **inputs: Any) -> Any:
        return generate(self, **{**inputs, "min_new_tokens": tokens, "exponential_decay_length_penalty": None})

    transformers.GenerationMixin.generate = whole


def plain_loop(folder: Path, requests: list[Request], tokens: int, device: str) -> dict[str, float]:
    """Measure asking one at a time, as a short script would."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, device_map=device).eval()

    def ask(request: Request) -> str:
        image = Image.open(BytesIO(request.images[0].data)).convert("RGB")
        content = [{"type": "image", "image": image}, {"type": "text", "text": request.text}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
        ).to(model.device, dtype=dtype)
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        return str(processor.decode(output[0, inputs["input_ids"].shape[1] :]))

    ask(requests[0])
    return measure(lambda: [ask(request) for request in requests], len(requests), tokens)


def backend(
    folder: Path, requests: list[Request], tokens: int, device: str, warm_up: list[Request]
) -> dict[str, float | None]:
    """Measure asking through the backend, as a bench does."""
    asked = TransformersBackend(TransformersOptions(model=str(folder), device=device, max_tokens=tokens))
    with ThreadPoolExecutor(asked.capabilities.concurrency or 16) as pool:
        # The backend looks for the best batch size first; most of a long bench comes after that.
        list(pool.map(asked.answer, warm_up))
        busy, batches = asked.statistics.busy, asked.statistics.batches
        figures = measure(lambda: list(pool.map(asked.answer, requests)), len(requests), tokens)
    busy, batches = asked.statistics.busy - busy, asked.statistics.batches - batches
    size = round(len(requests) / batches)
    model, _ = asked._start()  # noqa: SLF001 - the loaded model, to give it prepared batches
    some = requests[: 3 * size]
    prepared = [model.prepare(some[start : start + size]) for start in range(0, len(some), size)]
    alone = measure(lambda: [model.generate(one) for one in prepared], len(some), tokens)
    asked.close()
    return {
        **figures,
        "batch": len(requests) / batches,
        "waiting": 1 - busy / figures["seconds"],
        "slowed": 1 - figures["images_per_second"] / alone["images_per_second"],
        "memory_gb": memory(device),
    }


def measure(ask: Callable[[], object], count: int, tokens: int) -> dict[str, float]:
    """Ask ``count`` questions; return images and tokens a second."""
    began = time.perf_counter()
    ask()
    seconds = time.perf_counter() - began
    return {"images_per_second": count / seconds, "tokens_per_second": count * tokens / seconds, "seconds": seconds}


def memory(device: str) -> float | None:
    """Return the GPU memory in GB that torch has taken so far, weights included; None without a GPU."""
    return torch.cuda.memory_reserved() / 1e9 if device == "cuda" else None


def main() -> None:
    """Measure both and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a tiny model on the CPU and few pictures: a test")
    parser.add_argument("--model", type=Path, help="folder for the model; made there unless it exists")
    parser.add_argument("--images", type=int, help="questions to the backend")
    parser.add_argument("--plain", type=int, help="questions of the plain loop")
    parser.add_argument("--tokens", type=int, help="tokens of every answer")
    parser.add_argument("--side", type=int, help="side of a picture, pixels")
    args = parser.parse_args()
    large = torch.cuda.is_available() and not args.small
    device = "cuda" if large else "cpu"
    chosen = {"images": args.images, "plain": args.plain, "tokens": args.tokens, "side": args.side}
    sizes = (LARGE_RUN if large else SMALL_RUN) | {name: value for name, value in chosen.items() if value}
    write_whole_answers(sizes["tokens"])
    with tempfile.TemporaryDirectory() as work:
        folder = make_model(args.model or Path(work), large=large)
        requests = make_questions(sizes["images"], sizes["side"])
        plain = {**plain_loop(folder, requests[: sizes["plain"]], sizes["tokens"], device), "memory_gb": memory(device)}
        if large:
            gc.collect()
            torch.cuda.empty_cache()
        warm_up = make_questions(max(sizes["images"] // 2, 4), sizes["side"], seed=1)
        batched = backend(folder, requests, sizes["tokens"], device, warm_up)
    record = {
        "device": torch.cuda.get_device_name() if large else f"CPU ({platform.machine()})",
        "model": "Qwen2.5-VL 7B sizes, random weights, bfloat16" if large else "tiny Qwen2.5-VL, float32",
        "sizes": sizes,
        "versions": versions("torch", "transformers", "accelerate"),
        "plain loop": plain,
        "backend": batched,
        "ratio": batched["images_per_second"] / plain["images_per_second"],
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
