"""Backbones: shapes, parameters by hand, seeds, foreign models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from trustlib.encoders import backbone
from trustlib.encoders.architectures import (
    Attention,
    Block,
    Coordinates,
    ResNet9,
    SmallViT,
    mean_over_positions,
)


@pytest.mark.parametrize(
    ("name", "size", "options", "features", "grid"),
    [
        ("small_conv", 32, {}, 96, 8),
        ("small_conv", 16, {"widths": (4, 4, 8, 8, 16), "coordinates": False}, 16, 4),
        ("resnet9", 32, {"width": 4}, 32, 2),
        ("resnet9", 16, {"width": 8}, 64, 1),
        ("small_vit", 32, {"dim": 16, "depth": 1}, 16, 8),
        ("small_vit", 16, {"dim": 16, "depth": 1, "stem": "conv"}, 16, 4),
        ("timm:resnet10t", 64, {}, 512, 2),
        ("timm:vit_tiny_patch16_224", 64, {"depth": 1}, 192, 4),
        ("torchvision:resnet18", 64, {}, 512, 2),
        ("torchvision:mobilenet_v3_small", 64, {}, 1024, 2),
    ],
)
def test_features_and_maps_have_their_shapes(name, size, options, features, grid):
    encoder = backbone(name, size=size, options=options).eval()
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        assert encoder(x).shape == (2, features)
        dense = encoder.dense(x)
    assert dense.shape[0] == 2
    assert dense.shape[2:] == (grid, grid)
    assert encoder.feature_dim == features


def test_pooled_map_is_the_feature_vector():
    x = torch.rand(3, 3, 64, 64)
    for name in ("small_conv", "resnet9", "timm:resnet10t", "torchvision:resnet18"):
        encoder = backbone(name, size=64).eval()
        with torch.no_grad():
            torch.testing.assert_close(encoder.dense(x).mean(dim=(2, 3)), encoder(x), atol=1e-5, rtol=1e-4)


def test_resnet9_has_the_published_number_of_weights():
    # 9 * (3*32 + 32*64 + 64*64 + 64*64 + 64*128 + 128*256 + 256*256 + 256*256) = 9 * 182 368 = 1 641 312
    net = ResNet9()
    assert sum(p.numel() for name, p in net.named_parameters() if name.endswith("conv.weight")) == 1_641_312


def test_attention_by_hand():
    attention = Attention(2, 1)
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.cat([torch.zeros(4, 2), torch.eye(2)]))  # q = k = 0: uniform weights
        attention.qkv.bias.zero_()
        attention.proj.weight.copy_(torch.eye(2))
        attention.proj.bias.zero_()
        out = attention(torch.tensor([[[1.0, 0.0], [3.0, 2.0]]]))
    np.testing.assert_allclose(out, [[[2.0, 1.0], [2.0, 1.0]]], atol=1e-6)  # mean of the values


def test_block_equals_torchs_encoder_layer():
    torch_layer = nn.TransformerEncoderLayer(
        8, 2, 24, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    block = Block(8, 2, 3.0).eval()
    pairs = {
        "attn.qkv": torch_layer.self_attn, "attn.proj": torch_layer.self_attn.out_proj, "mlp.0": torch_layer.linear1,
        "mlp.2": torch_layer.linear2, "norm1": torch_layer.norm1, "norm2": torch_layer.norm2,
    }  # fmt: skip
    with torch.no_grad():
        for name, source in pairs.items():
            target = block.get_submodule(name)
            weight = source.in_proj_weight if name == "attn.qkv" else source.weight
            bias = source.in_proj_bias if name == "attn.qkv" else source.bias
            target.weight.copy_(weight)
            target.bias.copy_(bias)
        x = torch.rand(3, 5, 8)
        torch.testing.assert_close(block(x), torch_layer(x), atol=1e-5, rtol=1e-4)


def test_vit_sees_where_patches_are():
    vit = SmallViT(size=16, dim=16, depth=2).eval()
    x = torch.rand(1, 3, 16, 16)
    shuffled = x.view(1, 3, 4, 4, 4, 4).permute(0, 1, 4, 3, 2, 5).reshape(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.allclose(vit(x), vit(shuffled))
        vit.positions.weight.zero_()  # the control: without positions, the class token sees a set
        patches = vit.embed_patches(x)
        torch.testing.assert_close(
            vit.encode_tokens(patches)[:, 0], vit.encode_tokens(patches.flip(1))[:, 0], atol=1e-5, rtol=1e-4
        )


def test_vit_can_represent_an_image_by_its_patches():
    x = torch.rand(2, 3, 16, 16)
    mean = backbone("small_vit", size=16, options={"dim": 16, "depth": 1, "pool": "mean"}).eval()
    token = backbone("small_vit", size=16, options={"dim": 16, "depth": 1}).eval()
    with torch.no_grad():
        torch.testing.assert_close(mean(x), mean.dense(x).mean(dim=(2, 3)))
        torch.testing.assert_close(token.dense(x), mean.dense(x))
        assert not torch.allclose(token(x), mean(x), atol=1e-3)
    with pytest.raises(ValueError, match="pool must be cls or mean, got 'max'"):
        backbone("small_vit", options={"pool": "max"})


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layouts_are_kept_forwards_and_backwards(layout):
    x = torch.rand(4, 3, 5, 6).contiguous(memory_format=layout).requires_grad_()
    placed = Coordinates()(x)
    assert placed.is_contiguous(memory_format=layout)
    torch.testing.assert_close(placed[:, :3], x)
    # row 1 of 5 is at -1 + 2 / 4, column 2 of 6 at -1 + 2 * 2 / 5
    assert placed[0, 3:, 1, 2].tolist() == pytest.approx([-0.5, -0.2])
    pooled = mean_over_positions(placed)
    torch.testing.assert_close(pooled, placed.mean(dim=(2, 3)))
    (pooled * torch.arange(5.0)).sum().backward()
    expected = torch.arange(3.0)[None, :, None, None].expand(4, 3, 5, 6) / 30
    torch.testing.assert_close(x.grad, expected)
    assert x.grad.is_contiguous(memory_format=layout)


def test_weights_follow_the_seed_and_nothing_else():
    torch.rand(1)
    state = torch.get_rng_state()
    one, two, three = (backbone("small_conv", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    weights = [net.body.conv1.conv.weight for net in (one, two, three)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_normalisation_is_inside():
    encoder = backbone("small_conv", size=16)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(encoder.normalize(x), (x - 0.5) / 0.5)
    grey = backbone("small_conv", channels=1).eval()
    assert grey(torch.rand(2, 1, 32, 32)).shape == (2, 96)


def test_group_norm_treats_images_alone():
    encoder = backbone("small_conv", norm="group")
    x = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(encoder(x)[:1], encoder(x[:1]), atol=1e-5, rtol=1e-4)
    batch = backbone("small_conv")
    assert not torch.allclose(batch(x)[:1], batch(x[:1]), atol=1e-3)  # the control


def test_small_stem_keeps_the_resolution():
    for name in ("timm:resnet18", "torchvision:resnet18"):
        encoder = backbone(name, size=32, stem="small").eval()
        with torch.no_grad():
            assert encoder.dense(torch.rand(1, 3, 32, 32)).shape == (1, 512, 4, 4)


def test_published_weights_come_with_their_normalisation(monkeypatch):
    """Without a network: the libraries are asked for published weights, and give random ones."""
    import timm
    from torchvision import models

    asked = []
    create, get = timm.create_model, models.get_model
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained, **k: asked.append(pretrained) or create(name, **k)
    )
    monkeypatch.setattr(
        models, "get_model", lambda name, weights, **k: asked.append(weights) or get(name, **k)
    )
    vit = backbone("timm:vit_tiny_patch16_224", size=64, pretrained=True, options={"depth": 1})
    resnet = backbone("torchvision:resnet18", size=64, pretrained=True)
    assert asked == [True, "DEFAULT"]
    np.testing.assert_allclose(vit.normalize.mean.flatten(), [0.5, 0.5, 0.5])  # this model's own
    np.testing.assert_allclose(resnet.normalize.mean.flatten(), [0.485, 0.456, 0.406])
    np.testing.assert_allclose(resnet.normalize.std.flatten(), [0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("alexnet", {}, "name must be small_conv"),
        ("timm", {}, "name must be"),
        ("timm:no_such_net", {}, "timm has no model 'no_such_net'"),
        ("torchvision:resnet19", {}, "torchvision has no classifier 'resnet19'.*resnet101"),
        ("resnet9", {"pretrained": True}, "neither published weights"),
        ("timm:resnet18", {"norm": "group"}, "norm='group' is for"),
        ("torchvision:resnet18", {"channels": 1}, "take 3 channels"),
        ("torchvision:vgg11", {"stem": "small"}, "needs a ResNet"),
        ("resnet9", {"options": {"depth": 3}}, r"resnet9 has no options \['depth'\]"),
        ("small_vit", {"size": 30}, "size must be a multiple of patch"),
        ("small_conv", {"options": {"widths": (1, 2)}}, "widths must be five numbers"),
    ],
)
def test_backbone_refuses(name, options, match):
    with pytest.raises(ValueError, match=match):
        backbone(name, **options)


def test_vit_refuses_another_size():
    with pytest.raises(ValueError, match="takes 32 x 32 images"):
        backbone("small_vit", size=32)(torch.rand(1, 3, 16, 16))
