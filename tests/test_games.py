"""Games: rules that hold for any text, secrets that stay secret, and the loop that plays them again."""

from __future__ import annotations

import copy
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from sharpen.core.errors import BadInput
from sharpen.core.recipe import load_recipe
from sharpen.core.task import Task
from sharpen.environments.bargaining import BUYER, SELLER, Bargaining, Curve, Market
from sharpen.environments.bargaining_coach import Advice, advice_on, faults, remembered
from sharpen.environments.base import World, start
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.result import Result
from sharpen.experiment.spec import RunSpec
from sharpen.tasks import bargaining, open_spiel_bargaining

SEEDS = st.integers(0, 2**40)
MOVES = st.one_of(
    st.integers(30, 130).map(lambda price: f"OFFER {price}"),
    st.lists(st.integers(0, 3), min_size=3, max_size=3).map(lambda n: "OFFER " + " ".join(map(str, n))),
    st.sampled_from(["ACCEPT", "WALK", "accept.", "OFFER", "OFFER -5", "OFFER 99999999", "\x00\nACCEPT", ""]),
    st.text(max_size=60),
)
FAMILIES = pytest.mark.parametrize("family", [bargaining, open_spiel_bargaining], ids=["price", "pool"])


def task_of(family: object, seed: int, **dials: str) -> Task:
    task: Task = family.generate(random.Random(seed), role="any", **dials)  # type: ignore[attr-defined]
    return task


def play_out(world: World, moves: list[str]) -> list[tuple[str, str]]:
    """Play these moves, then the scripts to the end; what every role was shown."""
    shown = []
    while (view := world.view()) is not None:
        assert world.view() == view, "looking changes nothing"
        shown.append((view.role, view.text))
        world.move(moves.pop(0) if moves else world.scripted(view.role))
        assert len(shown) < 100
    return shown


@FAMILIES
@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, moves=st.lists(MOVES, max_size=12))
def test_any_text_ends_in_an_outcome_from_0_to_1(family: object, seed: int, moves: list[str]) -> None:
    world = start(task_of(family, seed), random.Random(seed))
    play_out(world, list(moves))
    outcome = world.outcome()
    assert 0 <= outcome.value <= 1
    assert ("price" in outcome.facts) == (outcome.facts["deal"] == 1)
    assert outcome.facts["deal"] == 1 or outcome.value == 0


@FAMILIES
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, moves=st.lists(MOVES, max_size=4), more=st.lists(MOVES, max_size=6))
def test_copies_branch(family: object, seed: int, moves: list[str], more: list[str]) -> None:
    world = start(task_of(family, seed), random.Random(seed))
    for text in moves:
        if world.view() is not None:
            world.move(text)
    kept, branch, twin = world.view(), copy.deepcopy(world), copy.deepcopy(world)
    first = play_out(branch, list(more))
    assert world.view() == kept, "the branch left its parent alone"
    assert play_out(twin, list(more)) == first and twin.outcome() == branch.outcome()


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, moves=st.lists(MOVES, max_size=16))
def test_a_deal_shares_what_the_item_is_worth(seed: int, moves: list[str]) -> None:
    task = task_of(bargaining, seed)
    world = start(task, random.Random(seed))
    assert isinstance(world, Bargaining)
    play_out(world, moves)
    market, gains = Market.model_validate(task.world), world.gains()
    assert sum(gains.values()) == (0 if world.price is None else market.value - market.cost)
    if world.price is not None:
        assert market.bid <= world.price <= market.ask


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, moves=st.lists(MOVES, max_size=8), text=MOVES)
def test_an_illegal_move_costs_a_turn_and_nothing_else(seed: int, moves: list[str], text: str) -> None:
    world = start(task_of(bargaining, seed), random.Random(seed))
    assert isinstance(world, Bargaining)
    for move in [*moves, text]:
        if (view := world.view()) is None:
            return
        standing, said = dict(world.standing), len(world.said)
        world.move(move)
        assert len(world.said) == said + 1
        if world.said[-1].why:
            assert world.standing == standing and world.price is None
            world.move("OFFER 0")
            again = world.view()
            assert again is None or (again.role == view.role and "Illegal" in again.text)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_secrets_stay_with_their_role(seed: int) -> None:
    task = task_of(bargaining, seed)
    market = Market.model_validate(task.world)
    own = {SELLER: str(market.cost), BUYER: str(market.value)}
    for role, rival in ((SELLER, BUYER), (BUYER, SELLER)):
        told = (task.question + task.views[role]).replace(str(market.ask), "").replace(str(market.bid), "")
        assert own[role] in task.views[role]
        assert own[rival] not in told or own[rival] == own[role]
        assert "You are modest" not in task.views[rival if task.role == role else role]


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_values_of_the_pool_stay_with_their_role(seed: int) -> None:
    pytest.importorskip("pyspiel")
    task = task_of(open_spiel_bargaining, seed)
    values = {role: view.splitlines()[-1] for role, view in task.views.items()}
    shown = play_out(start(task, random.Random(seed)), [])
    assert values["first"] not in task.views["second"] or values["first"] == values["second"]
    assert not any("values" in text for _, text in shown)


