"""Hands on a Ray cluster: actors spread over its nodes, each with the CPUs and GPUs it was given.

A piece of work that is lost with its actor or its node is done again by another one; a new actor takes the
place of the lost one once the cluster has room for it, beside a CPU for judges. Nothing is done for a driver
that is gone: its actors end with it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any

from pydantic import Field

from sharpen.core.ahead import Begun
from sharpen.core.errors import BadInput, SharpenError, Unavailable
from sharpen.core.records import Record
from sharpen.executors.hands import Hand, Make, Refused
from sharpen.executors.ray_cluster import RETRIES, Cluster, Gone
from sharpen.executors.shared import SharedFolder

SETTLED = 30.0
"""Seconds after a loss, when the cluster knows what it has lost."""
SENT = 32
"""Files that are kept in the cluster's memory for hands to come."""
_NAP = 0.2
_TRIAL = b"a file that every hand must be able to get\n"


class Placement(Record):
    """What is asked of a cluster: `ray?engines=4&gpus=1&shared=s3://bucket/place`."""

    engines: Annotated[int, Field(ge=0)] = 0
    """Processes that hold the model and make attempts; 0 makes them where the driver is."""
    cpus: Annotated[float, Field(ge=0)] = 1
    """CPUs of each."""
    gpus: Annotated[float, Field(ge=0)] = 0
    """GPUs of each."""
    shared: str = ""
    """Folder that all nodes reach, as fsspec names it, for what policies are made of; without one, that
    travels through the cluster's own memory."""
    patience: Annotated[float, Field(gt=0)] = 3600
    """Seconds that an engine may take to start, and to make one chunk of attempts."""


@dataclass(eq=False)
class _Seat:
    """An actor."""

    actor: Any
    ready: Any
    fit: bool = False
    """Whether it has said that it is ready."""
    calls: dict[Any, _Call] = field(default_factory=dict)
    """What it was asked to do, and nobody has taken the result of."""


@dataclass(eq=False)
class _Call:
    """A piece of work that is under way."""

    work: object
    parcels: Mapping[str, object]
    seat: _Seat | None = None
    task: Any = None
    tries: int = 0


