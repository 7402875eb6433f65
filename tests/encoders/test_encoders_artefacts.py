"""Artefacts: trained once, checked before use, rebuilt when damaged, found by what decides the weights."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from test_encoders_training import LABELS, equal, pixels_of, recipe_of

from trustlib.encoders import artefacts, encoder_folder, train, train_or_load


@pytest.fixture
def counted(monkeypatch):
    """Counts trainings."""
    calls = []
    original = artefacts.train
    monkeypatch.setattr(artefacts, "train", lambda *a, **k: calls.append(1) or original(*a, **k))
    return calls


def test_second_call_loads_what_the_first_trained(tmp_path, counted):
    one = train_or_load(recipe_of(), pixels_of(), folder=tmp_path, snapshots=[2])
    two = train_or_load(recipe_of(), pixels_of(), folder=tmp_path, snapshots=[2])
    assert len(counted) == 1
    assert equal(one, two)
    np.testing.assert_array_equal(one.losses, two.losses)
    assert (one.card["loaded"], two.card["loaded"]) == (False, True)
    weights = [r.snapshots[2].body.conv1.conv.weight for r in (one, two)]
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], one.encoder.body.conv1.conv.weight)
    assert equal(one, train(recipe_of(), pixels_of()))
    assert not two.encoder.training
    place = tmp_path / one.card["key"]
    assert sorted(path.name for path in place.iterdir()) == ["card.json", "weights.safetensors"]


@pytest.mark.parametrize("method", ["mocov2", "dino", "mae", "supervised"])
def test_heads_teachers_and_queues_are_kept(method, tmp_path, counted):
    one = train_or_load(recipe_of(method), pixels_of(), LABELS, folder=tmp_path)
    two = train_or_load(recipe_of(method), pixels_of(), LABELS, folder=tmp_path)
    assert len(counted) == 1
    assert equal(one, two)


def test_card_says_what_was_done(tmp_path):
    result = train_or_load(recipe_of(), pixels_of(), folder=tmp_path)
    card = json.loads((tmp_path / result.card["key"] / "card.json").read_text())
    assert card["recipe"] == recipe_of().to_dict()
    assert card["losses"] == result.losses.tolist()
    assert card["data_shape"] == [20, 3, 16, 16]
    assert set(card["versions"]) == {"torch", "torchvision", "timm", "lightly", "numpy", "python"}
    assert card["rebuilt_because"] is None
    assert card["seconds"] > 0
    assert card["device"] == "cpu"


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": recipe_of(seed=1)},
        {"recipe": recipe_of(steps=5)},
        {"pixels": pixels_of() // 2},
        {"index": np.arange(20) + 1},
        {"snapshots": [3]},
    ],
)
def test_whatever_decides_the_weights_makes_another_artefact(change, tmp_path, counted):
    base = {"recipe": recipe_of(), "pixels": pixels_of(), "folder": tmp_path}
    one = train_or_load(**base)
    two = train_or_load(**base | change)
    assert one.card["key"] != two.card["key"]
    assert len(counted) == 2


def test_other_code_makes_another_artefact(tmp_path, counted, monkeypatch):
    from trustlib.encoders import recipes

    one = train_or_load(recipe_of(), pixels_of(), folder=tmp_path)
    monkeypatch.setattr(recipes, "code_version", lambda: "another")
    two = train_or_load(recipe_of(), pixels_of(), folder=tmp_path)
    assert one.card["key"] != two.card["key"]
    assert len(counted) == 2


def damage_weights(place):
    content = bytearray((place / "weights.safetensors").read_bytes())
    content[-5] ^= 1
    (place / "weights.safetensors").write_bytes(bytes(content))


def cut_weights(place):
    content = (place / "weights.safetensors").read_bytes()
    (place / "weights.safetensors").write_bytes(content[: len(content) // 2])


def lose_weights(place):
    (place / "weights.safetensors").unlink()


def lose_card(place):
    (place / "card.json").unlink()


def cut_card(place):
    text = (place / "card.json").read_text()
    (place / "card.json").write_text(text[: len(text) // 2])


def foreign_card(place):
    card = json.loads((place / "card.json").read_text())
    (place / "card.json").write_text(json.dumps(card | {"key": "0" * 64}))


def older_card(place):
    card = json.loads((place / "card.json").read_text())
    (place / "card.json").write_text(json.dumps(card | {"format": 0}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_weights, "the weights have SHA-256"),
        (cut_weights, "the weights have SHA-256"),
        (lose_weights, "the weights cannot be read"),
        (lose_card, "weights without a card"),
        (cut_card, "the card cannot be read"),
        (foreign_card, "the card is of format 1 and key 0000"),
        (older_card, "the card is of format 0"),
    ],
)
def test_damaged_artefacts_are_rebuilt_and_the_card_says_why(damage, reason, tmp_path, counted):
    one = train_or_load(recipe_of(), pixels_of(), folder=tmp_path)
    damage(tmp_path / one.card["key"])
    two = train_or_load(recipe_of(), pixels_of(), folder=tmp_path)
    assert len(counted) == 2
    assert two.card["rebuilt_because"].startswith(reason)
    assert equal(one, two)
    three = train_or_load(recipe_of(), pixels_of(), folder=tmp_path)
    assert len(counted) == 2
    assert equal(one, three)


def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    from trustlib.encoders import training

    original = training._Run.advance
    steps = []

    def dying(run):
        if len(steps) == 4:
            raise KeyboardInterrupt
        steps.append(run.step)
        return original(run)

    monkeypatch.setattr(training._Run, "advance", dying)
    with pytest.raises(KeyboardInterrupt):
        train_or_load(recipe_of(), pixels_of(), folder=tmp_path, checkpoint_every=2)
    steps.append("restart")
    again = train_or_load(recipe_of(), pixels_of(), folder=tmp_path, checkpoint_every=2)
    assert steps == [0, 1, 2, 3, "restart", 4, 5]
    monkeypatch.undo()
    assert equal(again, train(recipe_of(), pixels_of()))


def test_two_at_once_train_once(tmp_path, counted):
    results = []

    def work():
        results.append(train_or_load(recipe_of(), pixels_of(), folder=tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 1
    assert equal(*results)


def test_probe_goes_onto_the_card_and_is_computed_once(tmp_path, monkeypatch):
    probe = (pixels_of(), LABELS, pixels_of(9), LABELS[:9])
    one = train_or_load(recipe_of(), pixels_of(), folder=tmp_path, probe=probe)
    assert one.card["probe"]["n_test"] == 9
    assert 0 <= one.card["probe"]["accuracy"] <= 1

    def never(*_, **__):
        raise AssertionError("probed twice")

    monkeypatch.setattr(artefacts, "linear_probe", never)
    two = train_or_load(recipe_of(), pixels_of(), folder=tmp_path, probe=probe)
    assert two.card["probe"] == one.card["probe"]


def test_artefacts_live_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUSTLIB_CACHE", str(tmp_path / "cache"))
    assert encoder_folder() == tmp_path / "cache" / "encoders"
    result = train_or_load(recipe_of(), pixels_of())
    assert (encoder_folder() / result.card["key"] / "card.json").is_file()
