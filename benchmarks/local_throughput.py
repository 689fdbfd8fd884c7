"""Measure how many images a second the backend ``transformers`` answers, and how long the GPU waits for pictures.

Compares it with a plain loop that asks one picture at a time, as anomalib's VlmAd and VLMEvalKit do:

    python benchmarks/local_throughput.py --images 256 --tokens 96

The model has the sizes of Qwen2.5-VL 7B and random weights, so nothing is downloaded. Every answer has ``--tokens``
tokens. Without a CUDA GPU the model is a tiny one, which shows only that everything works.
"""

from __future__ import annotations

import argparse
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

import numpy as np
import torch
import transformers
from lvlm_ad_backends.transformers import TransformersBackend, TransformersOptions
from PIL import Image
from process import versions

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


def make_model(folder: Path, *, large: bool) -> Path:
    """Make a model folder with random weights; the large one takes about 15 GB and a minute."""
    builder = Path(__file__).resolve().parents[1] / "tests" / "tiny_lvlms.py"
    subprocess.run([sys.executable, str(builder), str(folder), "qwen2_5_vl"], check=True, stderr=subprocess.DEVNULL)
    made = folder / "qwen2_5_vl"
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


def make_questions(count: int, side: int) -> list[Request]:
    """Make questions with a picture of noise each."""
    draw = np.random.default_rng(0)
    pictures = (draw.integers(0, 255, (side, side, 3), dtype=np.uint8) for _ in range(count))
    return [Request((Picture.from_pixels(picture),), TEXT, {"format": "text", "n_regions": 60}) for picture in pictures]


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
    return measure(lambda: [ask(request) for request in requests], len(requests), device)


def backend(
    folder: Path, requests: list[Request], tokens: int, device: str, warm_up: list[Request]
) -> dict[str, float]:
    """Measure asking through the backend, as a bench does."""
    asked = TransformersBackend(TransformersOptions(model=str(folder), device=device, max_tokens=tokens))
    with ThreadPoolExecutor(asked.capabilities.concurrency or 16) as pool:
        # The backend looks for the best batch size first; most of a long bench comes after that.
        list(pool.map(asked.answer, warm_up))
        statistics = asked.statistics
        busy, waited, batches = statistics.busy, statistics.waited, statistics.batches
        figures = measure(lambda: list(pool.map(asked.answer, requests)), len(requests), device)
    statistics = asked.statistics
    busy, waited, batches = statistics.busy - busy, statistics.waited - waited, statistics.batches - batches
    asked.close()
    return {**figures, "waiting_share": waited / (busy + waited), "mean_batch": len(requests) / batches}


def measure(ask: Callable[[], object], count: int, device: str) -> dict[str, float]:
    """Ask ``count`` questions; return images a second and, on a GPU, the most memory in GB."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    ask()
    seconds = time.perf_counter() - began
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
    return {"images_per_second": count / seconds, "seconds": seconds, "peak_memory_gb": memory}


def main() -> None:
    """Measure both and print the figures as JSON."""
    large = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=256 if large else 16, help="questions to the backend")
    parser.add_argument("--plain", type=int, default=24 if large else 16, help="questions of the plain loop")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of every answer")
    parser.add_argument("--side", type=int, default=768, help="side of a picture, pixels")
    args = parser.parse_args()
    device = "cuda" if large else "cpu"
    write_whole_answers(args.tokens)
    with tempfile.TemporaryDirectory() as work:
        folder = make_model(Path(work), large=large)
        requests = make_questions(args.images, args.side)
        plain = plain_loop(folder, requests[: args.plain], args.tokens, device)
        if large:
            torch.cuda.empty_cache()
        batched = backend(folder, requests, args.tokens, device, make_questions(args.images // 2, args.side))
    record = {
        "device": torch.cuda.get_device_name() if large else platform.machine(),
        "model": "Qwen2.5-VL 7B sizes, random weights, bfloat16" if large else "tiny Qwen2.5-VL, float32",
        "versions": versions("torch", "transformers", "accelerate"),
        "plain loop": plain,
        "backend": batched,
        "ratio of images per second": batched["images_per_second"] / plain["images_per_second"],
    }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