class RayHands:
    """Actors, all of which are ready once this is made."""

    def __init__(self, cluster: Cluster, placement: Placement, make: Make, *arguments: object) -> None:
        """BadInput if the cluster has no room for them; what they refuse is raised here."""
        self._cluster, self._placement = cluster, placement
        self._shared = SharedFolder(placement.shared) if placement.shared else None
        self._sent: OrderedDict[str, object] = OrderedDict()
        _check_room(cluster, placement)
        self._kind = cluster.actor(Hand, num_cpus=placement.cpus, num_gpus=placement.gpus)
        self._arguments = (make, arguments, _fetch)
        self._trial = self._tried()
        self._seats = [self._new() for _ in range(placement.engines)]
        self._left = RETRIES * placement.engines
        """How many may still be lost."""
        self._settled = 0.0
        for seat in self._seats:
            self._start(seat)

    @property
    def count(self) -> int:
        """How many were asked for."""
        return self._placement.engines

    def begin(self, work: object, files: Mapping[str, Path]) -> Begun[Any]:
        """Have the one with the least to do begin."""
        call = _Call(work, {sha: self._parcel(sha, path) for sha, path in files.items()})
        self._send(call)
        return Begun(partial(self._results, call), partial(self._drop, call))

    def _results(self, call: _Call) -> list[Any]:
        while True:
            try:
                said = self._cluster.got(call.task, self._placement.patience)
            except Gone as error:
                self._lost(call, error)
                continue
            self._taken(call)
            return self._check(said)  # type: ignore[no-any-return]

    def _lost(self, call: _Call, error: Gone) -> None:
        """Do again what its actor was asked to do."""
        call.tries += 1
        if call.tries > RETRIES:
            raise error
        seat = call.seat
        assert seat is not None
        if seat in self._seats:
            self._give_up(seat, error)
        for one in [call, *(other for other in seat.calls.values() if other is not call)]:
            if one is call or not self._cluster.done([one.task]):
                self._taken(one)
                self._send(one)

    def _give_up(self, seat: _Seat, error: Unavailable) -> None:
        self._left -= 1
        if self._left < 0:
            raise error
        self._cluster.end(seat.actor)
        self._seats.remove(seat)
        self._settled = time.monotonic() + SETTLED

    def _send(self, call: _Call) -> None:
        call.seat = self._idlest()
        call.task = call.seat.actor.do.remote(call.work, call.parcels)
        call.seat.calls[call.task] = call

    def _taken(self, call: _Call) -> None:
        assert call.seat is not None
        call.seat.calls.pop(call.task, None)

    def _drop(self, call: _Call) -> None:
        if call.seat is not None and call.task in call.seat.calls:
            self._taken(call)
            self._cluster.cancel(call.task)

    def _idlest(self) -> _Seat:
        """The one with the least to do, of those that are ready."""
        deadline = time.monotonic() + self._placement.patience
        while True:
            self._replace()
            if ready := [seat for seat in tuple(self._seats) if self._is_ready(seat)]:
                return min(ready, key=self._load)
            if time.monotonic() > deadline:
                # Says what there is no room for.
                _check_room(self._cluster, self._placement)
                raise Unavailable("no engine is ready", remedy="look at `ray status`, and go on later")
            time.sleep(_NAP)

    def _replace(self) -> None:
        """A new one for one that was lost, if there is room."""
        count = len(self._seats) + 1
        settled = count <= self.count and time.monotonic() > self._settled
        if settled and _room(self._cluster, self._placement, count):
            self._seats.append(self._new())

    def _is_ready(self, seat: _Seat) -> bool:
        if not seat.fit and self._cluster.done([seat.ready]):
            try:
                self._start(seat)
            except Gone as error:
                self._give_up(seat, error)
        return seat.fit

    def _start(self, seat: _Seat) -> None:
        """Wait until it is ready; what it refuses is raised."""
        self._check(self._cluster.got(seat.ready, self._placement.patience))
        seat.fit = True

    def _load(self, seat: _Seat) -> int:
        return len(seat.calls) - self._cluster.done(list(seat.calls))

    def _new(self) -> _Seat:
        actor = self._kind.remote(*self._arguments)
        return _Seat(actor, actor.ready.remote(self._trial))

    def _check(self, said: Any) -> Any:
        if isinstance(said, Refused):
            raise SharpenError(said.problem, remedy=said.remedy)
        return said

    def _tried(self) -> dict[str, object]:
        with NamedTemporaryFile() as file:
            file.write(_TRIAL)
            file.flush()
            sha = sha256(_TRIAL).hexdigest()
            return {sha: self._parcel(sha, Path(file.name))}

    def _parcel(self, sha: str, path: Path) -> object:
        """What a hand gets the file by."""
        if self._shared is not None:
            self._shared.offer(sha, path)
            return (self._shared.url, sha)
        if sha not in self._sent:
            self._sent[sha] = self._cluster.put(path.read_bytes())
        self._sent.move_to_end(sha)
        while len(self._sent) > SENT:
            self._sent.popitem(last=False)
        return self._sent[sha]


def _fetch(parcel: Any, path: Path) -> None:
    """On a hand: what a parcel holds, as a file."""
    if isinstance(parcel, tuple):
        url, sha = parcel
        SharedFolder(url).fetch(sha, path)
        return
    import ray

    path.write_bytes(ray.get(parcel))


def _room(cluster: Cluster, placement: Placement, count: int) -> bool:
    """Whether there is room for so many engines, and one CPU more, for judges."""
    there = cluster.room()
    return count * placement.cpus <= there.get("CPU", 0) - 1 and count * placement.gpus <= there.get("GPU", 0)


def _check_room(cluster: Cluster, placement: Placement) -> None:
    if _room(cluster, placement, placement.engines):
        return
    there = cluster.room()
    raise BadInput(
        "engines",
        placement.engines,
        f"there are {there.get('CPU', 0):g} CPUs, one of them for judges, and {there.get('GPU', 0):g} GPUs; "
        f"each engine wants {placement.cpus:g} and {placement.gpus:g}",
        remedy="ask for fewer, for less of each (cpus=0.5), or add nodes",
    )
