"""Evaluation mode leaves no trace; layers are read as they were, whatever happens to them afterwards."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from trustlib.encoders import backbone, evaluating, find_layer, layer_names, tap_layers


def mixed():
    """BatchNorm, Dropout, an operation in place, and one part already in evaluation mode."""
    net = nn.Sequential(
        nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(4, 2)
    )
    net[3].eval()
    return net


def states():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002


def same(one, two):
    return torch.equal(one[0], two[0]) and np.array_equal(one[1], two[1]) and one[2] == two[2]


@pytest.mark.parametrize("fails", [False, True])
def test_evaluating_restores_everything_also_after_an_exception(fails):
    net = mixed()
    kept = net[0].register_forward_hook(lambda *_: None)
    flags = [module.training for module in net.modules()]
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    before = states()

    def use():
        with evaluating(net):
            assert not any(module.training for module in net.modules())
            assert not torch.is_grad_enabled()
            net[4].register_forward_hook(lambda *_: None)
            net[2].register_forward_pre_hook(lambda *_: None)
            net[0].register_full_backward_hook(lambda *_: None)
            kept.remove()
            net.train()
            net.eval()
            torch.rand(3)
            np.random.rand(3)  # noqa: NPY002
            random.random()
            net(torch.ones(3, 4))
            if fails:
                raise RuntimeError("planned")

    if fails:
        with pytest.raises(RuntimeError, match="planned"):
            use()
    else:
        use()
    assert [module.training for module in net.modules()] == flags
    assert torch.is_grad_enabled()
    assert same(states(), before)
    assert len(net[0]._forward_hooks) == 1  # the one that was there, although it was removed inside
    for module in (net[2], net[4]):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not net[0]._backward_hooks
    assert all(torch.equal(net.state_dict()[name], value) for name, value in weights.items())


def test_evaluating_takes_several_models_and_can_record_gradients():
    one, two = mixed(), mixed()
    x = torch.ones(2, 4, requires_grad=True)
    with evaluating(one, two, gradients=True):
        (one(x) + two(x)).sum().backward()
    assert x.grad is not None
    assert one.training
    assert two.training
    with torch.no_grad(), evaluating(one, gradients=True):
        assert torch.is_grad_enabled()


def test_taps_survive_operations_in_place():
    net = nn.Sequential(
        nn.Linear(2, 2, bias=False), nn.ReLU(inplace=True), nn.Hardtanh(-1, 0.5, inplace=True)
    )
    nn.init.eye_(net[0].weight)
    x = torch.tensor([[-2.0, 2.0]])
    with torch.no_grad(), tap_layers(net, ["0", "1", "2", "input:1"]) as taps:
        net(x)
    assert taps["0"].tolist() == taps["input:1"].tolist() == [[-2.0, 2.0]]
    assert taps["1"].tolist() == [[0.0, 2.0]]
    assert taps["2"].tolist() == [[0.0, 0.5]]
    assert list(taps) == ["0", "input:1", "1", "2"]  # order of execution
    # the control: a plain hook that keeps a reference sees the overwritten values
    seen = {}
    handle = net[0].register_forward_hook(lambda _m, _i, output: seen.update(out=output))
    with torch.no_grad():
        net(x)
    handle.remove()
    assert seen["out"].tolist() == [[0.0, 0.5]]


def test_taps_follow_the_last_pass_and_the_hooks_go():
    net = mixed().eval()
    with torch.no_grad(), tap_layers(net, ["0"]) as taps:
        assert len(taps) == 0
        net(torch.zeros(1, 4))
        first = taps["0"].clone()
        net(torch.ones(2, 4))
        assert taps["0"].shape == (2, 4)
    assert first.shape == (1, 4)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    with pytest.raises(RuntimeError, match="planned"), tap_layers(net, ["0"]):
        raise RuntimeError("planned")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_gradients_flow_through_taps():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True))
    with tap_layers(net, ["0"]) as taps:
        net(torch.ones(1, 2))
        taps["0"].sum().backward()
    assert torch.equal(net[0].weight.grad, torch.ones(2, 2))


def test_reduction_replaces_the_response():
    net = nn.Sequential(nn.Linear(2, 3))
    with torch.no_grad(), tap_layers(net, ["0"], reduce=lambda name, r: (name, r.shape)) as taps:
        net(torch.ones(4, 2))
    assert taps["0"] == ("0", (4, 3))


def test_residual_sums_are_included():
    encoder = backbone("resnet9", size=16, options={"width": 4}).eval()
    names = ["body.conv2", "body.conv4", "body.res2", "body.conv8", "body.res6"]
    with torch.no_grad(), tap_layers(encoder, names) as taps:
        features = encoder(torch.rand(2, 3, 16, 16))
    torch.testing.assert_close(taps["body.res2"], taps["body.conv4"] + taps["body.conv2"])
    torch.testing.assert_close(taps["body.res6"].mean(dim=(2, 3)), features)
    assert not torch.allclose(taps["body.res6"], taps["body.conv8"])


def test_sums_without_a_module_are_read_as_inputs():
    encoder = backbone("small_vit", size=16, options={"depth": 1}).eval()
    block = "body.blocks.0"
    names = [f"input:{block}.norm1", f"{block}.attn", f"input:{block}.norm2", f"{block}.mlp", block]
    with torch.no_grad(), tap_layers(encoder, names) as taps:
        encoder(torch.rand(2, 3, 16, 16))
    start, attention, middle, mlp, end = (taps[name] for name in names)
    torch.testing.assert_close(start + attention, middle)
    torch.testing.assert_close(middle + mlp, end)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("timm:resnet18", "body.layer2.0"), ("torchvision:resnet18", "body.layer2.0")],
)
def test_blocks_of_foreign_residual_networks_end_in_the_sum(name, layer):
    encoder = backbone(name, size=64).eval()
    block = encoder.get_submodule(layer)
    parts = [f"{layer}.bn2", f"input:{layer}", layer]
    with torch.no_grad(), tap_layers(encoder, parts) as taps:
        encoder(torch.rand(2, 3, 64, 64))
        shortcut = block.downsample(taps[f"input:{layer}"])
    torch.testing.assert_close(torch.relu(taps[f"{layer}.bn2"] + shortcut), taps[layer], atol=1e-5, rtol=1e-4)


def test_layer_names_lists_what_runs_once_in_order():
    encoder = backbone("resnet9", size=16, options={"width": 4})
    names = layer_names(encoder, torch.rand(2, 3, 16, 16))
    assert names[:4] == ["body.conv1.conv", "body.conv1", "body.conv2.conv", "body.conv2"]
    assert names[-1] == "body"
    assert encoder.training
    assert not any(module._forward_hooks for module in encoder.modules())
    shared = nn.Linear(2, 2)
    assert layer_names(nn.Sequential(shared, shared, nn.Linear(2, 1)), torch.ones(2, 2)) == ["2"]
    with pytest.raises(ValueError, match="no layer that runs once"):
        layer_names(nn.Sequential(nn.ReLU()), torch.ones(2, 2))


def test_layer_names_runs_the_model_as_it_is_told():
    net = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 3)})
    inputs = {"x": torch.ones(4, 2)}
    names = layer_names(net, inputs, rows=4, forward_fn=lambda m, given: m["two"](m["one"](given["x"])))
    assert names == ["one", "two"]
    with pytest.raises(ValueError, match="no layer that runs once"):  # not one row per input
        layer_names(net, inputs, forward_fn=lambda m, given: m["one"](given["x"]))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        layer_names(nn.Linear(3, 1), torch.ones(4, 2))


def test_taps_over_several_calls_are_refused_where_no_call_starts_again():
    net = nn.Sequential(nn.Linear(2, 2))
    with tap_layers(net, ["0"], restart=False) as taps:
        net(torch.zeros(1, 2))
        with pytest.raises(ValueError, match="runs more than once"):
            net(torch.zeros(1, 2))
        taps.clear()
        net(torch.zeros(3, 2))
        assert taps["0"].shape == (3, 2)


def test_layers_are_found_by_name_or_refused_with_the_names_there_are():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    assert find_layer(net, "1.0") is net[1][0]
    for name in ("2", "", "0.weight"):
        with pytest.raises(ValueError, match=f"Sequential has no layer '{name}'. Layers: 0, 1, 1.0."):
            find_layer(net, name)
    with pytest.raises(ValueError, match=r"Similar: .*body\.conv1\.conv.* All names:"):
        find_layer(backbone("resnet9", size=16, options={"width": 4}), "body.conv1.cnv")


def test_taps_refuse():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(ValueError, match="no layer 'lin'"), tap_layers(net, ["lin"]):
        pass
    with pytest.raises(ValueError, match="at least one layer and none twice"), tap_layers(net, ["0", "0"]):
        pass
    with pytest.raises(ValueError, match="at least one layer"), tap_layers(net, []):
        pass
    twice = nn.Sequential(net[0], net[0])
    with tap_layers(twice, ["0"]), pytest.raises(ValueError, match="runs more than once"):
        twice(torch.ones(1, 2))
    with (
        tap_layers(net, ["1"]) as taps,
        pytest.raises(KeyError, match="did not run in the last forward pass"),
    ):
        taps["1"]
    with tap_layers(net, ["1"]) as taps, pytest.raises(KeyError, match="is not tapped"):
        taps["0"]
    recurrent = nn.Sequential(nn.LSTM(2, 2))
    with tap_layers(recurrent, ["0"]) as taps:
        recurrent(torch.ones(3, 2))
        assert taps["0"].shape == (3, 2)  # the first entry of a tuple

    class Odd(nn.Module):
        def forward(self, x):
            return {"x": x}

    odd = nn.Sequential(Odd())
    with tap_layers(odd, ["0"]), pytest.raises(ValueError, match="gives dict, not a tensor"):
        odd(torch.ones(1))
