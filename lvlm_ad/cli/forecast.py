"""What a bench would ask, and what that would cost, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lvlm_ad.cli import shell

__all__ = ["show_forecast"]


def show_forecast(forecast: list[dict[str, Any]], *, json: bool) -> None:
    """Print what each model would be asked, and what that would cost."""
    if json:
        shell.print_json({"forecast": forecast})
        return
    if not forecast:
        shell.show("No questions to ask: none of the models is a chat model.")
    for model in forecast:
        # How many questions follow from answers is a bound.
        most = "at most " if model["later"] else ""
        shell.show(
            f"{model['model']}: {most}{model['questions']} questions, {model['stored']} already answered, "
            f"{most}{model['to_ask']} to ask; {_estimate(model)}."
        )


def _estimate(model: dict[str, Any]) -> str:
    """Describe tokens, cost and time of the questions to ask."""
    if not model["to_ask"]:
        return "nothing to pay"
    tokens = "unknown" if model["input_tokens"] is None else f"about {model['input_tokens']:,}"
    cost = "unknown" if model["cost_usd"] is None else f"about {model['cost_usd']:.4f} USD"
    if model["at_most_usd"] is not None:
        cost += f" (at most about {model['at_most_usd']:.4f} USD, if every answer is as long as allowed)"
    # The time is unknown for a batch, and for a local model that has answered nothing yet.
    unknown = "unknown" if model["gathers"] else "within a day"
    duration = unknown if model["seconds"] is None else f"about {timedelta(seconds=round(model['seconds']))}"
    basis = {
        "stored answers": "Estimated from stored answers",
        "rule": "Estimated from the preset's rule for pictures and answers of usual length, without reasoning",
        "none": "The preset has no rule for the tokens of pictures",
    }
    return (
        f"input tokens {tokens}, output tokens about {model['output_tokens']:,}; cost {cost}; time {duration}. "
        f"{basis[model['basis']]}"
    )
