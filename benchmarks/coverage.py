"""Simulate how often intervals contain the true value, and how often equal rows are separated.

Each recipe simulates test sets whose truth is known, and measures them with the functions that a bench uses. The table
shows the lowest value over settings and their mean, the accepted range, and what the rule of older versions gave on the
same sets::

    python benchmarks/coverage.py                    # everything, under 20 minutes on two cores
    python benchmarks/coverage.py --quick            # fewer sets, about two minutes; three standard errors outside pass
    python benchmarks/coverage.py coverage/pixel fwer

Exit status 1: a result lies outside its range.
"""

from __future__ import annotations

import os

# One thread a process: the processes share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import sys
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from coverage_recipes import RECIPES, Range, Result

_NOISE = 3.0
"""With ``--quick`` a result may lie so many standard errors outside its range."""

HEADER = "| recipe | setting | now: min / mean | before: min / mean | width | before | accepted | |"


def results_of(name: str, index: int, sets: int) -> list[Result]:
    """Measure one setting of a recipe; the same numbers each time."""
    recipe = RECIPES[name]
    draw = np.random.default_rng([zlib.crc32(name.encode()), index])
    return list(recipe.measure(draw, sets, *recipe.settings[index]))


def is_inside(value: float, accepted: Range, error: float) -> bool:
    """Say whether a value lies in a range; ``error``: what the noise of few sets may add."""
    return accepted[0] - error <= value <= accepted[1] + error


def lines_of(name: str, results: Sequence[Result], noise: float) -> tuple[list[str], bool]:
    """Write a recipe's lines of the table, and say whether all its results lie within their ranges.

    ``noise`` is by how many standard errors a result may lie outside.
    """
    recipe, lines, all_inside = RECIPES[name], [], True
    for group in dict.fromkeys(one.group for one in results):
        own = [one for one in results if one.group == group]
        accepted = recipe.accept if isinstance(recipe.accept, tuple) else recipe.accept.get(group)
        inside = accepted is None or all(is_inside(one.now, accepted, noise * one.error) for one in own)
        all_inside &= inside
        shown = [_span([one.now for one in own]), _span([one.before for one in own])]
        shown += [_mean([one.width for one in own]), _mean([one.width_before for one in own])]
        lines.append(f"| {name} | {group} | {' | '.join(shown)} | {_range(accepted)} | {_verdict(inside)} |")
    if recipe.mean:
        mean = float(np.mean([one.now for one in results]))
        inside = is_inside(
            mean, recipe.mean, noise * float(np.linalg.norm([one.error for one in results])) / len(results)
        )
        all_inside &= inside
        before = _mean([one.before for one in results])
        lines.append(
            f"| {name} | mean of all | {mean:.3f} | {before} | | | {_range(recipe.mean)} | {_verdict(inside)} |"
        )
    return lines, all_inside


def _range(accepted: Range | None) -> str:
    return "for comparison" if accepted is None else f"{accepted[0]:g} to {accepted[1]:g}"


def _span(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    return f"{min(known):.3g} / {np.mean(known):.3g}" if len(known) > 1 else f"{known[0]:.3g}"


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f}" if known else ""


def _verdict(inside: bool) -> str:  # noqa: FBT001 - one flag, named by its type
    return "inside" if inside else "**outside**"


def main() -> int:
    """Run recipes; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"one of {', '.join(RECIPES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer sets")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    chosen = options.recipes or list(RECIPES)
    if unknown := set(chosen) - set(RECIPES):
        parser.error(f"no recipe is called {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
    print(HEADER, "|---|---|---|---|---|---|---|---|", sep="\n", flush=True)
    all_inside = True
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        sets = {name: RECIPES[name].quick if options.quick else RECIPES[name].sets for name in chosen}
        jobs = {
            name: [pool.submit(results_of, name, index, sets[name]) for index in range(len(RECIPES[name].settings))]
            for name in chosen
        }
        for name, running in jobs.items():
            results = [result for job in running for result in job.result()]
            lines, inside = lines_of(name, results, _NOISE if options.quick else 0.0)
            print(*lines, sep="\n", flush=True)
            all_inside &= inside
    return 0 if all_inside else 1


if __name__ == "__main__":
    sys.exit(main())
