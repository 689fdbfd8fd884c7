"""Measures how fast a model in this process answers, against asking it one picture at a time, in the same run.

The plain loop is how anomalib's VlmAd and VLMEvalKit run local models: one question is prepared, generated and decoded
before the next begins. Weights are random, so nothing is downloaded and answers are noise; what is generated is as long
as ``--tokens`` says, in both. Without a CUDA GPU the model is a tiny one, and only the plumbing is measured.

    python benchmarks/local_throughput.py                      # a 7B-class Qwen2.5-VL on a GPU
    python benchmarks/local_throughput.py --images 256 --tokens 96 --json figures.json
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from lvlm_ad_backends.transformers import TransformersBackend, TransformersOptions
from PIL import Image

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
}
LARGE_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 3584,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
"""The sizes of Qwen2.5-VL 7B, from its configuration at the hub; the vocabulary is the tiny model's, padded."""
VOCABULARY = 152_064


def build(folder: Path, *, large: bool) -> Path:
    """Make a model folder with random weights; the 7B-class one takes about 15 GB and a minute."""
    builder = Path(__file__).resolve().parents[1] / "tests" / "tiny_lvlms.py"
    subprocess.run([sys.executable, str(builder), str(folder), "qwen2_5_vl"], check=True, stderr=subprocess.DEVNULL)
    made = folder / "qwen2_5_vl"
    if not large:
        return made
    config = transformers.AutoConfig.from_pretrained(made)
    for name, value in {**LARGE, "vocab_size": VOCABULARY}.items():
        setattr(config.text_config, name, value)
    config.text_config.layer_types = ["full_attention"] * LARGE["num_hidden_layers"]
    # A head has 128 places here: 64 frequencies, shared by time, row and column.
    config.text_config.rope_parameters = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    for name, value in LARGE_VISION.items():
        setattr(config.vision_config, name, value)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = transformers.AutoModelForImageTextToText.from_config(config)
    torch.set_default_dtype(torch.float32)
    model.generation_config = transformers.GenerationConfig.from_pretrained(made)
    model.save_pretrained(made)
    del model
    torch.cuda.empty_cache()
    return made


def questions(count: int, side: int) -> list[Request]:
    """Make questions with a picture of noise each."""
    draw = np.random.default_rng(0)
    pictures = (draw.integers(0, 255, (side, side, 3), dtype=np.uint8) for _ in range(count))
    return [Request((Picture.from_pixels(picture),), TEXT, {"format": "text", "n_regions": 60}) for picture in pictures]


def plain_loop(folder: Path, requests: list[Request], tokens: int, device: str) -> dict[str, float]:
    """Ask one at a time, as a short script would."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype, device_map=device).eval()

    def ask(request: Request) -> None:
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
            output = model.generate(**inputs, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
        processor.decode(output[0, inputs["input_ids"].shape[1] :])

    ask(requests[0])
    reset(device)
    began = time.perf_counter()
    for request in requests:
        ask(request)
    return figures(len(requests), tokens, time.perf_counter() - began, device)


def ours(folder: Path, requests: list[Request], tokens: int, device: str, warm: list[Request]) -> dict[str, float]:
    """Ask through the backend, as a bench does."""
    backend = TransformersBackend(TransformersOptions(model=str(folder), device=device, max_tokens=tokens))
    threads = backend.capabilities.concurrency or 16
    with ThreadPoolExecutor(threads) as pool:
        # The size of a batch is found once a run; a bench of hundreds of images spends most of its time after that.
        list(pool.map(backend.answer, warm))
        before = backend.statistics
        busy, waited, batches = before.busy, before.waited, before.batches
        reset(device)
        began = time.perf_counter()
        answers = list(pool.map(backend.answer, requests))
        seconds = time.perf_counter() - began
    after = backend.statistics
    written = sum(answer.usage.output_tokens or 0 for answer in answers) / len(answers)
    found = figures(len(requests), written, seconds, device)
    waits = (after.waited - waited) / max(after.busy - busy + after.waited - waited, 1e-9)
    batch = len(requests) / max(after.batches - batches, 1)
    backend.close()
    return {**found, "waiting_share": waits, "mean_batch": batch, "did_not_fit": after.retried}


def reset(device: str) -> None:
    """Forget the peak of memory."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def figures(images: int, tokens: float, seconds: float, device: str) -> dict[str, float]:
    """Return what was measured."""
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else 0.0
    return {
        "images_per_second": images / seconds,
        "tokens_per_second": images * tokens / seconds,
        "seconds": seconds,
        "peak_memory_gb": memory,
    }


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, help="questions; default: 256 on a GPU, 16 without")
    parser.add_argument("--plain", type=int, help="questions of the plain loop; default: 24 on a GPU, 16 without")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of every answer")
    parser.add_argument("--side", type=int, default=768, help="side of a picture, pixels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    args = parser.parse_args()
    large = torch.cuda.is_available()
    device = "cuda" if large else "cpu"
    if not large:
        print("No CUDA GPU here: a tiny model on the CPU, which says nothing of throughput.", file=sys.stderr)
    images, plain = args.images or (256 if large else 16), args.plain or (24 if large else 16)
    never_end(args.tokens)
    with tempfile.TemporaryDirectory() as work:
        folder = build(Path(work), large=large)
        requests = questions(images, args.side)
        loop = plain_loop(folder, requests[:plain], args.tokens, device)
        if large:
            torch.cuda.empty_cache()
        batched = ours(folder, requests, args.tokens, device, questions(images // 2, args.side))
    record: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if large else platform.processor() or platform.machine(),
        "model": "Qwen2.5-VL 7B sizes, random weights, bfloat16" if large else "tiny Qwen2.5-VL, float32",
        "versions": {name: version(name) for name in ("torch", "transformers", "accelerate")},
        "plain": loop,
        "ours": batched,
        "ratio": batched["images_per_second"] / loop["images_per_second"],
    }
    print(json.dumps(record, indent=2))
    if args.json:
        args.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


def never_end(tokens: int) -> None:
    """Have every answer of random weights go on to the limit, in both: equal work is compared."""
    generate = transformers.GenerationMixin.generate
    lock = threading.Lock()

    def whole(self: Any, **inputs: Any) -> Any:
        with lock:
            return generate(self, **{**inputs, "min_new_tokens": tokens, "exponential_decay_length_penalty": None})

    transformers.GenerationMixin.generate = whole


if __name__ == "__main__":
    sys.exit(main())
