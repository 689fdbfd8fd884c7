"""Ask the same questions of the backends ``transformers`` and ``vllm``, and compare all that an answer is made of.

    python benchmarks/engine_parity.py --vllm VENV/bin/vllm

Eight pictures of different sizes go to tiny models of six families, real classes and processors with random weights,
in float32 and without sampling. Compared are the tokens of the question, the tokens of the answer, the
log-probabilities of the twenty likeliest tokens at each step, and the answer as lvlm-ad stores it. Further rows show
what can make engines differ, and why. Ends with status 1 if a row is not as it should be. Takes about a minute a row on
a CPU.

vLLM needs an environment of its own (see benchmarks/vllm_cpu.py). ``--rows`` chooses among the rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from lvlm_ad_backends.openai import _chat_body
from lvlm_ad_backends.transformers import TransformersBackend, TransformersOptions
from lvlm_ad_backends.vllm import VllmBackend, VllmOptions

from lvlm_ad.backend import Answer, FirstToken, Picture, Request, Token
from lvlm_ad.errors import LvlmAdError
from lvlm_ad.prompts import answer_schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "internvl", "idefics3", "smolvlm", "llava")
SIZES = ((224, 224), (300, 200), (512, 512), (768, 768), (640, 480), (333, 517), (90, 700), (1024, 768))
TEXT = (
    "You inspect industrial products for defects. White borders divide the picture into 12 numbered regions. Give "
    "scores from 0 to 1. The format: image anomaly score: 0.9; region 1: 0.9; region 3: 0.7."
)
OWN_SETTINGS = {"repetition_penalty": 1.5, "temperature": 0.1, "top_k": 1, "max_new_tokens": 5}
"""Settings as a model may bring them in generation_config.json; Qwen2.5-VL has a repetition_penalty of 1.05."""
GAP = 1e-5
"""Largest difference of log-probabilities that float32 explains."""
NEVER = -1000.0
"""Tokens below it are excluded by a grammar: minus infinity here, -9999 at vLLM."""


@dataclass(frozen=True)
class Row:
    """A row of the table: a model, how it is asked, and what is expected.

    Attributes:
        family: name of a tiny model.
        settings: added to its generation_config.json.
        options: for both backends.
        serve: further arguments of ``vllm serve``.
        send: further options with which its server is asked.
        asked: options of the questions.
        text: the question.
        equal: whether the engines should agree; if not, ``why`` says why they differ.
        refused: whether vLLM may refuse the model.
        tokens: most tokens of an answer; 0: the command's.
    """

    family: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    serve: tuple[str, ...] = ()
    send: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    text: str = TEXT
    equal: bool = True
    refused: bool = False
    why: str = ""
    tokens: int = 0


ROWS = {
    **{family: Row(family) for family in FAMILIES},
    "own settings": Row("qwen2_5_vl", settings=OWN_SETTINGS, why="neither engine uses generation_config.json"),
    "own settings, used": Row(
        "qwen2_5_vl",
        settings=OWN_SETTINGS,
        serve=("--generation-config", "auto"),
        equal=False,
        why="a server with --generation-config auto uses the model's penalty on repetition",
    ),
    "own settings, switched off": Row(
        "qwen2_5_vl",
        settings=OWN_SETTINGS,
        serve=("--generation-config", "auto"),
        send={"sampling": "plain"},
        why="the same server asked with sampling=plain",
    ),
    "constrain": Row("qwen2_5_vl", options={"constrain": True}, asked={"n_regions": 12}, tokens=96),
    "constrain, JSON": Row(
        "qwen2_5_vl",
        options={"constrain": True},
        asked={"format": "json", "schema": answer_schema(12)},
        tokens=96,
        equal=False,
        why="vLLM allows no blanks in JSON; xgrammar's default has one after each comma and colon",
    ),
    "gemma3": Row("gemma3", refused=True, why="vLLM on a CPU lacks attention in both directions"),
}


@dataclass(frozen=True)
class Asked:
    """What an engine made of one question.

    Attributes:
        prompt: token ids of the question.
        ids: token ids of the answer.
        steps: for each of these, log-probabilities of the likeliest tokens by id.
        answer: as the backend returns it.
    """

    prompt: list[int]
    ids: list[int]
    steps: list[dict[int, float]]
    answer: Answer


def make_pictures(count: int) -> list[Picture]:
    """Draw gradients, waves and a red spot in noise, in different sizes."""
    return [Picture.from_pixels(draw(number, *SIZES[number % len(SIZES)])) for number in range(count)]


def draw(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Draw one picture."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[:height, :width]
    waves = (np.sin(x / 9 + number) + np.cos(y / 7)) * 60 + 128
    pixels = np.stack([x * 255 / width, y * 255 / height, waves], axis=-1)
    spot = (x - random.integers(width)) ** 2 + (y - random.integers(height)) ** 2 < 20**2
    pixels[spot] = (250, 20, 20)
    return np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)


def make_model(made: Path, folder: Path, row: Row) -> Path:
    """Copy a tiny model as the row wants it, with its weights named as at the hub.

    transformers 5 saves the vision tower of LLaVA and Gemma 3 under new names, which vLLM 0.32 does not know.
    """
    model = shutil.copytree(made / row.family, folder / "model")
    file = model / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **row.settings}))
    weights = safetensors.numpy.load_file(model / "model.safetensors")
    old, new = "vision_tower.", "vision_tower.vision_model."
    if row.family in {"llava", "gemma3"}:
        weights = {name if new in name else name.replace(old, new): value for name, value in weights.items()}
        safetensors.numpy.save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return model


def ask_transformers(options: TransformersOptions, requests: Sequence[Request]) -> list[Asked]:
    """Ask the backend ``transformers``, four questions at a time."""
    backend = TransformersBackend(options)
    model, _ = backend._start()  # noqa: SLF001 - what is compared is inside
    found = []
    for begin in range(0, len(requests), 4):
        prepared = model.prepare(requests[begin : begin + 4])
        outputs, _ = model.generate(prepared)
        for prompt, mask, output in zip(
            prepared.inputs["input_ids"], prepared.inputs["attention_mask"], outputs, strict=True
        ):
            ends = [at for at, token in enumerate(output.ids) if token in model._ends]  # noqa: SLF001
            ids = list(output.ids[: ends[0] + 1 if ends else None])
            likely = zip(*(part[: len(ids)].tolist() for part in output.alternatives), strict=True)
            steps = [dict(zip(tokens, values, strict=True)) for tokens, values in likely]
            found.append(Asked(prompt[mask == 1].tolist(), ids, steps, model.answer(output)))
    backend.close()
    return found


def ask_vllm(options: VllmOptions, send: Mapping[str, Any], requests: Sequence[Request]) -> list[Asked]:
    """Ask a server that the backend ``vllm`` starts: once for the answer, once for the tokens behind it."""
    backend = VllmBackend(options)
    found = []
    try:
        _, endpoint = backend._start()  # noqa: SLF001 - as above
        endpoint._options = endpoint._options.model_copy(update=dict(send))  # noqa: SLF001
        for request in requests:
            answer = backend.answer(request)
            reply = raw_reply(backend, request)
            (choice,) = reply["choices"]
            listed = [[entry, *entry["top_logprobs"]] for entry in choice["logprobs"]["content"]]
            steps = [
                {int(one["token"].removeprefix("token_id:")): one["logprob"] for one in entries} for entries in listed
            ]
            found.append(Asked(reply["prompt_token_ids"], choice["token_ids"], steps, answer))
    finally:
        backend.close()
    return found


def raw_reply(backend: VllmBackend, request: Request) -> dict[str, Any]:
    """Ask the running server with the backend's own question, and for the ids of all tokens."""
    _, endpoint = backend._start()  # noqa: SLF001 - as above
    more = {**backend._more(request), "return_token_ids": True, "return_tokens_as_token_ids": True}  # noqa: SLF001
    body = _chat_body(request, endpoint._options, stream=False, **more)  # noqa: SLF001
    return dict(json.loads(endpoint._wire.post("/chat/completions", body).content))  # noqa: SLF001


