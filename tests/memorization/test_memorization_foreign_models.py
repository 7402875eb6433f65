"""The measures on models that we did not write: timm, torchvision, PyTorch Geometric, diffusers; random weights."""

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
    layermem,
    sslmem,
    unitmem,
    vit_blocks,
    vit_deltas,
)

# importing torch_geometric compiles with a function that torch has deprecated
PYG = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")


def noise(x, generator):
    return x + 0.3 * torch.randn(x.shape, generator=generator)


def images(n=3, size=64, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def seeded(make, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().eval()


def pair(make):
    return seeded(make, 0), seeded(make, 1)


def random_graph():
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(20, (2, 60), generator=generator)
    return Data(x=torch.randn(20, 5, generator=generator), edge_index=edges)


def drop_edges(data, generator):
    from torch_geometric.data import Data

    keep = torch.rand(data.edge_index.shape[1], generator=generator) > 0.2
    return Data(x=data.x, edge_index=data.edge_index[:, keep])


def of_nodes(model, data):
    return model(data.x, data.edge_index)


def foreign(name):
    """Two random models; data, augmentation, forward function; layers in order, the last one the output; a ReLU."""
    if name == "timm resnet18":
        import timm

        f, g = pair(lambda: timm.create_model("resnet18", num_classes=0))
        return (
            f,
            g,
            images(),
            noise,
            None,
            ("conv1", "layer1.0", "layer2.0.conv2", "layer4.1", "fc"),
            "layer4.1",
        )
    if name == "timm vit":
        import timm

        f, g = pair(
            lambda: timm.create_model(
                "vit_tiny_patch16_224", img_size=64, depth=2, num_classes=0, drop_rate=0.5
            )
        )
        return (
            f,
            g,
            images(),
            noise,
            None,
            ("patch_embed.proj", "blocks.0", "blocks.1.mlp", "head"),
            "blocks.1.mlp.act",
        )
    if name == "torchvision resnet18":
        from torchvision.models import resnet18

        f, g = pair(resnet18)
        return f, g, images(), noise, None, ("conv1", "layer1.1", "layer3.0", "fc"), "layer3.0"
    from torch_geometric.nn import GCN

    f, g = pair(lambda: GCN(5, 16, 2, dropout=0.5))
    return f, g, random_graph(), drop_edges, of_nodes, ("convs.0", "convs.1"), "act"


@PYG
@pytest.mark.parametrize("name", ["timm resnet18", "timm vit", "torchvision resnet18", "pyg gcn"])
def test_all_measures_agree_and_leave_no_trace(name):
    f, g, data, augment, forward, layers, activation = foreign(name)
    f.train()
    next(f.children()).eval()  # flags of parts may differ
    flags = [module.training for net in (f, g) for module in net.modules()]
    weights = copy.deepcopy([f.state_dict(), g.state_dict()])
    state = torch.get_rng_state()
    settings = {"n_views": 2, "forward_fn": forward}

    whole = sslmem(f, g, data, augment, normalization="ratio", **settings)
    table = layermem(f, g, data, augment, layers=layers, **settings)
    units = unitmem(f, data, augment, [activation], negative="relu", **settings)[activation]

    assert table.layers == layers  # in order of execution
    np.testing.assert_allclose(table.scores[0, -1], whole.scores)
    assert np.abs(table.scores).max() > 0
    assert (np.abs(table.scores) < 1).all()
    assert units.n == table.scores.shape[2]
    assert ((units.scores >= 0) & (units.scores <= 1)).all()
    pieces = sslmem(f, g, data, augment, normalization="ratio", batch_size=1, **settings)
    np.testing.assert_allclose(pieces.scores, whole.scores, atol=1e-5)
    assert (sslmem(f, copy.deepcopy(f), data, augment, **settings).scores == 0).all()

    assert [module.training for net in (f, g) for module in net.modules()] == flags
    assert torch.equal(torch.get_rng_state(), state)
    for net, before in zip((f, g), weights, strict=True):
        assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_layers_and_units_of_a_timm_resnet18():
    f, g, x, *_ = foreign("timm resnet18")
    table = layermem(f, g, x, noise, control=images(seed=1), n_views=1)
    assert len(table.layers) == 20 + 8  # convolutions and blocks
    assert np.isfinite(table.excess).all()
    found = unitmem(f, x, noise, ["layer1.0", "layer4.1"], n_views=2)
    assert {name: len(result.scores) for name, result in found.items()} == {"layer1.0": 64, "layer4.1": 512}


def test_timm_vit_branches_and_sums():
    import timm

    def make():
        return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=0)

    f, g = pair(make)
    x, blocks = images(), vit_blocks(f)
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


def test_exchanged_encoders_of_torchvision_score_the_opposite():
    f, g, x, *_ = foreign("torchvision resnet18")
    table = layermem([f, g], [g, f], x, noise, layers=["layer1.1", "layer3.0"], n_views=2)
    np.testing.assert_allclose(table.scores[0], -table.scores[1])
    np.testing.assert_allclose(table.layermem, 0, atol=1e-12)


@PYG
def test_graph_networks_score_nodes():
    from torch_geometric.data import Data
    from torch_geometric.utils import dropout_edge

    f, g, graph, augment, forward, *_ = foreign("pyg gcn")
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
    anchored = alignment_loss(f, graph, augment, pairing="anchor", n_views=2, forward_fn=forward)
    assert anchored.shape == (20,)

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
