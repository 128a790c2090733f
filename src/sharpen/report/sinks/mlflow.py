"""MLflow: a database in a file, or a tracking server; `mlflow ui --backend-store-uri URI` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharpen.report.sinks.base import About, Sink

PACKAGE = "mlflow"
_LONGEST = 500
"""Most characters of a parameter that MLflow takes."""


class _MLflow:
    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def close(self, *, ended: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if ended else "KILLED")


def open_sink(about: About, *, uri: str = "", experiment: str = "sharpen") -> Sink:
    """Write to the tracking store at `uri`; to `mlflow.db` beside the run if it is not given."""
    from mlflow import MlflowClient

    beside = about.beside.absolute()
    client = MlflowClient(tracking_uri=uri or f"sqlite:///{beside / 'mlflow.db'}")
    known = client.get_experiment_by_name(experiment)
    place = None if uri else str(beside / "mlflow-artifacts")
    number = known.experiment_id if known else client.create_experiment(experiment, artifact_location=place)
    earlier = client.search_runs([number], f"tags.sharpen_key = '{about.key}'", max_results=1)
    if earlier:
        client.update_run(earlier[0].info.run_id, status="RUNNING")
        return _MLflow(client, earlier[0].info.run_id)
    run = client.create_run(number, run_name=about.name, tags={"sharpen_key": about.key}).info.run_id
    for name, value in about.settings.items():
        client.log_param(run, name, value[:_LONGEST])
    return _MLflow(client, run)