def compare(name: str, row: Row, pairs: Sequence[tuple[Asked, Asked]]) -> dict[str, Any]:
    """Return a line of the table."""
    total = len(pairs)
    gaps = [gap for one, other in pairs for gap in step_gaps(one, other)]
    texts = sum(one.answer.text == other.answer.text for one, other in pairs)
    differences = [found for one, other in pairs if (found := difference(one.answer, other.answer))]
    for found in differences if row.equal else ():
        print(f"{name}: {found}", file=sys.stderr)
    line = {
        "row": name,
        "questions": f"{sum(one.prompt == other.prompt for one, other in pairs)}/{total}",
        "answers": f"{sum(one.ids == other.ids for one, other in pairs)}/{total}",
        "texts": f"{texts}/{total}",
        "all": f"{total - len(differences)}/{total}",
        "gap": f"{max(gaps, default=float('nan')):.1e}",
        "ended": sum(one.answer.outcome == "ok" for one, _ in pairs),
        "why": row.why,
    }
    equal = all(line[part] == f"{total}/{total}" for part in ("questions", "answers", "texts", "all"))
    line["as expected"] = (equal and max(gaps) <= GAP) == row.equal
    return line


def step_gaps(one: Asked, other: Asked) -> list[float]:
    """Return the differences of log-probabilities, as long as the answers are the same."""
    gaps = []
    for ours, theirs, steps, other_steps in zip(one.ids, other.ids, one.steps, other.steps, strict=False):
        if ours != theirs:
            break
        shared = [(steps[token], other_steps[token]) for token in steps.keys() & other_steps.keys()]
        gaps += [abs(mine - their) for mine, their in shared if max(mine, their) > NEVER]
    return gaps


