"""MLflow: a database in a file, or a tracking server; `mlflow ui --backend-store-uri URI` shows it.

Of several runs that tell one database in a file at a time, only one is in it at any moment: MLflow makes its
tables and experiments without asking whether somebody else is doing so, and SQLite has one writer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from filelock import FileLock

from sharpen.report.sinks.base import About, Sink

PACKAGE = "mlflow"
_FILE = "sqlite:///"
_LONGEST = 500
"""Most characters of a parameter that MLflow takes."""


class _MLflow:
    def __init__(self, client: Any, run: str, alone: AbstractContextManager[object]) -> None:
        self._client, self._run, self._alone = client, run, alone

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        with self._alone:
            self._client.log_batch(self._run, metrics=metrics)

    def close(self, *, ended: bool) -> None:
        with self._alone:
            self._client.set_terminated(self._run, "FINISHED" if ended else "KILLED")


def open_sink(about: About, *, uri: str = "", experiment: str = "sharpen") -> Sink:
    """Write to the tracking store at `uri`; to `mlflow.db` beside the run if it is not given."""
    from mlflow import MlflowClient

    beside = about.beside.absolute()
    place = None if uri else str(beside / "mlflow-artifacts")
    uri = uri or f"{_FILE}{beside / 'mlflow.db'}"
    alone = _alone(uri)
    with alone:
        client = MlflowClient(tracking_uri=uri)
        number = _experiment(client, experiment, place)
        return _MLflow(client, _run(client, number, about), alone)


def _alone(uri: str) -> AbstractContextManager[object]:
    """Holds everybody else off a database in a file; a server sees to that itself."""
    return FileLock(f"{uri.removeprefix(_FILE)}.lock") if uri.startswith(_FILE) else nullcontext()


def _experiment(client: Any, name: str, place: str | None) -> str:
    """Its number; it is made if need be."""
    from mlflow.exceptions import MlflowException

    if known := client.get_experiment_by_name(name):
        return str(known.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except MlflowException:
        # Somebody else may have made it on the same server in between.
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


def _run(client: Any, experiment: str, about: About) -> str:
    """The number of the run, which goes on if it was told of before."""
    from mlflow.entities import Param

    earlier = client.search_runs([experiment], f"tags.sharpen_key = '{about.key}'", max_results=1)
    if earlier:
        client.update_run(earlier[0].info.run_id, status="RUNNING")
        return str(earlier[0].info.run_id)
    run = client.create_run(experiment, run_name=about.name, tags={"sharpen_key": about.key}).info.run_id
    settings = [Param(name, value[:_LONGEST]) for name, value in about.settings.items()]
    client.log_batch(run, params=settings)
    return str(run)