def game(*moves: str, nerve: int = 3, **market: int) -> Bargaining:
    prices = {"cost": 50, "value": 90, "ask": 100, "bid": 50, **market}
    curve = Curve(patience=6, nerve=nerve)
    world = Market(**prices, curves={SELLER: curve, BUYER: curve})
    world_task = Task.ask("?", "").model_copy(
        update={"environment": "bargaining", "world": world.model_dump(mode="json"), "role": SELLER}
    )
    begun = start(world_task, random.Random(0))
    assert isinstance(begun, Bargaining)
    for move in moves:
        begun.move(move)
    return begun


@pytest.mark.parametrize(
    ("moves", "price", "value"),
    [
        (["OFFER 80", "ACCEPT"], 80, 0.75),
        (["offer $80.", "OFFER 60", "ACCEPT"], 60, 0.25),
        (["OFFER 80", "WALK"], None, 0.0),
        (["ACCEPT"], 50, 0.0),
        (["OFFER 101", "OFFER 60", "ACCEPT"], 60, 0.25),
        (["OFFER 80", "OFFER 60", "OFFER 90", "ACCEPT"], 80, 0.75),
    ],
)
def test_prices_and_values(moves: list[str], price: int | None, value: float) -> None:
    world = game(*moves)
    assert world.view() is None
    assert world.outcome().facts.get("price") == price
    assert world.outcome().value == value


def test_a_role_is_told_why_its_move_was_illegal() -> None:
    view = game("OFFER 80", "OFFER 60", "OFFER 90", "OFFER 65").view()
    assert view is not None and view.role == SELLER
    assert "Illegal: you were at 80 already." in view.text and "buyer: OFFER 65" in view.text


def test_a_script_walks_out_on_someone_who_never_moves_and_never_passes_its_limit() -> None:
    world = game(nerve=2)
    while (view := world.view()) is not None:
        world.move("OFFER 100" if view.role == SELLER else world.scripted(BUYER))
    assert world.outcome().facts["deal"] == 0 and world.said[-1].text == "WALK"
    world = game(value=70)
    while (view := world.view()) is not None:
        world.move("OFFER 75" if view.role == SELLER else world.scripted(BUYER))
    assert world.price is None


@pytest.mark.parametrize(
    ("dialogue", "advice"),
    [
        ("seller 70, buyer 60, seller ACCEPT", Advice.ANCHOR),
        ("seller 99, buyer 52, seller 75, buyer 60, seller 73, buyer ACCEPT", Advice.CONCEDE_LATE),
        ("seller 99, buyer 52, seller 96, buyer 60, seller 80, buyer ACCEPT", Advice.HOLD_FIRM),
        ("seller 99, buyer 52, seller ACCEPT", Advice.WALK_AWAY),
        ("seller 98, buyer 90, seller 95, buyer 92, seller ACCEPT", Advice.KEEP),
        ("seller 99, buyer 95, " * 7 + "seller 98, buyer ACCEPT", Advice.SPLIT),
    ],
)
def test_the_coach_finds_the_costliest_fault(dialogue: str, advice: Advice) -> None:
    world = {"cost": 50, "value": 90, "ask": 100, "bid": 50, "moves": 8}
    task = Task.ask("?", "").model_copy(update={"world": world, "role": SELLER})
    assert advice_on(task, dialogue) is advice


