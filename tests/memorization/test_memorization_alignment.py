"""Alignment loss and SSLMem of encoders: hand cases, plain loops, hygiene, refusals."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trustlib.encoders import augmentation, view_keys
from trustlib.memorization import (
    CollapsedEncoderWarning,
    alignment_loss,
    pair_distance,
    sslmem,
)
from trustlib.memorization.distances import draw_distances
from trustlib.memorization.views import CLEAN, Views


def noise(x, generator):
    return x + torch.randn(x.shape, generator=generator, dtype=x.dtype)


def images(n=12, size=8, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def conv_net(seed=0):
    """A net with everything that evaluation mode must switch off."""
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return net


class ShufflesTokens(nn.Module):
    """Like a masked autoencoder whose encoder permutes the patches and never puts them back."""

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return tokens[:, torch.randperm(tokens.shape[1])]


@pytest.mark.parametrize(
    ("distance", "expected"),
    # a = (3, 0), b = (0, 4): 3 + 4; sqrt(9 + 16); 1 - 0; 90 of 180 degrees
    [("l1", 7.0), ("l2", 5.0), ("cosine", 1.0), ("angular", 0.5)],
)
def test_distances_by_hand(distance, expected):
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    assert pair_distance(a, b, distance=distance).tolist() == pytest.approx([expected])


def test_normalised_distances_by_hand():
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    assert pair_distance(a, b, normalize=True).item() == pytest.approx(math.sqrt(2))
    assert pair_distance(a, b, distance="l1", normalize=True).item() == pytest.approx(2)
    assert pair_distance(a, -a, distance="cosine").item() == pytest.approx(2)
    assert pair_distance(a, -a, distance="angular").item() == pytest.approx(1)


@given(st.integers(1, 20), st.integers(0, 10**6))
def test_distances_agree_with_torch_and_vanish_for_equal_rows(width, seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(5, width, generator=generator, dtype=torch.float64) for _ in range(2))
    cosine = nn.functional.cosine_similarity(a, b)
    torch.testing.assert_close(pair_distance(a, b, distance="cosine"), 1 - cosine)
    torch.testing.assert_close(
        pair_distance(a, b, distance="angular"),
        torch.arccos(cosine.clamp(-1, 1)) / torch.pi,
        atol=1e-7,
        rtol=1e-7,
    )
    torch.testing.assert_close(pair_distance(a, b), nn.functional.pairwise_distance(a, b, eps=0))
    for distance in ("l1", "l2", "cosine", "angular"):
        assert (pair_distance(a, a.clone(), distance=distance) == 0).all()


def test_nearly_equal_views_do_not_cancel():
    a = torch.ones(1, 1000)
    b = a.clone()
    b[0, 0] += 1e-3
    # in float32, 1 - cos would be 0 or 6e-8; exact: (1e-3)^2 (1 - 1/1000) / 2 / 1000 = 4.99e-10
    assert pair_distance(a, b, distance="cosine").item() == pytest.approx(4.99e-10, rel=0.02)


def test_distances_refuse():
    with pytest.raises(ValueError, match=r"1 of 2 representations are the zero vector"):
        pair_distance(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.ones(2, 2), distance="cosine")
    with pytest.raises(ValueError, match="must be one of l1, l2, cosine, angular"):
        pair_distance(torch.ones(1, 2), torch.ones(1, 2), distance="L2")


def test_draws_of_every_pairing_by_hand():
    views = torch.tensor([0.0, 1.0, 3.0, 7.0]).reshape(4, 1, 1)
    settings = {"distance": "l2", "normalize": False}
    assert draw_distances(views, pairing="independent", **settings).flatten().tolist() == [1, 4]
    assert draw_distances(views, pairing="anchor", **settings).flatten().tolist() == [1, 3, 7]
    # distances 1 3 7 2 6 4: row means (1+3+7)/3, (1+2+6)/3, (3+2+4)/3, (7+6+4)/3; mean 23/6
    drawn = draw_distances(views, pairing="all", **settings).flatten()
    assert drawn.tolist() == pytest.approx([11 / 3, 3, 3, 17 / 3])
    assert drawn.mean().item() == pytest.approx(23 / 6)


@pytest.mark.parametrize("pairing", ["independent", "all", "anchor"])
@pytest.mark.parametrize("distance", ["l1", "l2", "cosine", "angular"])
def test_alignment_equals_the_plain_loop(pairing, distance):
    net, x, k = conv_net().eval(), images(5), 4
    result = alignment_loss(net, x, noise, n_views=k, pairing=pairing, distance=distance, seed=3)
    with torch.no_grad():
        for i in range(5):

            def view(v, i=i):
                generator = torch.Generator().manual_seed(int(view_keys(3, i, v)))
                return net(noise(x[i], generator)[None])

            if pairing == "independent":
                pairs = [(view(2 * j), view(2 * j + 1)) for j in range(k)]
            elif pairing == "anchor":
                pairs = [(net(x[i : i + 1]), view(j)) for j in range(k)]
            else:
                pairs = [(view(a), view(b)) for a in range(k) for b in range(a + 1, k)]
            expected = np.mean([pair_distance(a, b, distance=distance).item() for a, b in pairs])
            assert result[i] == pytest.approx(expected, rel=1e-5)


def test_pairings_estimate_the_same_expectation():
    # identity on 40 dimensions, unit noise: E |z - z'| = sqrt(2) Gamma(41/2) / Gamma(20) * sqrt(2)
    expected = 2 * math.exp(math.lgamma(20.5) - math.lgamma(20))
    for pairing, views in [("independent", 30), ("all", 30)]:
        losses = alignment_loss(nn.Identity(), torch.zeros(200, 40), noise, n_views=views, pairing=pairing)
        # sd of one distance is about 1; 200 * 30 pairs, for "all" at least 200 * 15 independent ones
        assert losses.mean() == pytest.approx(expected, abs=4 / math.sqrt(3000))
    one_sided = alignment_loss(nn.Identity(), torch.zeros(200, 40), noise, n_views=30, pairing="anchor")
    assert one_sided.mean() == pytest.approx(expected / math.sqrt(2), abs=4 / math.sqrt(6000))


@pytest.mark.parametrize("pairing", ["independent", "all", "anchor"])
def test_result_does_not_depend_on_batches_order_or_shards(pairing):
    net, x = conv_net(), images(11)
    whole = alignment_loss(net, x, noise, n_views=3, pairing=pairing, batch_size=1000)
    small = alignment_loss(net, x, noise, n_views=3, pairing=pairing, batch_size=1)
    np.testing.assert_allclose(small, whole, rtol=1e-5)
    order = np.array([5, 0, 10, 3, 7])
    shard = alignment_loss(net, x[order], noise, n_views=3, pairing=pairing, index=order, batch_size=7)
    np.testing.assert_allclose(shard, whole[order], rtol=1e-5)
    other = alignment_loss(net, x, noise, n_views=3, pairing=pairing, seed=1)
    assert np.abs(other - whole).min() > 0


def test_an_encoder_against_itself_is_exactly_zero():
    net, x = conv_net(), images()
    for normalization in ("none", "ratio"):
        result = sslmem(net, copy.deepcopy(net), x, noise, normalization=normalization, n_views=3)
        assert (result.scores == 0).all()
        assert (result.view_error == 0).all()
    with pytest.warns(UserWarning, match="f and g hold the same encoder"):
        assert (sslmem(net, net, x, noise, n_views=2).scores == 0).all()


def test_sslmem_knows_which_encoder_aligns_better():
    # an encoder that shrinks noise to half: ratio (1 - .5) / (1 + .5), and the negative when exchanged
    half, full = nn.Identity(), nn.Identity()
    half = nn.Sequential(nn.Linear(6, 6, bias=False))
    with torch.no_grad():
        half[0].weight.copy_(torch.eye(6) / 2)
    x = torch.zeros(9, 6)
    result = sslmem(half, full, x, noise, normalization="ratio")
    np.testing.assert_allclose(result.scores, 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(sslmem(full, half, x, noise, normalization="ratio").scores, -1 / 3, rtol=1e-6)
    frame = result.to_frame()
    assert frame.columns[0] == "sslmem_ratio"
    assert frame.index.tolist() == list(range(9))
    assert result.to_frame(index=list("abcdefghi")).index[0] == "a"


def test_runs_are_averaged_and_spread():
    nets, x = [conv_net(seed).eval() for seed in range(5)], images(6)
    result = sslmem(nets[:3], nets[3:], x, noise, n_views=4, normalization="ratio")
    singles = [alignment_loss(net, x, noise, n_views=4) for net in nets]
    np.testing.assert_allclose(result.align_f, singles[:3], rtol=1e-5)
    f, g = np.mean(singles[:3], axis=0), np.mean(singles[3:], axis=0)
    np.testing.assert_allclose(result.scores, (g - f) / (g + f), rtol=1e-4, atol=1e-6)
    var = (2 * g / (f + g) ** 2) ** 2 * np.var(singles[:3], axis=0, ddof=1) / 3
    var += (2 * f / (f + g) ** 2) ** 2 * np.var(singles[3:], axis=0, ddof=1) / 2
    np.testing.assert_allclose(result.run_error, np.sqrt(var), rtol=1e-4)
    np.testing.assert_allclose(result.standard_error, np.hypot(result.view_error, result.run_error))
    assert np.isnan(sslmem(nets[0], nets[1], x, noise, n_views=4).run_error).all()


@pytest.mark.parametrize(
    ("pairing", "normalization"), [("independent", "ratio"), ("all", "none"), ("anchor", "ratio")]
)
def test_view_error_is_the_spread_over_repeated_measurements(pairing, normalization):
    f, g, x = conv_net(0).eval(), conv_net(1).eval(), images(4)
    repeats = [
        sslmem(f, g, x, noise, n_views=12, pairing=pairing, normalization=normalization, seed=s)
        for s in range(60)
    ]
    spread = np.std([r.scores for r in repeats], axis=0, ddof=1).mean()
    stated = np.sqrt(np.mean([r.view_error**2 for r in repeats], axis=0)).mean()
    # the sd of 60 repeats has a relative error of 1 / sqrt(118) = .09 per point, about half over four points
    assert stated == pytest.approx(spread, rel=0.2)


def test_view_error_needs_draws():
    result = sslmem(conv_net(0), conv_net(1), images(3), noise, n_views=1)
    assert np.isnan(result.view_error).all()
    assert np.isnan(
        sslmem(conv_net(0), conv_net(1), images(3), noise, n_views=2, pairing="all").view_error
    ).all()


def test_state_random_numbers_and_hooks_are_as_before():
    net, x = conv_net().train(), images()
    net[1].eval()
    state = copy.deepcopy(net.state_dict())
    modes = [module.training for module in net.modules()]
    before = torch.get_rng_state()
    data = x.clone()
    alignment_loss(net, x, noise, n_views=2)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(net.state_dict()[key], value) for key, value in state.items())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(x, data)
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in net.parameters())


def test_everything_is_restored_after_an_exception():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = nn.Linear(4, 4), 0

        def forward(self, x):
            self.calls += 1
            torch.rand(3)
            if self.calls > 3:
                raise RuntimeError("boom")
            return self.inner(x)

    net, before = Breaks().train(), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="boom"):
        alignment_loss(net, torch.zeros(8, 4), noise, n_views=1, batch_size=2)
    assert net.training
    assert net.inner.training
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_shuffled_tokens_and_other_random_encoders_are_refused():
    with pytest.raises(ValueError, match="random in evaluation mode"):
        alignment_loss(ShufflesTokens(), images(), noise)

    class AlwaysDrops(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x.flatten(1), 0.5, training=True)

    with pytest.raises(ValueError, match="random in evaluation mode"):
        alignment_loss(AlwaysDrops(), images(), noise)
    fixed = nn.Dropout(0.5)  # a module knows its mode
    assert alignment_loss(fixed, images(), noise, n_views=1).min() > 0


def test_transforms_without_generator_are_keyed_too():
    from torchvision.transforms import v2

    flip = v2.Compose([v2.RandomResizedCrop(8, scale=(0.3, 1)), v2.RandomHorizontalFlip()])
    before = torch.get_rng_state()
    whole = alignment_loss(nn.Flatten(), images(), flip, n_views=4)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_allclose(alignment_loss(nn.Flatten(), images(), flip, n_views=4, batch_size=1), whole)
    assert whole.min() > 0


def test_augmentations_for_whole_batches_are_used():
    class Noise:
        calls = 0

        def keyed(self, points, keys):
            self.calls += 1
            return torch.stack(
                [noise(x, torch.Generator().manual_seed(k)) for x, k in zip(points, keys, strict=True)]
            )

        def __call__(self, x, generator):
            raise AssertionError("the batched form must be used for tensors")

    augment, x = Noise(), images()
    for pairing in ("independent", "anchor"):
        expected = alignment_loss(conv_net(), x, noise, n_views=2, pairing=pairing)
        np.testing.assert_allclose(
            alignment_loss(conv_net(), x, augment, n_views=2, pairing=pairing), expected
        )
    assert augment.calls > 0


def test_the_batched_augmentation_gives_the_same_views_in_any_batch():
    x, augment = images(6), augmentation("strong")
    one = next(iter(Views(x, augment, seed=1, batch_size=12).batches([[0, 1]]))).inputs
    parts = [batch.inputs for batch in Views(x, augment, seed=1, batch_size=2).batches([[0, 1]])]
    torch.testing.assert_close(torch.cat([part[:1] for part in parts]), one[:6], atol=1e-6, rtol=0)
    torch.testing.assert_close(augment.keyed(x, view_keys(1, np.arange(6), 1)), one[6:], atol=1e-6, rtol=0)


def test_datasets_and_labels_are_accepted():
    x, y = images(), torch.arange(12)
    expected = alignment_loss(nn.Flatten(), x, noise, n_views=2)
    data = torch.utils.data.TensorDataset(x, y)
    np.testing.assert_allclose(alignment_loss(nn.Flatten(), data, noise, n_views=2), expected)
    np.testing.assert_allclose(alignment_loss(nn.Flatten(), list(x), noise, n_views=2), expected)


def test_views_are_laid_out_view_by_view():
    views = Views(torch.arange(6.0).reshape(3, 2), noise, seed=0, batch_size=4)
    first, second = views.batches([[CLEAN, 0]])
    assert first.positions.tolist() == [0, 1]
    assert second.positions.tolist() == [2]
    assert first.inputs[:2].tolist() == [[0, 1], [2, 3]]
    assert (first.inputs[2:] != first.inputs[:2]).all()
    assert first.rows == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_views": 0}, "n_views must be an integer >= 1"),
        ({"n_views": 1, "pairing": "all"}, "n_views must be an integer >= 2 for pairing='all'"),
        ({"n_views": 2.5}, "n_views must be an integer"),
        ({"pairing": "pairs"}, "pairing must be one of independent, all, anchor"),
        ({"distance": "euclid"}, "distance must be one of"),
        ({"batch_size": 0}, "batch_size must be >= 1"),
        ({"index": [1, 2]}, "index must name each of the 12 points"),
        ({"data": images()[:0]}, "data holds no points"),
        ({"augment": lambda x, g: x}, "all views equal each other at 12 points"),
        ({"augment": lambda x, g: x + 1}, "augment changes nothing at random"),
        ({"augment": lambda x, g: x, "pairing": "anchor"}, "all views equal the point itself"),
        ({"augment": lambda x, g: x + np.random.default_rng().normal()}, "draws from somewhere"),
        ({"encoder": lambda x: x.flatten(1) / 0}, "not finite for 12 of 12 points"),
        ({"encoder": lambda x: x.mean()}, r"shape \(\) for 240 views"),
        ({"encoder": lambda x: x[:3].flatten(1)}, r"gives shape \(3, 192\) for 240 views"),
        ({"encoder": lambda x: {"z": x}}, "gives dict, not a tensor; pass forward_fn"),
        ({"encoder": lambda x: 0 * x.flatten(1), "normalize": True}, "zero vector"),
    ],
)
def test_alignment_refuses(change, words):
    arguments = {"encoder": nn.Flatten(), "data": images(), "augment": noise} | change
    data = arguments.pop("data")
    encoder, augment = arguments.pop("encoder"), arguments.pop("augment")
    with pytest.raises(ValueError, match=words):
        alignment_loss(encoder, data, augment, **arguments)


def test_alignment_refuses_types():
    with pytest.raises(TypeError, match="augment must be callable"):
        alignment_loss(nn.Flatten(), images(), None)
    with pytest.raises(TypeError, match="data must be a tensor"):
        alignment_loss(nn.Flatten(), 3, noise)
    with pytest.raises(TypeError, match="f must be an encoder"):
        sslmem([], nn.Flatten(), images(), noise)
    with pytest.raises(TypeError, match="augment returned str"):
        alignment_loss(nn.Flatten(), images(), lambda x, g: "view")


def test_sslmem_refuses_other_shapes_and_warns_of_collapse():
    with pytest.raises(ValueError, match="encoders must share one architecture"):
        sslmem(nn.Flatten(), lambda x: x.flatten(1)[:, :3], images(), noise, n_views=1)
    with pytest.raises(ValueError, match="normalization must be one of"):
        sslmem(nn.Flatten(), nn.Flatten(), images(), noise, normalization="zscore")
    with pytest.warns(CollapsedEncoderWarning, match="encoder 1 gives one representation"):
        sslmem(nn.Flatten(), lambda x: torch.ones(len(x), 192), images(), noise, n_views=1)
