"""What the commands of all studies do once their options are read."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from lvlm_ad.cli.study_reading import show_and_write
from lvlm_ad.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.studies import Study


def price_or_run(
    price: Callable[..., dict[str, Any]],
    study: Callable[..., Study],
    config: RunConfig,
    options: object,
    *,
    dry_run: bool,
    json: bool,
) -> None:
    """Show what a study would cost, or make it and show it; the exit status says whether answers are missing.

    Args:
        price: estimates the study; takes the configuration, the options, a ``Progress`` and ``Workers``.
        study: makes it; takes the same.
        config: what to measure.
        options: the options of this kind of study.
        dry_run: whether to estimate only.
        json: print one JSON object in place of tables.
    """
    from lvlm_ad.cli.study_tables import exit_if_incomplete, show_price
    from lvlm_ad.cli.terminal import Bars

    with closing(Workers()) as workers, Bars() as bars:
        made = (price if dry_run else study)(config, options, bars, workers)
    if isinstance(made, dict):
        show_price(made, json=json)
        return
    show_and_write(made, config.out / "studies" / made.name, json=json)
    exit_if_incomplete(made)
