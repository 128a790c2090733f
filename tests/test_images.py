"""Pictures: scenes, their oracle, painters and what learns from pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.seeds import random_for
from sharpen.curation.rankings import agreement, ordered_pairs, ranked, spliced
from sharpen.models.base import Decoding, Prompt
from sharpen.models.captions import word_ids
from sharpen.models.painter import as_pixels, as_tensor, open_painter
from sharpen.tasks.pictures import MOST_BYTES, pixels_of, png_of
from sharpen.tasks.scene_pictures import render
from sharpen.tasks.scenes import COLOURS, LEVELS, SHAPES, Odds, Place, Scene, Size, distorted, draw_scene
from sharpen.verifiers.scene import aspects_of

FRESH = "painter?size=12&width=16&steps=3"


@pytest.mark.parametrize("level", LEVELS)
def test_oracle_accepts_what_the_renderer_draws(level: int) -> None:
    for number in range(60):
        rng = random_for("scene", level, number)
        scene = draw_scene(rng, level=level)
        assert all(aspects_of(render(scene, rng), scene)), scene.caption


@pytest.mark.parametrize("aspect", ["attribute", "spatial", "non_spatial"])
def test_oracle_tells_the_aspects_apart(aspect: str) -> None:
    seen = set()
    for number in range(40):
        rng = random_for(aspect, number)
        scene = draw_scene(rng)
        aspects = aspects_of(render(distorted(scene, rng, Odds(**{aspect: 1.0})), rng), scene)._asdict()
        seen.add(aspects.pop(aspect))
        assert all(aspects.values())
    assert seen == {True, False}


def test_oracle_sees_through_noise_but_not_clutter() -> None:
    rng = random_for("noise")
    scene = draw_scene(rng)
    picture = render(scene, rng).astype(int)
    noisy = np.clip(picture + np.random.default_rng(0).integers(-60, 60, picture.shape), 0, 255)
    assert all(aspects_of(noisy.astype(np.uint8), scene))
    assert not any(aspects_of(np.full_like(picture, 255, dtype=np.uint8), scene))


def test_pictures_survive_png_and_bad_bytes_do_not() -> None:
    picture = render(draw_scene(random_for("png")), random_for("png"))
    assert (pixels_of(png_of(picture)) == picture).all()
    large = png_of(np.zeros((70, 70, 3), dtype=np.uint8))
    for data in (b"", b"GIF89a" + bytes(40), png_of(picture)[:60], bytes(MOST_BYTES + 1)):
        with pytest.raises(ValueError):
            pixels_of(data)
    with pytest.raises(ValueError, match="too large"):
        pixels_of(large, most_side=64)


def test_words_of_the_family_do_not_collide() -> None:
    words = " ".join([*COLOURS, *SHAPES, *Place, *Size]).split()
    ids = {word: int(word_ids([word])[0, 0]) for word in words}
    assert len(set(ids.values())) == len(ids)


def test_a_painter_draws_from_caption_and_seed_alone(tmp_path: Path) -> None:
    model = open_painter(FRESH)
    both = model.draw(["a red square", "a blue ring"], [1, 2])
    assert (model.draw(["a blue ring"], [2])[0].astype(int) - both[1]).__abs__().max() <= 1
    assert (both[0] != model.draw(["a red square"], [3])[0]).any()
    assert open_painter(FRESH).fingerprint == model.fingerprint != open_painter(FRESH + "&seed=1").fingerprint
    assert (np.stack(as_pixels(as_tensor(both))) == np.stack(both)).all()


def test_a_painter_keeps_its_weights_through_files(tmp_path: Path) -> None:
    model = open_painter(FRESH)
    first = model.draw(["x"], [1])[0]
    next(iter(model.begin().values())).data.add_(0.5)
    model.save(tmp_path / "model.safetensors")
    changed = model.draw(["x"], [1])[0]
    model.load(None)
    assert (model.draw(["x"], [1])[0] == first).all()
    model.load(tmp_path / "model.safetensors")
    assert (model.draw(["x"], [1])[0] == changed).all()
    model.export(None, tmp_path / "folder", merged=False)
    assert (open_painter(str(tmp_path / "folder")).draw(["x"], [1])[0] != changed).any()
    with pytest.raises(BadInput, match="another model"):
        open_painter(FRESH + "&seed=1").load(tmp_path / "model.safetensors")


def test_what_a_painter_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot write"):
        open_painter(FRESH).sample([Prompt("Hello", (0,))], Decoding())
    for spec in ("painter?size=13", "painter?colour=1", str(tmp_path)):
        with pytest.raises(BadInput):
            open_painter(spec)


def test_newcomers_are_spliced_in_and_the_old_order_stays() -> None:
    row = ranked({"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0})
    scores = {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.2, "new": 0.3}
    grown = spliced(row, "new", scores)
    assert [one.item for one in grown] == ["a", "b", "c", "new", "d"]
    assert [one for one in grown if one.item != "new"] == list(row)
    assert spliced(row, "new", {**scores, "new": 2.0})[0].item == "new"
    assert spliced(row, "new", {**scores, "new": 0.0})[-1].item == "new"
    assert ("a", "b") not in ordered_pairs(row) and ("b", "c") in ordered_pairs(row)
    assert agreement([True, False, False], [0.5, 0.1, 0.9]) == 0.5
    assert agreement([True], [1.0]) is None


def test_records_of_scenes_are_records() -> None:
    assert issubclass(Scene, Record)
