"""Finished runs in experiment trackers: MLflow, Weights & Biases, and those that other packages offer.

A tracker is a class without arguments and with a method ``log``, which takes a ``TrackedRun``. A package offers one by
an entry point in the group ``lvlm_ad.trackers``.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lvlm_ad.errors import ConfigError, is_secret_option, is_secret_variable, nearest
from lvlm_ad.escape import visible

if TYPE_CHECKING:
    from lvlm_ad.runs import Run

__all__ = ["Mlflow", "TrackedRun", "Tracker", "Wandb", "open_trackers", "track", "tracked_run"]

_GROUP = "lvlm_ad.trackers"
_PROJECT = "lvlm-ad"
_LONGEST_TEXT = 500
"""Characters of a parameter; older servers of MLflow take no more."""
_LONGEST_NAME = 200
_BATCH = 100
"""Parameters or tags that MLflow takes at once."""
_LONGEST_ERROR = 300
_SHORTEST_SECRET = 6
"""Characters; what is shorter, such as 1, is no secret and occurs anywhere."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker gets of a run. It holds no keys, no answers, and no images unless ``folder`` is given.

    Attributes:
        name: the run folder's name.
        key: the hash of the run's configuration; the same bench again has the same key.
        parameters: the conditions; name -> text.
        metrics: fractions in 0..1, counts, USD and seconds, such as "mean/image_auroc" and "mean/image_auroc/low".
        tags: time and versions; name -> text.
        files: run.json and metrics.json.
        folder: the folder of the run's report, which shows the images; None if it is not to be uploaded.
    """

    name: str
    key: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[Path, ...]
    folder: Path | None = None


class Tracker(Protocol):
    """Logs runs."""

    def log(self, run: TrackedRun) -> str:
        """Log a run, and return where it can be seen."""


class Mlflow:
    """Logs to the server, database or folder that MLFLOW_TRACKING_URI names; a run that was logged is updated."""

    def __init__(self) -> None:
        # A server that is away is reported after seconds; by default MLflow tries for four minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        import mlflow  # noqa: PLC0415 - optional

        self._client: Any = mlflow.MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._place = f"{mlflow.get_tracking_uri()}, experiment {name}"

    def log(self, run: TrackedRun) -> str:
        """Log a run, and return where it can be seen."""
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - optional

        client, now = self._client, int(1000 * time.time())
        same = client.search_runs([self._experiment], f"tags.`lvlm_ad.key` = '{run.key}'", max_results=1)
        made = same[0] if same else client.create_run(self._experiment, run_name=run.name)
        identity = made.info.run_id
        metrics = [Metric(name, value, now, 0) for name, value in run.metrics.items()]
        # A parameter cannot be changed later; the key says that the conditions are the same.
        parameters = [Param(*one) for one in run.parameters.items() if one[0] not in made.data.params]
        tags = [RunTag(*one) for one in {"lvlm_ad.key": run.key, **run.tags}.items()]
        for start in range(0, max(map(len, (metrics, parameters, tags))), _BATCH):
            part = slice(start, start + _BATCH)
            client.log_batch(identity, metrics=metrics[part], params=parameters[part], tags=tags[part])
        for file in run.files:
            client.log_artifact(identity, str(file))
        if run.folder is not None:
            client.log_artifacts(identity, str(run.folder), "report")
        client.set_terminated(identity)
        return f"{self._place}, run {identity}"


class Wandb:
    """Logs to Weights & Biases, or to a local folder with WANDB_MODE=offline; a run that was logged is updated."""

    def __init__(self) -> None:
        import wandb  # noqa: PLC0415 - optional

        offline = os.environ.get("WANDB_MODE", "online") != "online"
        # wandb itself would ask for the key in the middle of a run.
        if not offline and not wandb.login(prompt=False):
            raise ConfigError("--track wandb: no key is known. Run 'wandb login', or set WANDB_MODE=offline.")

    def log(self, run: TrackedRun) -> str:
        """Log a run, and return where it can be seen."""
        import wandb  # noqa: PLC0415 - optional

        # Nothing of the terminal, the code or the machine is sent; the tags hold the versions that matter.
        settings = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        project = os.environ.get("WANDB_PROJECT", _PROJECT)
        config = {**run.parameters, **run.tags}
        with wandb.init(
            project=project, name=run.name, id=run.key[:32], resume="allow", config=config, settings=settings,
            allow_val_change=True, reinit="finish_previous",
        ) as made:  # fmt: skip
            made.log(dict(run.metrics))
            files = wandb.Artifact(f"run-{run.key[:16]}", type="run")
            for file in run.files:
                files.add_file(str(file))
            if run.folder is not None:
                files.add_dir(str(run.folder), name="report")
            made.log_artifact(files)
            return f"{Path(made.dir).parent} ('wandb sync' sends it)" if made.offline else str(made.url)


_TRACKERS: Mapping[str, Callable[[], Tracker]] = {"mlflow": Mlflow, "wandb": Wandb}


def open_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """Make trackers by name, before a bench starts.

    Args:
        names: "mlflow", "wandb", or names of installed entry points.

    Raises:
        ConfigError: there is no such tracker, its package is not installed, or it cannot be reached.

    Example:
        >>> open_trackers(["mlflo"])
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.ConfigError: There is no tracker 'mlflo'. Did you mean 'mlflow'?
    """
    offered = {entry.name: entry for entry in entry_points(group=_GROUP)}
    trackers: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        if name not in {*_TRACKERS, *offered}:
            raise ConfigError(f"There is no tracker {name!r}.{nearest(name, {*_TRACKERS, *offered})}")
        try:
            # Some print, and stdout holds results alone.
            with redirect_stdout(sys.stderr):
                trackers[name] = (_TRACKERS[name] if name in _TRACKERS else offered[name].load())()
        except ConfigError:
            raise
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"--track {name} needs the package {error.name}; install it with: pip install 'lvlm-ad[track]'."
            ) from error
        except Exception as error:  # a tracker is foreign code, and its server may be away
            raise ConfigError(f"--track {name} cannot be used: {_in_words(error)}") from error
    return trackers


def track(
    runs: Sequence[Run], trackers: Mapping[str, Tracker], note: Callable[[str], None], *, images: bool = False
) -> None:
    """Log runs; a tracker that fails once is left alone, for the runs are complete on disk.

    Args:
        runs: finished runs.
        trackers: what ``open_trackers`` returns.
        note: receives a line for each run, or the reason why a tracker failed.
        images: whether a run's report, with its images, is uploaded, too.
    """
    for name, tracker in trackers.items():
        for run in runs:
            try:
                with redirect_stdout(sys.stderr):
                    place = tracker.log(tracked_run(run, images=images))
            except Exception as error:  # noqa: BLE001 - a tracker is foreign code; it must not lose a run
                note(f"{name} did not log {run.dir.name} ({_in_words(error)}). The runs are complete on disk; the same "
                     "bench again logs them, without asking anything.")  # fmt: skip
                break
            note(f"{name}: {run.dir.name}: {_without_secrets(place)}")


def tracked_run(run: Run, *, images: bool = False) -> TrackedRun:
    """Return what a tracker gets of a finished run; ``images``: with the folder of its report, if there is one."""
    facts = run.manifest.model_dump(mode="json")
    tags = {"started": facts.pop("started"), "seconds": facts.pop("seconds"), "versions": facts.pop("versions")}
    decisions = run.metrics.get("decisions") or {}
    facts["threshold"] = decisions.get("threshold")
    report = run.dir / "report"
    return TrackedRun(
        name=visible(run.dir.name, ""),
        key=run.manifest.config_hash,
        parameters={
            name: _text(value) for name, value in _leaves(facts) if not is_secret_option(name.rpartition("/")[2])
        },
        metrics=dict(_numbers(run.metrics)),
        tags={name: _text(value) for name, value in _leaves(tags)},
        files=tuple(run.dir / name for name in ("run.json", "metrics.json")),
        folder=report if images and (report / "index.html").is_file() else None,
    )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name, such as "mean/image_auroc", and the value of all that is neither a mapping nor empty."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}/{_plain(str(key))}".strip("/"))
    elif value not in (None, "", []):
        yield name[-_LONGEST_NAME:], value


def _numbers(value: Any) -> Iterator[tuple[str, float]]:
    """Yield each number with its name; the two ends of an interval are "low" and "high"."""
    for name, leaf in _leaves(value):
        if isinstance(leaf, list | tuple) and len(leaf) == 2 and all(map(_is_number, leaf)):  # noqa: PLR2004 - an interval
            yield from ((f"{name}/low", float(leaf[0])), (f"{name}/high", float(leaf[1])))
        elif _is_number(leaf):
            yield name, float(leaf)


def _plain(key: str) -> str:
    """Write a key with the characters that every tracker takes; others by their code."""
    return re.sub(r"[^A-Za-z0-9_ -]", lambda match: f"_{ord(match[0]):x}_", key)


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return _without_secrets(visible(text, ""))[:_LONGEST_TEXT]


def _in_words(error: Exception) -> str:
    text = _without_secrets(" ".join(str(error).split()) or type(error).__name__)
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}..."


def _without_secrets(text: str) -> str:
    """Leave out names and passwords in addresses, and the values of variables that hold a secret."""
    text = re.sub(r"(?<=://)[^/\s@]+@", "", text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and is_secret_variable(name):
            text = text.replace(value, "***")
    return text
