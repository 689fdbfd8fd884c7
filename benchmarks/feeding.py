"""Measure how long a GPU would wait for pictures, by the number of threads that prepare them.

    python benchmarks/feeding.py                        # real preparation; needs as many idle cores as threads
    python benchmarks/feeding.py --prepare-ms 43        # a sleep of 43 ms a picture in place of it

The backend ``transformers`` prepares pictures of 768 x 768 pixels for Qwen2.5-VL: it decodes PNG, resizes, and cuts
into patches, with the real processor. A sleep stands for the GPU, and also for preparing on a machine that is busy:
threads that prepare hold Python's lock for about a twentieth of the time only, so they run side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from local_throughput import make_model, make_questions
from lvlm_ad_backends.transformers import TransformersOptions
from lvlm_ad_backends.transformers.model import LocalModel

from lvlm_ad.backend.batching import Batches, BatchSize

if TYPE_CHECKING:
    from lvlm_ad.backend import Request

Prepare = Callable[[Sequence["Request"]], object]


def sleeping(seconds: float) -> Prepare:
    """Return a preparation that takes so many seconds a picture."""
    return lambda requests: time.sleep(seconds * len(requests))


def real() -> Prepare:
    """Return the preparation of the backend."""
    with tempfile.TemporaryDirectory() as work:
        folder = make_model(Path(work), large=False)
        return LocalModel(folder, TransformersOptions(model=str(folder), device="cpu", max_tokens=1)).prepare


def waiting(prepare: Prepare, requests: list[Request], *, rate: float, batch: int, preparers: int) -> float:
    """Return the share of the time in which a GPU of ``rate`` pictures a second did nothing.

    The first half is not counted: the threads that are needed start only when the GPU has waited.
    """
    times: list[tuple[float, float]] = []

    def prepared(some: Sequence[Request]) -> int:
        prepare(some)
        return len(some)

    def run(count: int) -> tuple[list[None], None]:
        began = time.perf_counter()
        time.sleep(count / rate)
        times.append((began, time.perf_counter()))
        return [None] * count, None

    size = BatchSize(batch, batch)
    batches = Batches(prepared, run, length=lambda _: 0.0, size=size, preparers=preparers)
    with ThreadPoolExecutor((1 + preparers) * batch) as pool:
        list(pool.map(batches.ask, requests))
    batches.close()
    half = times[len(times) // 2 :]
    return 1 - sum(ended - began for began, ended in half) / (half[-1][1] - half[0][0])


def main() -> None:
    """Measure each rate with each number of threads, and print the shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=768, help="side of a picture, pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rates", type=float, nargs="+", default=[15, 30, 60], help="pictures a second of the GPU")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--prepare-ms", type=float, help="a sleep in place of preparing, for each picture")
    args = parser.parse_args()
    prepare = sleeping(args.prepare_ms / 1000) if args.prepare_ms else real()
    requests = make_questions(args.images, args.side)
    began, used = time.perf_counter(), time.process_time()
    prepare(requests[: args.batch])
    seconds, used = (time.perf_counter() - began) / args.batch, (time.process_time() - used) / args.batch
    print(json.dumps({"a picture, ms": 1000 * seconds, "CPU ms": 1000 * used, "load": os.getloadavg()[0]}))
    print(f"{'pictures a second':>18}" + "".join(f"{threads:>4} threads" for threads in args.threads))
    for rate in args.rates:
        shares = [waiting(prepare, requests, rate=rate, batch=args.batch, preparers=count) for count in args.threads]
        print(f"{rate:18.0f}" + "".join(f"{share:12.1%}" for share in shares), flush=True)


if __name__ == "__main__":
    main()
