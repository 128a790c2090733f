"""What a server counts, in the text form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Requests by route and status, tokens, batch sizes, seconds, and how many wait."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        """`waiting` tells the length of the line."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "sharpen_requests", "Requests that were replied to.", ["route", "status"], registry=self.registry
        )
        self.tokens = Counter(
            "sharpen_tokens", "Tokens of answered requests.", ["kind"], registry=self.registry
        )
        self.rows = Histogram(
            "sharpen_batch_rows",
            "Samples that were drawn together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "sharpen_request_seconds",
            "From the request to the end of its reply.",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=self.registry,
        )
        line = Gauge("sharpen_waiting", "Requests that wait for the model.", registry=self.registry)
        line.set_function(waiting)

    def text(self) -> bytes:
        """All of it, now."""
        return generate_latest(self.registry)
