"""How much is asked of an endpoint at a time, and how often it is asked again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

FREE_RETRIES = 10
"""Further tries that are always allowed, so that short runs survive a bad moment."""


class Throttle:
    """Additive increase, multiplicative decrease of the requests in flight, as in TCP.

    A limit grows by one for every limit's worth of requests that went well, and is halved by one that the
    endpoint could not take; what was in flight by then says nothing new, and does not halve it again.
    """

    def __init__(self, most: int) -> None:
        """At most so many at a time; it begins there, too, for most endpoints take what their users set."""
        self._most = most
        self._changed = threading.Condition()
        self._limit = float(most)
        self._flying = 0
        self._epoch = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Wait for one's turn; gives the number that `went` wants to hear."""
        with self._changed:
            self._changed.wait_for(lambda: self._flying < self.limit)
            self._flying += 1
            epoch = self._epoch
        try:
            yield epoch
        finally:
            with self._changed:
                self._flying -= 1
                self._changed.notify_all()

    def went(self, epoch: int, *, well: bool) -> None:
        """Hear how a request went that began in this epoch."""
        with self._changed:
            if well:
                self._limit = min(self._most, self._limit + 1 / self._limit)
                self._changed.notify_all()
            elif epoch == self._epoch:
                self._limit = max(1.0, self._limit / 2)
                self._epoch += 1


class RetryBudget:
    """Bounds further tries to a share of all requests: an endpoint that is down is not hammered."""

    def __init__(self, share: float) -> None:
        """`share` of the requests so far, and a few free ones."""
        self._share = share
        self._lock = threading.Lock()
        self._requests = 0
        self.used = 0

    def begin(self) -> None:
        """Count a request."""
        with self._lock:
            self._requests += 1

    def take(self) -> bool:
        """Whether one further try may be made; it is counted if so."""
        with self._lock:
            allowed = self.used < FREE_RETRIES + self._share * self._requests
            self.used += allowed
            return allowed
