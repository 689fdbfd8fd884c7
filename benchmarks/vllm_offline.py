"""Ask vLLM in this process, as a script of a few lines does: ``LLM.chat`` with all conversations at once.

    VENV/bin/python benchmarks/vllm_offline.py conversations.json

The file holds the model's folder, its data type, the conversations, those to warm up with, and the most tokens of an
answer. Needs nothing but vLLM. The last line that it prints is JSON.
"""

import json
import sys
import time
from pathlib import Path

from vllm import LLM, SamplingParams


def main() -> None:
    """Ask, and print seconds and tokens."""
    asked = json.loads(Path(sys.argv[1]).read_text())
    model = LLM(
        model=asked["model"],
        dtype=asked["dtype"],
        max_model_len=asked["max_model_len"],
        limit_mm_per_prompt={"image": 1, "video": 0},
        generation_config="vllm",
        seed=0,
        **asked["more"],
    )
    parameters = SamplingParams(temperature=0, max_tokens=asked["tokens"])
    model.chat(asked["warm_up"], parameters, use_tqdm=False)
    began = time.perf_counter()
    outputs = model.chat(asked["conversations"], parameters, use_tqdm=False)
    seconds = time.perf_counter() - began
    texts, tokens = zip(*((one.outputs[0].text, len(one.outputs[0].token_ids)) for one in outputs), strict=True)
    print(json.dumps({"seconds": seconds, "tokens": sum(tokens), "texts": texts}), flush=True)


# vLLM starts processes that import this file.
if __name__ == "__main__":
    main()