def test_the_coach_refuses_another_game() -> None:
    with pytest.raises(BadInput, match="critic"):
        faults("first: OFFER 1 0 2, second: ACCEPT", SELLER, ask=100, bid=50, moves=8)


def test_memories_name_the_price_to_beat() -> None:
    assert remembered(2, BUYER, "buyer 60", 61, "") == "Game 2: buyer 60. Buy below 61."
    assert remembered(1, SELLER, "seller 60", 60, "So.") == "Game 1: seller 60. So. Sell above 60."


@pytest.mark.parametrize(
    ("family", "dials"),
    [
        (bargaining, {"role": "judge"}),
        (bargaining, {"temper": "wild"}),
        (bargaining, {"moves": 1}),
        (open_spiel_bargaining, {"role": "third"}),
        (open_spiel_bargaining, {"patience": 2.0}),
    ],
)
def test_bad_dials_are_named(family: object, dials: dict[str, JsonValue]) -> None:
    with pytest.raises(BadInput) as caught:
        family.generate(random.Random(0), **dials)  # type: ignore[attr-defined]
    assert caught.value.field in dials


def test_bad_worlds_are_refused() -> None:
    for name in ("bargaining", "open_spiel_bargaining"):
        changes = {"environment": name, "world": {"ask": "x"}, "role": SELLER}
        task = Task.ask("?", "").model_copy(update=changes)
        with pytest.raises(BadInput, match="world"):
            start(task, random.Random(0))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspiel", None)
    with pytest.raises(BadInput, match=r"pip install 'sharpen\[games\]'"):
        open_spiel_bargaining.generate(random.Random(0))


PLAYER = '''
import re

def play(prompt, seed):
    """Sells at once, unless it was told to hold firm: then it asks for much."""
    asked = int(re.search(r"asked (\\d+)", prompt)[1])
    if "Anchor high" not in prompt.split("A seller")[-1]:
        return f"OFFER {asked - 32}"
    offers = re.findall(r"A: ?OFFER (\\d+)", prompt)
    return f"OFFER {int(offers[-1]) - 4 if offers else asked - 6}"
'''
CRITIC = '''
def advise(prompt, seed):
    """A model that coaches: always the same good advice."""
    assert "You coach the seller" in prompt
    return "Anchor high,\\nmy friend."
'''


@pytest.fixture
def scripts(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "player.py").write_text(PLAYER)
    (tmp_path / "critic.py").write_text(CRITIC)
    verbs = {"player": "play", "critic": "advise"}
    return {name: f"scripted:{tmp_path / name}.py:{verb}" for name, verb in verbs.items()}


def negotiate(folder: Path, model: str, task: str = "bargaining", **config: JsonValue) -> Result:
    place = load_recipe("negotiation").small.at(**config)
    asked = {"task": task, "model": model, "max_tokens": 40, "test": 12}
    place = place.model_copy(update={"request": {**place.request, **asked}})
    return execute(RunSpec.at("negotiation", place, {}), folder, StopAfter(None))


def test_a_scripted_player_gains_from_advice_alone(tmp_path: Path, scripts: dict[str, str]) -> None:
    advised = negotiate(tmp_path / "advised", scripts["player"])
    price = advised.test.facts["price"]
    assert advised.test.delta.above_zero
    assert (price.after.mean or 0) > (price.before.mean or 0) + 5
    assert [sorted(item.measures) for item in advised.rounds] == [["deal", "price if deal", "surplus"]] * 3
    for feedback in ("none", "constant"):
        plain = negotiate(tmp_path / feedback, scripts["player"], feedback=feedback)
        assert plain.test.after.mean == plain.test.before.mean == advised.test.before.mean


def test_a_model_can_be_the_critic(tmp_path: Path, scripts: dict[str, str]) -> None:
    result = negotiate(tmp_path / "run", scripts["player"], critic=scripts["critic"])
    assert result.test.delta.above_zero


def test_another_game_needs_a_model_as_critic(tmp_path: Path, scripts: dict[str, str]) -> None:
    pytest.importorskip("pyspiel")
    result = negotiate(tmp_path / "run", "scripted:echo", "open_spiel_bargaining", feedback="none", rounds=2)
    assert result.coverage == 1
    assert result.test.facts["illegal"].before.mean
