"""LayerMem, UnitMem and ClassMem of encoders: taps, hooks, averages, refusals."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from trustlib.memorization import (
    LayerMem,
    class_selectivity,
    classmem,
    heldout_unitmem,
    layermem,
    sslmem,
    unitmem,
    unitmem_from_activations,
)


def noise(x, generator):
    return x + 0.3 * torch.randn(x.shape, generator=generator)


def images(n=6, size=16, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def seeded(make, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


class Residual(nn.Module):
    """A block whose output is a residual sum, followed by an in-place ReLU."""

    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return x + self.relu(self.norm(self.conv(x)))


def small_net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), Residual(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip


def pair(make=small_net):
    return seeded(make, 0), seeded(make, 1)


def truncated(net, name, x):
    """Output at a layer, recorded the plain way: everything copied out of one forward pass."""
    seen = []
    handle = net.get_submodule(name).register_forward_hook(lambda m, i, o: seen.append(o.detach().clone()))
    net(x)
    handle.remove()
    return seen[0]


def test_all_layers_in_one_pass_equal_one_pass_per_layer():
    f, g = pair()
    names = ["3", "0", "1", "3.conv", "6"]
    table = layermem(f, g, images(), noise, layers=names, n_views=3, batch_size=10)
    assert table.layers == ("0", "1", "3.conv", "3", "6")
    for row, name in enumerate(table.layers):
        single = sslmem(
            f, g, images(), noise, n_views=3, normalization="ratio",
            forward_fn=lambda m, x, name=name: truncated(m, name, x),
        )  # fmt: skip
        np.testing.assert_allclose(table.scores[0, row], single.scores, atol=2e-6)
    frame = table.to_frame(n_boot=200)
    assert frame["previous"].tolist() == ["", "0", "1", "3.conv", "3"]
    np.testing.assert_allclose(frame["delta"][1:], np.diff(frame["layermem"]))
    assert np.isnan(frame["delta"][0])
    assert (frame["low"] <= frame["layermem"]).all()
    assert (frame["layermem"] <= frame["high"]).all()


def test_a_norm_in_front_of_an_inplace_relu_is_read_before_it_is_overwritten():
    f, g = pair()
    table = layermem(f, g, images(), noise, layers=["1", "2"], n_views=2)
    assert np.abs(table.scores[0, 0] - table.scores[0, 1]).max() > 1e-4
    with pytest.raises(ValueError, match=r"negative values"):
        unitmem(f, images(), noise, ["1"])
    assert (unitmem(f, images(), noise, ["2"])["2"].scores >= 0).all()


def test_default_layers_hold_convolutions_linears_and_residual_sums_in_order():
    f, g = pair()
    assert layermem(f, g, images(), noise, n_views=1).layers == ("0", "3.conv", "3", "6")
    with pytest.raises(TypeError, match="needs torch modules"):
        layermem(nn.functional.relu, nn.functional.relu6, images(), noise)
    with pytest.raises(ValueError, match="no layer that runs once"):
        layermem(nn.ReLU(), nn.ReLU6(), images(), noise)


def test_equal_encoders_score_exactly_zero_at_every_layer():
    f = seeded(small_net, 0)
    table = layermem(f, copy.deepcopy(f), images(), noise, control=images(seed=1), n_views=2)
    assert (table.scores == 0).all()
    assert (table.excess == 0).all()


def test_control_and_pairs_by_hand():
    scores = np.array([[[0.1, 0.3], [0.5, 0.7]], [[0.3, 0.5], [0.7, 0.9]]])  # (pairs, layers, points)
    table = LayerMem(("a", "b"), scores, np.full((2, 2, 3), 0.1))
    assert table.layermem == pytest.approx([0.3, 0.7])
    assert table.delta[1] == pytest.approx(0.4)
    assert table.excess == pytest.approx([0.2, 0.6])
    replicates = table.bootstrap(n_boot=500)
    np.testing.assert_allclose(np.diff(replicates, axis=1), 0.4)  # layers share their draws
    frame = table.to_frame(n_boot=500)
    assert frame["delta_low"][1] == pytest.approx(0.4)
    assert frame.columns.tolist()[4:7] == ["control", "excess", "delta_excess"]
    assert table.subset([0]).layermem == pytest.approx([0.2, 0.6])
    with pytest.raises(ValueError, match="pass control="):
        _ = LayerMem(("a",), scores[:, :1], None).excess


def test_control_points_get_views_of_their_own():
    f, g = pair()
    same = layermem(f, g, images(), noise, control=images(), layers=["0"], n_views=2)
    assert np.abs(same.scores - same.control_scores).max() > 0
    fixed = layermem(f, g, images(), noise, control=images(), layers=["0"], n_views=2, control_index=range(6))
    np.testing.assert_allclose(fixed.scores, fixed.control_scores)


def test_layermem_refuses():
    f, g = pair()
    with pytest.raises(ValueError, match=r"Sequential has no layer 'conv1'. Layers: 0, 1"):
        layermem(f, g, images(), noise, layers=["conv1"])
    with pytest.raises(ValueError, match="none twice"):
        layermem(f, g, images(), noise, layers=["0", "0"])
    with pytest.raises(ValueError, match="at least one layer"):
        layermem(f, g, images(), noise, layers=[])
    with pytest.raises(ValueError, match="2 encoders f and 1 g"):
        layermem([f, f], [g], images(), noise)
    shared = nn.Sequential(nn.Linear(4, 4))
    twice = nn.Sequential(shared, shared)
    with pytest.raises(ValueError, match="more than once"):
        layermem(twice, copy.deepcopy(twice), torch.zeros(3, 4), noise, layers=["0.0"])
    idle = nn.Sequential(nn.Linear(4, 4), nn.ModuleList([nn.Linear(4, 4)]))
    idle.forward = lambda x: idle[0](x)
    with pytest.raises(ValueError, match=r"\['1.0'\] did not run"):
        layermem(idle, copy.deepcopy(idle), torch.zeros(3, 4), noise, layers=["1.0"])
    assert not f[0]._forward_hooks


def test_hooks_are_gone_after_an_exception():
    f, g = pair()
    g[6] = nn.Linear(5, 5)  # does not fit
    for net in (f, g):
        net.train()
    with pytest.raises(RuntimeError):
        layermem(f, g, images(), noise, layers=["0", "input:3"])
    for net in (f, g):
        assert net.training
        assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


def test_unitmem_of_a_net_equals_the_plain_loop():
    net, x = seeded(small_net, 0), images()
    result = unitmem(net, x, None, ["2"], batch_size=4)["2"]
    with torch.no_grad():
        mu = np.stack([truncated(net, "2", x[i : i + 1])[0].mean(dim=(1, 2)).numpy() for i in range(6)])
    np.testing.assert_allclose(result.scores, unitmem_from_activations(mu).scores, rtol=1e-5)
    seen = []
    unitmem(net, x, lambda p, g: seen.append(p) or noise(p, g), ["2"], n_views=10)
    assert len(seen) == 2 + 60  # two to test that augment is keyed


def test_unitmem_averages_over_views_before_the_maximum():
    # views of point i are i + 1 or i - 1, mean i: (2 - .5) / (2 + .5); the single views would give more
    def sign(x, generator):
        return x + 2 * torch.randint(2, (1,), generator=generator) - 1 + 0.0

    net = nn.Sequential(nn.Identity())
    result = unitmem(net, torch.tensor([[10.0], [11.0], [12.0]]), sign, ["0"], n_views=4000, batch_size=1)[
        "0"
    ]
    # (12 - 10.5) / 22.5; the mean of 4000 signs has a standard error of .016
    assert result.scores[0] == pytest.approx(1.5 / 22.5, abs=4 * 0.016 / 22.5 * 1.3)


def test_units_of_tokens_include_the_class_token_and_relu_acts_on_the_map():
    tokens = torch.tensor([[[4.0, -1.0], [0.0, 3.0]], [[1.0, -2.0], [1.0, 2.0]]])  # (points, tokens, units)
    net = nn.Sequential(nn.Identity())
    result = unitmem(net, tokens, None, ["0"], negative="relu")["0"]
    # unit 0: means 2 and 1 -> 1/3; unit 1 after ReLU: 1.5 and 1 -> .5 / 2.5
    assert result.scores == pytest.approx([1 / 3, 0.2])
    raw = unitmem(net, tokens + 2, None, ["0"])["0"]
    assert raw.mu_max == pytest.approx([4.0, 3.0])
    last = unitmem(net, torch.rand(3, 5, 5, 2), None, ["0"], unit_axis=-1)["0"]
    assert last.scores.shape == (2,)


def test_classmem_and_selectivity_of_a_net():
    net, x, labels = seeded(small_net, 0), images(), ["a", "a", "b", "b", "b", "c"]
    result = classmem(net, x, labels, ["2"], batch_size=2)["2"]
    with torch.no_grad():
        rows = truncated(net, "2", x).mean(dim=(2, 3)).numpy()
    means = np.stack([rows[:2].mean(0), rows[2:5].mean(0), rows[5]])
    rest = (means.sum(0) - means.max(0)) / 2
    np.testing.assert_allclose(result.scores, (means.max(0) - rest) / (means.max(0) + rest), rtol=1e-5)
    np.testing.assert_array_equal(class_selectivity(net, x, labels, ["2"])["2"].scores, result.scores)
    with pytest.raises(ValueError, match="each of the 6 points"):
        classmem(net, x, labels[:5], ["2"])
    with pytest.raises(ValueError, match=">= 2 classes, got 1"):
        classmem(net, x, ["a"] * 6, ["2"])


def test_heldout_unitmem_finds_planted_members_only():
    generator = torch.Generator().manual_seed(0)
    background = torch.rand(80, 40, generator=generator)
    members, heldout = background[:40].clone(), background[40:]
    members[torch.arange(40), torch.arange(40)] = 5.0  # every unit owns one member
    net = nn.Sequential(nn.ReLU())
    found = heldout_unitmem(net, members, heldout, None, ["0"])["0"]
    assert found.difference.mean() > 0.3
    assert found.member_share == 1.0
    assert found.p == 1 / 2001  # no permutation gives all forty owners to one side
    null = heldout_unitmem(net, background[:40], heldout, None, ["0"])["0"]
    assert abs(null.member_share - 0.5) < 4 * 0.5 / np.sqrt(40)
    assert null.p > 0.001
    # one image owns all forty units: by chance it is a member in one case of two, however many units there are
    crowd = background.clone()
    crowd[0] = 5.0
    shared = heldout_unitmem(net, crowd[:40], crowd[40:], None, ["0"])["0"]
    assert shared.member_share == 1.0
    assert abs(shared.p - 0.5) < 4 * 0.5 / np.sqrt(2000)
    with pytest.raises(ValueError, match="as many held-out points"):
        heldout_unitmem(net, members, heldout[:10], None, ["0"])


def test_unitmem_refuses():
    net = seeded(small_net, 0)
    with pytest.raises(ValueError, match="N >= 2 points, got 1"):
        unitmem(net, images(1), noise, ["2"])
    with pytest.raises(ValueError, match="layer '0': UnitMem needs activations >= 0"):
        unitmem(net, images(), noise, ["0"])
    with pytest.raises(ValueError, match="n_views must be >= 1"):
        unitmem(net, images(), noise, ["2"], n_views=0)
    drops = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    drops.forward = lambda x: drops[1](nn.functional.dropout(drops[0](x), 0.5))
    with pytest.raises(ValueError, match="random in evaluation mode"):
        unitmem(drops, torch.randn(5, 4), None, ["1"])
