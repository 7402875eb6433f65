"""Pruning by hooks, layer replacement, selective training, one tuned unit, the alignment term."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from trustlib.memorization import (
    alignment_term,
    corner_crop,
    deja_vu,
    freeze_except,
    knn_vote,
    pruned,
    pruning_masks,
    regularized_loss,
    swap_layers,
    tune_unit,
)


def small_net(seed=0):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 64, 6),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net.eval()


def images(n=4):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_pruned_equals_zeroing_the_activation_by_hand():
    net, x = small_net(), images()
    mask = np.array([True, False, False, True])
    hidden = net[2](net[1](net[0](x)))
    hidden[:, [0, 3]] = 0
    expected = net[6](net[5](net[4](net[3](hidden))))
    before = net(x)
    with pruned(net, {"2": mask}):
        torch.testing.assert_close(net(x), expected)
    assert torch.equal(net(x), before)


@torch.no_grad()
def test_pruning_a_convolution_in_front_of_a_norm_leaves_its_constant():
    net, x = small_net(), images()
    net[1].bias[0] = 1.0
    with pruned(net, {"0": [True, False, False, False]}):
        assert (net[:3](x)[:, 0] != 0).all()
    with pruned(net, {"1": [True, False, False, False]}):
        assert (net[:3](x)[:, 0] == 0).all()


@torch.no_grad()
def test_pruning_rows_tokens_and_channels_last():
    linear = nn.Linear(3, 4)
    mask = [False, True, False, False]
    for shape in [(2, 3), (2, 5, 3)]:
        with pruned(linear, {}), pruned(nn.Sequential(linear), {"0": mask}):
            out = linear(torch.ones(shape))
        assert (out[..., 1] == 0).all()
        assert (out[..., 0] != 0).all()
    with pruned(nn.Sequential(linear), {"0": mask}, unit_axis=-1):
        assert (linear(torch.ones(2, 6, 7, 3))[..., 1] == 0).all()


def test_pruning_removes_nan_activations_and_its_hooks_after_exceptions():
    net = nn.Sequential(nn.Identity())
    with pruned(net, {"0": [True, False]}):
        assert net(torch.tensor([[float("nan"), 1.0]])).tolist() == [[0.0, 1.0]]
    with pytest.raises(RuntimeError, match="boom"), pruned(net, {"0": [True, False]}):
        raise RuntimeError("boom")
    assert not net[0]._forward_hooks


def test_pruned_refuses():
    net = small_net()
    with (
        pytest.raises(ValueError, match=r"Sequential has no layer 'conv9'. Layers: 0, 1, 2"),
        pruned(net, {"conv9": [True]}),
    ):
        pass
    with pytest.raises(ValueError, match="must be bool"), pruned(net, {"0": [1, 0, 0, 0]}):
        pass
    with pytest.raises(ValueError, match="3 units but its output"), pruned(net, {"0": [True] * 3}):
        net(images())
    assert not net[0]._forward_hooks
    lstm = nn.Sequential(nn.LSTM(2, 3))
    with pytest.raises(ValueError, match="returns tuple"), pruned(lstm, {"0": [True] * 3}):
        lstm(torch.ones(1, 2))


def test_masks_per_layer_and_in_total():
    scores = {"a": [0.1, 0.2, 0.3, 0.4], "b": [0.9, 0.8, 0.7, 0.6]}
    layered = pruning_masks(scores, share=0.5, arm="top")
    assert layered["a"].tolist() == [False, False, True, True]
    assert layered["b"].tolist() == [True, True, False, False]
    total = pruning_masks(scores, share=0.5, arm="low", scope="total")
    assert total["a"].all()
    assert not total["b"].any()
    first, second = (pruning_masks(scores, share=0.25, arm="random", seed=s) for s in (3, 3))
    assert all(np.array_equal(first[name], second[name]) for name in scores)
    assert all(mask.sum() == 1 for mask in first.values())


def test_masks_refuse():
    with pytest.raises(ValueError, match=r"fraction in \[0, 1\], got 20"):
        pruning_masks({"a": [1.0]}, share=20, arm="top")
    with pytest.raises(ValueError, match="arm must be one of"):
        pruning_masks({"a": [1.0]}, share=0.2, arm="best")
    with pytest.raises(ValueError, match="no nan"):
        pruning_masks({"a": [np.nan]}, share=0.2, arm="top")


def test_swap_layers_copies_weights_and_buffers_only_there():
    model, donor, x = small_net(0), small_net(1), images()
    donor[1].running_mean += 1
    mixed = swap_layers(model, donor, ["0", "1"])
    with torch.no_grad():
        expected = model[2:](donor[:2](x))
        torch.testing.assert_close(mixed(x), expected)
        assert torch.equal(model[1].running_mean, torch.zeros(4))
    with pytest.raises(ValueError, match="has no layer"):
        swap_layers(model, donor, ["7"])
    donor[0] = nn.Conv2d(3, 9, 3)
    with pytest.raises(ValueError, match="cannot be replaced"):
        swap_layers(model, donor, ["0"])


def test_freezing_restores_flags_even_after_exceptions():
    net = small_net()
    net[6].bias.requires_grad_(False)
    with freeze_except(net, ["3"]) as parameters:
        assert [p.shape for p in parameters] == [net[3].weight.shape, net[3].bias.shape]
        assert not net[0].weight.requires_grad
    assert net[0].weight.requires_grad
    assert not net[6].bias.requires_grad
    with freeze_except(net, []) as parameters:
        assert parameters == []
    with pytest.raises(RuntimeError, match="boom"), freeze_except(net, []):
        raise RuntimeError("boom")
    assert net[0].weight.requires_grad
    with pytest.raises(ValueError, match="hold no parameters"), freeze_except(net, ["2"]):
        pass


def test_tuning_one_unit_leaves_every_other_weight_bit_for_bit():
    net, x = small_net(), images(1)
    net.train()
    state = copy.deepcopy(net.state_dict())
    tuned = tune_unit(net, "3", 2, lambda m: -m[:4](x)[:, 2].mean(), steps=5, learning_rate=0.5)
    assert tuned.training
    for key, value in tuned.state_dict().items():
        same = value == state[key]
        if key in ("3.weight", "3.bias"):
            changed = ~same.flatten(1).all(dim=1) if same.ndim > 1 else ~same
            assert changed.tolist() == [False, False, True, False, False]
        else:
            assert same.all(), key
    assert all(torch.equal(net.state_dict()[key], value) for key, value in state.items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_tune_unit_refuses():
    net = small_net()
    with pytest.raises(ValueError, match="no parameters of its own"):
        tune_unit(net, "2", 0, lambda m: m(images()).sum(), steps=1, learning_rate=0.1)
    with pytest.raises(ValueError, match="has 4 units"):
        tune_unit(net, "0", 4, lambda m: m(images()).sum(), steps=1, learning_rate=0.1)
    with pytest.raises(ValueError, match="steps must be >= 1"):
        tune_unit(net, "0", 0, lambda m: m(images()).sum(), steps=0, learning_rate=0.1)
    with pytest.raises(ValueError, match="the loss is nan at step 0"):
        tune_unit(net, "0", 0, lambda m: m(images()).sum() * torch.nan, steps=1, learning_rate=0.1)


def test_alignment_term_by_hand_and_against_arccos():
    a, b = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 3.0], [-1.0, 0.0]])
    # angles 90 and 180 degrees: (1/2 + 1) / 2; cosine (1 + 2) / 2
    assert float(alignment_term(a, b)) == pytest.approx(0.75)
    assert float(alignment_term(a, b, distance="cosine")) == pytest.approx(1.5)
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(8, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    angle = torch.arccos(nn.functional.cosine_similarity(x, y)) / torch.pi
    torch.testing.assert_close(alignment_term(x, y), angle.mean())
    # unlike the arccosine, the slope is finite where the views coincide
    z = torch.ones(2, 3, requires_grad=True)
    alignment_term(z, z.detach()).backward()
    assert torch.isfinite(z.grad).all()


def test_regularized_loss_pushes_views_apart():
    z = torch.tensor([[1.0, 0.0]], requires_grad=True)
    other = torch.tensor([[1.0, 0.5]])
    regularized_loss(torch.tensor(0.0), z, other, weight=0.1).backward()
    z, stepped = z.detach(), z.detach() - z.grad
    assert alignment_term(stepped, other) > alignment_term(z, other)
    assert float(regularized_loss(torch.tensor(2.0), z, other, weight=0.0)) == 2.0
    with pytest.raises(ValueError, match=r"weight must be in \[0, 1\)"):
        regularized_loss(torch.tensor(1.0), z, other, weight=1.0)
    with pytest.raises(ValueError, match="one shape"):
        alignment_term(z, torch.ones(2, 2))
    with pytest.raises(ValueError, match="distance must be"):
        alignment_term(z, other, distance="l2")


def test_corner_crop_takes_its_corner():
    x = torch.zeros(1, 1, 10, 10)
    x[..., 7:, :3] = 1.0
    assert (corner_crop(x, fraction=0.3) == 1).all()
    assert (corner_crop(x, fraction=0.3, corner="top_right") == 0).all()
    assert torch.equal(corner_crop(x, fraction=1.0), x)
    for arguments, words in [({"fraction": 0}, "fraction must be"), ({"corner": "middle"}, "corner must be")]:
        with pytest.raises(ValueError, match=words):
            corner_crop(x, **arguments)
    with pytest.raises(ValueError, match="must have shape"):
        corner_crop(x[0])


def test_knn_vote_equals_the_plain_loop():
    rng = np.random.default_rng(0)
    query, public, labels = rng.normal(size=(6, 4)), rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    for row, voted in zip(query, knn_vote(query, public, labels, k=5), strict=True):
        cosines = [row @ other / np.linalg.norm(row) / np.linalg.norm(other) for other in public]
        nearest = sorted(range(30), key=lambda i, c=cosines: -c[i])[:5]
        votes = [sum(labels[i] == c for i in nearest) for c in range(3)]
        assert voted == votes.index(max(votes))
    with pytest.raises(ValueError, match=r"k must be in \[1, 30\]"):
        knn_vote(query, public, labels, k=31)
    with pytest.raises(ValueError, match="must fit"):
        knn_vote(query, public[:, :2], labels, k=1)


def test_deja_vu_counts_what_only_the_trained_encoder_infers():
    public, names = np.eye(2), np.array([0, 1])
    seen = np.array([[1.0, 0], [0, 1.0], [1.0, 0]])
    unseen = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    result = deja_vu(seen, unseen, [0, 1, 0], public, public, names, k=1)
    # right 3 of 3 against 1 of 3
    assert result.score == pytest.approx(2 / 3)
    assert result.memorized.tolist() == [False, True, True]
    assert deja_vu(seen, seen, [0, 1, 0], public, public, names, k=1).score == 0
    with pytest.raises(ValueError, match="2 labels for 3"):
        deja_vu(seen, seen, [0, 1], public, public, names, k=1)
