"""Hands that die: others do what they were at, and a run hears of it only when all is lost."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sharpen.core.artifact import ArtifactStore, hash_file
from sharpen.core.errors import BadInput, SharpenError
from sharpen.executors import ray_hands
from sharpen.executors.hands import Worker
from sharpen.executors.ray_cluster import Gone
from sharpen.executors.ray_hands import Placement, RayHands


@dataclass(eq=False)
class Asked:
    """A call of an actor, carried out when its result is asked for."""

    actor: Actor
    name: str
    arguments: tuple[Any, ...]


class Method:
    def __init__(self, actor: Actor, name: str) -> None:
        self.actor, self.name = actor, name

    def remote(self, *arguments: Any) -> Asked:
        return Asked(self.actor, self.name, arguments)


class Actor:
    def __init__(self, cluster: FakeCluster, kind: type, arguments: tuple[Any, ...]) -> None:
        self.cluster, self.alive = cluster, True
        self.hand = kind(*arguments)
        self.ready, self.do = Method(self, "ready"), Method(self, "do")


class Kind:
    def __init__(self, cluster: FakeCluster, kind: type) -> None:
        self.cluster, self.kind = cluster, kind

    def remote(self, *arguments: Any) -> Actor:
        self.cluster.actors.append(Actor(self.cluster, self.kind, arguments))
        return self.cluster.actors[-1]


class FakeCluster:
    """As much of a cluster as hands ask for, in this process; actors die as its chance has it."""

    def __init__(self, cpus: float, deaths: float = 0.0, seed: int = 0) -> None:
        self.cpus, self.deaths, self.chance = cpus, deaths, random.Random(seed)
        self.actors: list[Actor] = []
        self.cancelled: list[Asked] = []

    def actor(self, kind: type, **options: object) -> Kind:
        return Kind(self, kind)

    def put(self, value: bytes) -> bytes:
        return value

    def room(self) -> Mapping[str, float]:
        return {"CPU": self.cpus}

    def done(self, tasks: list[Asked]) -> int:
        return sum(task.name == "ready" or not task.actor.alive for task in tasks)

    def got(self, task: Asked, seconds: float) -> Any:
        if task.name == "do" and self.chance.random() < self.deaths:
            task.actor.alive = False
        if not task.actor.alive:
            raise Gone("it is gone", remedy="none")
        return getattr(task.actor.hand, task.name)(*task.arguments)

    def cancel(self, task: Asked) -> None:
        self.cancelled.append(task)

    def end(self, actor: Actor) -> None:
        actor.alive = False


def counting(store: ArtifactStore, factor: int) -> Worker:
    """A worker that multiplies, and reads the file it is told of."""

    def work(asked: Any) -> list[Any]:
        number, sha = asked
        return [factor * number, store.get(sha).decode() if sha else ""]

    return work


def refusing(store: ArtifactStore) -> Worker:
    raise BadInput("weights", store.folder.name, "are others", remedy="copy them")


def hands_of(cluster: Any, make: Any, *arguments: object, engines: int = 3) -> RayHands:
    return RayHands(cluster, Placement(engines=engines), make, *arguments)


@pytest.fixture(autouse=True)
def fetched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_hands, "SETTLED", 0.0)
    monkeypatch.setattr(ray_hands, "_fetch", lambda data, path: path.write_bytes(data))


@pytest.mark.parametrize(("deaths", "ahead"), [(0.0, 1), (0.1, 1), (0.1, 3), (0.2, 6)])
def test_everything_is_answered_in_order_whoever_dies(tmp_path: Path, deaths: float, ahead: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"weights")
    sha = hash_file(path)
    cluster = FakeCluster(8, deaths, seed=ahead)
    hands = hands_of(cluster, counting, 10)
    begun, found = [], []
    for number in range(12):
        begun.append(hands.begin((number, sha), {sha: path}))
        if len(begun) == ahead:
            found.append(begun.pop(0).results())
    found += [one.results() for one in begun]
    assert found == [[10 * number, "weights"] for number in range(12)]
    assert sum(actor.alive for actor in cluster.actors) <= 3
    assert bool(deaths) == (len(cluster.actors) > 3)


def test_work_is_spread(tmp_path: Path) -> None:
    cluster = FakeCluster(8)
    hands = hands_of(cluster, counting, 1)
    begun = [hands.begin((n, ""), {}) for n in range(6)]
    assert [one.results()[0] for one in begun] == list(range(6))
    assert [len(seat.calls) for seat in hands._seats] == [0, 0, 0]
    begun = [hands.begin((n, ""), {}) for n in range(6)]
    assert [len(seat.calls) for seat in hands._seats] == [2, 2, 2]
    for one in begun:
        one.drop()
        one.drop()
    assert len(cluster.cancelled) == 6


def test_what_kills_every_hand_is_told() -> None:
    cluster = FakeCluster(8, deaths=1.0)
    hands = hands_of(cluster, counting, 1)
    with pytest.raises(Gone):
        hands.begin((1, ""), {}).results()
    assert len(cluster.actors) < 20


def test_a_lost_hand_is_replaced_only_beside_a_judge() -> None:
    cluster = FakeCluster(4)
    hands = hands_of(cluster, counting, 1)
    cluster.cpus = 3
    cluster.actors[0].alive = False
    assert [hands.begin((n, ""), {}).results()[0] for n in range(9)] == list(range(9))
    assert len(cluster.actors) == 3
    cluster.cpus = 4
    hands.begin((1, ""), {}).results()
    assert len(cluster.actors) == 4


def test_what_there_is_no_room_for_is_refused() -> None:
    with pytest.raises(BadInput, match="3 CPUs, one of them for judges"):
        hands_of(FakeCluster(3), counting, 1)


def test_what_a_hand_refuses_is_raised() -> None:
    with pytest.raises(SharpenError, match="are others  ->  copy them"):
        hands_of(FakeCluster(8), refusing)