def difference(one: Answer, other: Answer) -> str:
    """Say in what two answers differ, beside seconds and the words for their end; empty: in nothing."""
    for name in ("text", "outcome", "usage"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs:
            return f"{name}: {mine!r} and {theirs!r}"
    places = [(token.start, token.text) for token in one.tokens], [(token.start, token.text) for token in other.tokens]
    if places[0] != places[1]:
        return f"tokens: {places[0]} and {places[1]}"
    for mine, theirs in zip([*one.tokens, one.first], [*other.tokens, other.first], strict=True):
        if (mine and mine.text) != (theirs and theirs.text) or not close(mine, theirs):
            return f"probabilities: {mine} and {theirs}"
    return ""


def close(one: Token | FirstToken | None, other: Token | FirstToken | None) -> bool:
    """Return whether the alternatives that two tokens share have the same log-probabilities."""
    mine, theirs = dict(one.alternatives if one else ()), dict(other.alternatives if other else ())
    return all(abs(mine[text] - theirs[text]) <= GAP for text in mine.keys() & theirs.keys() if text.strip("\ufffd"))


def run(name: str, row: Row, made: Path, requests: Sequence[Request], args: argparse.Namespace) -> dict[str, Any]:
    """Ask both engines for one row."""
    start = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(made, Path(folder), row)
        asked = [replace(one, text=row.text, options={**one.options, **row.asked}) for one in requests]
        common = {"model": str(model), "dtype": "float32", "max_tokens": row.tokens or args.tokens, **row.options}
        ours = ask_transformers(TransformersOptions(**common), asked)
        serve = ("--enforce-eager", "--max-num-seqs", "8", *row.serve)
        try:
            served = VllmOptions(**common, vllm=args.vllm, max_model_len=8192, arguments=serve)
            line = compare(name, row, list(zip(ours, ask_vllm(served, row.send, asked), strict=True)))
        except LvlmAdError as error:
            line = {"row": name, "why": f"refused: {row.why}", "as expected": row.refused}
            print(error, file=sys.stderr)
    return {**line, "seconds": round(perf_counter() - start)}


def main() -> int:
    """Run the rows and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--vllm", type=Path, help="the program vllm of its environment; default: as the backend finds it"
    )
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=24, help="most tokens of an answer")
    args = parser.parse_args()
    options = {"format": "text", "probabilities": True}
    requests = [Request((picture,), TEXT, options) for picture in make_pictures(args.pictures)]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        builder = Path(__file__).resolve().parents[1] / "tests" / "tiny_lvlms.py"
        families = {ROWS[name].family for name in args.rows}
        subprocess.run([sys.executable, str(builder), folder, *families], check=True, stderr=subprocess.DEVNULL)
        for name in args.rows:
            lines.append(run(name, ROWS[name], Path(folder), requests, args))
            print(json.dumps(lines[-1]), flush=True)
    columns = ("row", "questions", "answers", "texts", "all", "gap", "ended", "seconds", "why")
    print()
    for line in [{name: name for name in columns}, *lines]:
        print("| " + " | ".join(str(line.get(name, "-")) for name in columns) + " |")
    wrong = [line["row"] for line in lines if not line["as expected"]]
    print(f"not as expected: {', '.join(wrong)}" if wrong else "all rows are as expected")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
