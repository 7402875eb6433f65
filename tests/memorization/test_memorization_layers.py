"""LayerMem and UnitMem of encoders, also of models that we did not write: timm, torchvision, PyG, diffusers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from trustlib.encoders import view_keys
from trustlib.memorization import (
    LayerMem,
    alignment_loss,
    class_selectivity,
    classmem,
    heldout_unitmem,
    layermem,
    sslmem,
    unitmem,
    unitmem_from_activations,
    vit_blocks,
    vit_deltas,
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
    assert found.p < 1e-10
    null = heldout_unitmem(net, background[:40], heldout, None, ["0"])["0"]
    assert abs(null.member_share - 0.5) < 4 * 0.5 / np.sqrt(40)
    assert null.p > 0.001
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


def test_timm_resnet18():
    import timm

    f, g = pair(lambda: timm.create_model("resnet18", num_classes=0))
    x = images(3, 64)
    layers = ["conv1", "layer1.0", "layer2.0.conv2", "layer4.1"]
    table = layermem(f, g, x, noise, layers=layers, control=images(3, 64, 1), n_views=2)
    assert table.layers == tuple(layers)
    assert np.isfinite(table.excess).all()
    assert len(layermem(f, g, x, noise, n_views=1).layers) == 20 + 8  # convolutions and blocks
    found = unitmem(f, x, noise, ["layer1.0", "layer4.1"], n_views=2)
    assert {name: result.scores.shape for name, result in found.items()} == {
        "layer1.0": (64,),
        "layer4.1": (512,),
    }


def test_timm_vit_branches_and_sums():
    import timm

    def make():
        return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=0)

    f, g = pair(make)
    x, blocks = images(3, 64), vit_blocks(f)
    names = [name for block in blocks for name in block.layers]
    table = layermem(f, g, x, noise, layers=names, n_views=2)
    assert table.layers == tuple(names)
    # the tapped attention sum is the block's input plus its attention branch
    with torch.no_grad():
        start, seen = f.patch_embed(x), {}
        handles = [
            f.blocks[0].register_forward_pre_hook(lambda m, i: seen.update(start=i[0])),
            f.blocks[0].attn.register_forward_hook(lambda m, i, o: seen.update(attn=o)),
            f.blocks[0].norm2.register_forward_pre_hook(lambda m, i: seen.update(total=i[0])),
        ]
        f(x)
        for handle in handles:
            handle.remove()
    torch.testing.assert_close(seen["total"], seen["start"] + seen["attn"])
    assert start.shape[0] == 3
    deltas = vit_deltas(table, blocks)
    lm = dict(zip(table.layers, table.layermem, strict=True))
    assert np.isnan(deltas["delta_attention"][0])
    assert deltas["delta_attention"][1] == pytest.approx(lm["blocks.1.attn"] - lm["blocks.0"])
    assert deltas["delta_fc"][2] == pytest.approx(lm["blocks.2.mlp"] - lm["input:blocks.2.norm2"])
    assert deltas["delta_block"][2] == pytest.approx(lm["blocks.2"] - lm["blocks.1"])
    scored = unitmem(f, x, noise, ["blocks.2.mlp.act"], n_views=2, negative="relu")
    assert scored["blocks.2.mlp.act"].scores.shape == (768,)
    with pytest.raises(ValueError, match="the table lacks layers"):
        vit_deltas(LayerMem(("blocks.0",), np.zeros((1, 1, 2)), None), blocks)


def test_layer_scale_and_torchvision_vit_names():
    import timm
    from torchvision.models import VisionTransformer

    scaled = timm.create_model("vit_tiny_patch16_224", depth=1, init_values=1e-5)
    assert vit_blocks(scaled)[0].layers == (
        "blocks.0.ls1",
        "input:blocks.0.norm2",
        "blocks.0.ls2",
        "blocks.0",
    )

    def make():
        return VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32)

    f, g = pair(make)
    names = [name for block in vit_blocks(f) for name in block.layers]
    assert layermem(f, g, images(3, 32), noise, layers=names, n_views=2).layers == tuple(names)
    with pytest.raises(ValueError, match="has no blocks"):
        vit_blocks(nn.ReLU())


def test_torchvision_resnet():
    from torchvision.models import resnet18

    f, g = pair(resnet18)
    table = layermem([f, g], [g, f], images(3, 64), noise, layers=["layer1.1", "layer3.0"], n_views=2)
    np.testing.assert_allclose(table.scores[0], -table.scores[1])  # exchanged encoders
    np.testing.assert_allclose(table.layermem, 0, atol=1e-12)


# importing torch_geometric compiles with a function that torch has deprecated
PYG = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")


@PYG
def test_graph_networks_score_nodes():
    from torch_geometric.data import Data
    from torch_geometric.nn import GCN
    from torch_geometric.utils import dropout_edge

    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(20, (2, 60), generator=generator)
    graph = Data(x=torch.randn(20, 5, generator=generator), edge_index=edges)

    def augment(data, generator):
        keep = torch.rand(data.edge_index.shape[1], generator=generator) > 0.2
        return Data(x=data.x, edge_index=data.edge_index[:, keep])

    def forward(model, data):
        return model(data.x, data.edge_index)

    f, g = pair(lambda: GCN(5, 16, 2, dropout=0.5))
    result = sslmem(f, g, graph, augment, normalization="ratio", n_views=3, forward_fn=forward)
    assert result.scores.shape == (20,)
    # oracle: one graph at a time
    for node in range(3):
        drawn = []
        for k in range(3):
            with torch.no_grad():
                a, b = (
                    forward(f, augment(graph, torch.Generator().manual_seed(int(view_keys(0, 0, v)))))[node]
                    for v in (2 * k, 2 * k + 1)
                )
            drawn.append(float((a - b).norm()))
        assert result.align_f[0, node] == pytest.approx(np.mean(drawn), rel=1e-4)
    table = layermem(f, g, graph, augment, layers=["convs.0", "convs.1"], n_views=2, forward_fn=forward)
    assert table.scores.shape == (1, 2, 20)
    anchored = alignment_loss(f, graph, augment, pairing="anchor", n_views=2, forward_fn=forward)
    assert anchored.shape == (20,)
    units = unitmem(f, graph, augment, ["act"], n_views=2, forward_fn=forward)
    assert units["act"].n == 20

    def global_draw(data):  # a PyG function that draws from torch's global state
        return Data(x=data.x, edge_index=dropout_edge(data.edge_index, p=0.2)[0])

    before = torch.get_rng_state()
    first, second = (alignment_loss(f, graph, global_draw, n_views=2, forward_fn=forward) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


@PYG
def test_lists_of_graphs_score_graphs():
    from torch_geometric.data import Data
    from torch_geometric.nn import GCN, global_mean_pool

    generator = torch.Generator().manual_seed(0)
    graphs = [
        Data(
            x=torch.randn(4, 3, generator=generator), edge_index=torch.randint(4, (2, 9), generator=generator)
        )
        for _ in range(7)
    ]

    def augment(data, generator):
        return Data(x=data.x + torch.randn(data.x.shape, generator=generator), edge_index=data.edge_index)

    def forward(model, data):
        return global_mean_pool(model(data.x, data.edge_index), data.batch)

    f = seeded(lambda: GCN(3, 8, 2), 0)
    whole = alignment_loss(f, graphs, augment, n_views=2, forward_fn=forward)
    assert whole.shape == (7,)
    np.testing.assert_allclose(
        alignment_loss(f, graphs, augment, n_views=2, forward_fn=forward, batch_size=1), whole, rtol=1e-5
    )


def test_diffusion_unet_with_noise_and_time_as_augmentation():
    diffusers = pytest.importorskip("diffusers", reason="needs the diffusion extra")

    def make():
        return diffusers.UNet2DModel(
            sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )  # fmt: skip

    def augment(x, generator):
        t = torch.randint(1000, (), generator=generator)
        share = 1 - t / 1000
        return share.sqrt() * x + (1 - share).sqrt() * torch.randn(x.shape, generator=generator), t

    def forward(model, batch):
        return model(*batch).sample

    f, g = pair(make)
    table = layermem(
        f, g, images(3, 8), augment, layers=["down_blocks.1", "mid_block"], n_views=2, forward_fn=forward
    )
    assert table.layers == ("down_blocks.1", "mid_block")
    assert np.isfinite(table.scores).all()
    assert sslmem(f, g, images(3, 8), augment, n_views=2, forward_fn=forward).scores.shape == (3,)
