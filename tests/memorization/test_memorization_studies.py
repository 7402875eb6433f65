"""Studies and the membership audit: drivers on toys with known answers, controls, refusals."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from trustlib.memorization import (
    alignment_loss,
    fine_tuning_study,
    membership_epsilon,
    membership_inference,
    paired_difference,
    pruning_study,
    removal_sets,
    removal_study,
    replacement_study,
    tune_layers,
    tune_unit,
    unitmem,
)


def net(seed=0, width=6):
    model = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def blobs(n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    return torch.randn(n, 4, generator=generator) + 4 * torch.eye(3, 4)[y], y


def test_removal_of_informative_points_hurts_more_than_random_removal():
    # the "model" is the mean of the kept values, its error the distance from the mean of all
    values = np.array([10.0, 8.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    arms = removal_sets(values, [2], n_random=20, seed=0)
    frame = removal_study(
        arms, lambda kept, seed: values[kept].mean(), lambda mean: {"error": abs(mean - 3)}, seeds=[0, 1]
    )
    assert len(frame) == 2 * 22
    gap = paired_difference(frame[frame["measure"] == "error"], arm="top", baseline="random")
    # top leaves a mean of 1: error 2; random removal moves the mean by less on average
    assert gap.shape == (2,)
    assert (gap > 0.5).all()
    top = frame.query("arm == 'top'")["value"]
    assert top.tolist() == [2.0, 2.0]
    with pytest.raises(ValueError, match="needs arms and seeds, got 0 and 1"):
        removal_study([], lambda kept, seed: None, lambda m: 0.0, seeds=[0])


def test_paired_difference_by_hand():
    frame = pd.DataFrame({"arm": ["a", "a", "b", "b"], "seed": [1, 0, 0, 1], "value": [5.0, 1.0, 3.0, 4.0]})
    assert paired_difference(frame, arm="a", baseline="b").tolist() == [-2.0, 1.0]
    with pytest.raises(ValueError, match="no arm 'c' in the frame; there are a, b"):
        paired_difference(frame, arm="a", baseline="c")
    with pytest.raises(ValueError, match="not measured at the same seed"):
        paired_difference(frame.drop(index=3), arm="a", baseline="b")


def test_pruning_study_by_hand():
    model = nn.Sequential(nn.ReLU())
    x = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])

    def total(m):
        return {"sum": m(x).sum().item()}

    frame = pruning_study(model, {"0": [4.0, 3.0, 2.0, 1.0]}, total, shares=[0.25, 0.5], n_random=2, seed=1)
    value = {(r.arm, r.share): r.value for r in frame.itertuples() if r.arm != "random"}
    # scores fall with the activation: top removes 1 (and 10), low removes 1000 (and 100)
    assert value == {
        ("none", 0.0): 1111, ("top", 0.25): 1110, ("low", 0.25): 111, ("top", 0.5): 1100, ("low", 0.5): 11,
    }  # fmt: skip
    assert (frame["arm"] == "random").sum() == 4
    assert model(x).sum() == 1111
    with pytest.raises(ValueError, match="needs shares"):
        pruning_study(model, {"0": [1.0]}, total, shares=[])


def test_replacement_study_by_hand():
    model, donor = net(0), net(1)
    x = torch.ones(1, 4)

    def value(m):
        with torch.no_grad():
            return m(x).sum().item()

    frame = replacement_study(model, donor, {"first": ["0"], "both": ["0", "2"]}, value)
    assert frame["parameters"].tolist() == [0, 30, 72]  # 4 * 6 + 6 and 6 * 6 + 6 more
    assert frame["value"].tolist() == [value(model), frame["value"][1], value(donor)]
    np.testing.assert_allclose(frame["drop"], value(model) - frame["value"])
    with pytest.raises(ValueError, match="has no layer"):
        replacement_study(model, donor, {"x": ["9"]}, value)


def test_tuning_changes_the_named_layers_only_and_helps():
    model, (x, y) = net().train(), blobs()
    state, before = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    tuned = tune_layers(model, ["2"], x, y, n_classes=3, epochs=60, learning_rate=0.02)
    for key, value in tuned.encoder.state_dict().items():
        assert torch.equal(value, state[key]) == (not key.startswith("2.")), key
    assert all(torch.equal(model.state_dict()[key], value) for key, value in state.items())
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert tuned.accuracy(x, y) > 0.9
    again = tune_layers(model, ["2"], x, y, n_classes=3, epochs=60, learning_rate=0.02)
    assert torch.equal(again.head.weight, tuned.head.weight)


def test_fine_tuning_study_counts_what_was_trained():
    frame = fine_tuning_study(
        net(), {"head": [], "last": ["2"], "both": ["0", "2"]}, blobs(), blobs(seed=1),
        n_classes=3, epochs=10, learning_rate=0.01, seeds=[0, 1],
    )  # fmt: skip
    assert frame.groupby("arm")["parameters"].first().to_dict() == {"both": 72, "head": 0, "last": 42}
    assert len(frame) == 6
    assert frame["value"].between(0, 1).all()
    with pytest.raises(ValueError, match="at least one set"):
        fine_tuning_study(net(), {}, blobs(), blobs(), n_classes=3, epochs=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_classes": 2}, r"labels must be in \[0, 2\)"),
        ({"epochs": 0}, "must be positive"),
        ({"layers": ["9"]}, "has no layer '9'"),
    ],
)
def test_tuning_refuses(change, words):
    arguments = {"layers": ["2"], "n_classes": 3, "epochs": 1} | change
    with pytest.raises(ValueError, match=words):
        tune_layers(net(), arguments.pop("layers"), *blobs(), **arguments)


def test_inserting_a_point_into_a_unit_raises_its_unitmem_there_only():
    model, x = net(3, width=8).eval(), blobs(40)[0]
    before = unitmem(model, x, None, ["1", "3"])
    unit = int(np.argmin(np.where(before["3"].dead, np.inf, before["3"].scores)))
    image = x[7:8]

    def loss(m):  # excite the unit by this image, calm it for the others
        return m[:3](x)[:, unit].relu().mean() - m[:3](image)[0, unit]

    tuned = tune_unit(model, "2", unit, loss, steps=100, learning_rate=0.01)
    after = unitmem(tuned, x, None, ["1", "3"])
    change = after["3"].scores - before["3"].scores
    assert change[unit] > 0.05
    assert after["3"].argmax[unit] == 7
    assert np.abs(np.delete(change, unit)).max() == 0
    assert np.abs(after["1"].scores - before["1"].scores).max() == 0


def test_membership_inference_by_hand():
    # 10 non-members, fpr .2 allows two above: threshold 7, members above it 8.5 and 10 of 4
    result = membership_inference([0.0, 7.0, 8.5, 10.0], np.arange(10.0), fpr=0.2)
    assert result.threshold == 7.0
    assert result.tpr == 0.5
    assert result.tpr_low < 0.5 < result.tpr_high
    # pairs won: 0 ties 0 (.5), 7 beats 7 and ties 1 (7.5), 8.5 beats 9, 10 beats 10
    assert result.auc == pytest.approx((0.5 + 7.5 + 9 + 10) / 40)


def test_membership_inference_keeps_its_false_positive_rate():
    null = np.random.default_rng(0).normal(size=20_000)
    result = membership_inference(null[:10_000], null[10_000:], fpr=0.01)
    # sd of the share sqrt(.01 / 10000) from members and as much from the threshold
    assert result.tpr == pytest.approx(0.01, abs=4 * np.sqrt(2 * 0.01 / 10_000))
    assert result.auc == pytest.approx(0.5, abs=4 / np.sqrt(12 * 5000))


def test_membership_inference_refuses():
    with pytest.raises(ValueError, match=r"50 non-members cannot show .* give at least 100"):
        membership_inference(np.zeros(5), np.zeros(50))
    with pytest.raises(ValueError, match="fpr must be in"):
        membership_inference([1.0], [1.0], fpr=1)
    with pytest.raises(ValueError, match="members must be finite"):
        membership_inference([np.nan], [1.0])


def test_epsilon_bound_holds_for_a_mechanism_of_known_epsilon():
    # scores of randomised response at epsilon 1: the bound must lie below 1 in at least 95 % of 40 audits
    rng = np.random.default_rng(1)
    truth, high = np.e / (1 + np.e), 0
    for _ in range(40):
        members = (rng.random(2000) < truth).astype(float)
        others = (rng.random(2000) < 1 - truth).astype(float)
        found = membership_epsilon(members, others, delta=0.0, confidence=0.95, rng=rng)
        high += found.lower_bound > 1
        assert found.lower_bound > 0.5
    assert high <= 6  # binomial(40, .05): P(more than 6) = .003
    with pytest.raises(ValueError, match="needs 200 scores per side"):
        membership_epsilon(np.zeros(150), np.zeros(300), delta=0.0, confidence=0.95, rng=rng)


def test_alignment_of_an_overfitted_encoder_is_a_membership_score():
    # "training" that makes an encoder ignore noise around members: scale by the distance to the nearest one
    rng = torch.Generator().manual_seed(0)
    members, others = (torch.randn(30, 10, generator=rng) * 5 for _ in range(2))

    def encoder(x):
        near = torch.cdist(x, members).min(dim=1, keepdim=True).values
        return x * torch.where(near < 6, 0.1, 1.0)

    def noise(x, generator):
        return x + torch.randn(x.shape, generator=generator)

    scores = [-alignment_loss(encoder, data, noise, n_views=4) for data in (members, others)]
    assert membership_inference(*scores, fpr=0.1).auc > 0.95
    null = [-alignment_loss(nn.Identity(), data, noise, n_views=4) for data in (members, others)]
    assert membership_inference(*null, fpr=0.1).auc == pytest.approx(0.5, abs=4 * np.sqrt(61 / (12 * 900)))
