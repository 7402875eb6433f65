"""Losses against hand-computed values and plain loops; masks, edge drop and other views."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trustlib.gnn_stealing import (
    EdgeDrop,
    LoopEmphasis,
    drop_edges,
    feature_column_mask,
    info_nce,
    rmse_loss,
    soft_cross_entropy,
)
from trustlib.gnn_stealing.messages import csr_matrix


def loop_info_nce(z1, z2, temperature):
    """The equation, term by term."""

    def s(a, b):
        return float(torch.cosine_similarity(a, b, dim=0)) / temperature

    def term(i, z, other):
        own = math.exp(s(z[i], other[i]))
        across = sum(math.exp(s(z[i], other[k])) for k in range(len(z)))
        within = sum(math.exp(s(z[i], z[k])) for k in range(len(z)) if k != i)
        return -math.log(own / (across + within))

    n = len(z1)
    return sum(term(i, z1, z2) + term(i, z2, z1) for i in range(n)) / (2 * n)


@pytest.mark.parametrize("n", [2, 3, 50])
def test_equal_vectors_cost_the_log_of_all_alternatives(n):
    # every one of the 2n - 1 terms of the denominator equals the numerator
    assert float(info_nce(torch.ones(n, 4), torch.ones(n, 4))) == pytest.approx(math.log(2 * n - 1), rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_two_opposite_pairs_reach_the_floor(temperature):
    # n = 2: partner at cosine 1, the two others at -1: log((e^{1/t} + 2 e^{-1/t}) / e^{1/t}) = log(1 + 2 e^{-2/t})
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    found = float(info_nce(z, 3 * z, temperature=temperature))
    assert found == pytest.approx(math.log(1 + 2 * math.exp(-2 / temperature)), rel=1e-6)


def test_orthogonal_pairs_by_hand():
    # partner at cosine 1, the other two at 0: log((e + 1 + 1) / e) = log(1 + 2 / e)
    assert float(info_nce(torch.eye(2), torch.eye(2))) == pytest.approx(math.log(1 + 2 / math.e), rel=1e-6)


@given(n=st.integers(2, 6), p=st.integers(1, 4), seed=st.integers(0, 10**6), temperature=st.floats(0.2, 3.0))
@settings(max_examples=30, deadline=None)
def test_info_nce_is_the_equation(n, p, seed, temperature):
    generator = torch.Generator().manual_seed(seed)
    z1, z2 = torch.randn(2, n, p, generator=generator, dtype=torch.float64)
    expected = loop_info_nce(z1, z2, temperature)
    assert float(info_nce(z1, z2, temperature=temperature)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_chunks_change_neither_the_loss_nor_its_gradient(chunk):
    start = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results = []
    for size in (None, chunk):
        z = start.clone().requires_grad_()
        loss = info_nce(z[0], z[1], temperature=0.7, chunk=size)
        loss.backward()
        results.append((float(loss.detach()), z.grad))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-10, atol=1e-14)


def test_info_nce_has_the_gradient_of_its_equation():
    generator = torch.Generator().manual_seed(3)
    z1, z2 = (
        torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, temperature=0.3), (z1, z2))


def test_info_nce_survives_small_temperatures_and_zero_rows():
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    z[0] = 0
    leaf = z.requires_grad_()
    loss = info_nce(
        leaf, leaf.detach().flip(0), temperature=1e-3
    )  # e^{1 / t} overflows in float32 and float64
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(leaf.grad.isfinite().all())


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100.0))
@settings(max_examples=20, deadline=None)
def test_info_nce_ignores_lengths_order_and_sides(seed, scale):
    z1, z2 = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    loss = float(info_nce(z1, z2))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    assert float(info_nce(scale * z1, z2)) == pytest.approx(loss, rel=1e-9)
    assert float(info_nce(z1[order], z2[order])) == pytest.approx(loss, rel=1e-9)
    assert float(info_nce(z2, z1)) == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize(
    ("shapes", "options", "match"),
    [
        (((3, 2), (3, 4)), {}, "one shape"),
        (((1, 2), (1, 2)), {}, "at least 2 rows"),
        (((3, 2), (3, 2)), {"temperature": 0.0}, "temperature must lie in"),
        (((3, 2), (3, 2)), {"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_info_nce_names_what_is_wrong(shapes, options, match):
    with pytest.raises(ValueError, match=match):
        info_nce(torch.ones(shapes[0]), torch.ones(shapes[1]), **options)


def test_rmse_by_hand_and_its_gradient_at_zero():
    # sqrt((1 + 4 + 4 + 0) / 4) = 1.5
    output = torch.tensor([[1.0, 2.0], [2.0, 0.0]])
    assert float(rmse_loss(output, torch.zeros(2, 2))) == pytest.approx(1.5)
    exact = torch.zeros(2, 2, requires_grad=True)
    rmse_loss(exact, torch.zeros(2, 2)).backward()
    assert torch.equal(exact.grad, torch.zeros(2, 2))


def test_rmse_refuses_what_would_broadcast():
    with pytest.raises(ValueError, match="one shape"):
        rmse_loss(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="at least one row"):
        rmse_loss(torch.zeros(0, 2), torch.zeros(0, 2))


def test_soft_cross_entropy_by_hand():
    # softmax(0, ln 3) = (1/4, 3/4); -(1/2 ln 1/4 + 1/2 ln 3/4)
    logits, posterior = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.5, 0.5]])
    expected = -(math.log(0.25) + math.log(0.75)) / 2
    assert float(soft_cross_entropy(logits, posterior)) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="one output per class"):
        soft_cross_entropy(logits, torch.ones(1, 3))
    with pytest.raises(ValueError, match="temperature must lie in"):
        soft_cross_entropy(logits, posterior, temperature=0.0)


def test_soft_cross_entropy_is_torchs_for_distributions():
    generator = torch.Generator().manual_seed(0)
    logits, posterior = (
        torch.randn(7, 4, generator=generator),
        torch.rand(7, 4, generator=generator).softmax(1),
    )
    expected = torch.nn.functional.cross_entropy(logits / 2, posterior)
    torch.testing.assert_close(soft_cross_entropy(logits, posterior, temperature=2.0), expected)


def test_mask_takes_whole_columns_at_the_given_rate():
    x = torch.ones(3, 4000)
    masked = feature_column_mask(x, 0.3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(masked[0], masked[1])
    assert set(masked.unique().tolist()) == {0.0, 1.0}  # not rescaled
    assert abs(float(masked[0].mean()) - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5  # four standard errors
    assert torch.equal(x, torch.ones(3, 4000))
    assert torch.equal(feature_column_mask(x, 1.0, generator=torch.Generator().manual_seed(0)), x)


def test_mask_of_sparse_features_is_that_of_dense_ones():
    x = torch.arange(1.0, 13.0).reshape(3, 4)
    rows = csr_matrix(torch.arange(0, 13, 4), torch.arange(12) % 4, x.flatten(), (3, 4))
    dense, sparse = (
        feature_column_mask(value, 0.5, generator=torch.Generator().manual_seed(2)) for value in (x, rows)
    )
    assert torch.equal(dense, sparse.to_dense())
    assert 0 < int((dense.sum(0) == 0).sum()) < 4


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.5, float("nan")])
def test_mask_refuses_other_probabilities(keep):
    with pytest.raises(ValueError, match="keep_prob must lie in"):
        feature_column_mask(torch.ones(2, 2), keep, generator=torch.Generator())
    with pytest.raises(ValueError, match="shape"):
        feature_column_mask(torch.ones(2), 0.5, generator=torch.Generator())


def test_edge_drop_keeps_loops_and_the_rate():
    n = 3000
    edges = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    view = EdgeDrop(0.2)(edges, n, 0, 10, generator=torch.Generator().manual_seed(0))
    loops = view.edge_index[0] == view.edge_index[1]
    assert int(loops.sum()) == n
    left = float((~loops).sum()) / (2 * n)
    assert abs(left - 0.8) < 4 * (0.2 * 0.8 / (2 * n)) ** 0.5  # four standard errors
    assert bool((view.edge_weight == 1).all())


def test_edge_drop_holds_its_view_until_the_next_draw():
    edges = torch.stack([torch.arange(200), (torch.arange(200) + 1) % 200])
    drop, generator = EdgeDrop(0.5, refresh=3), torch.Generator().manual_seed(0)
    views = [drop(edges, 200, epoch, 6, generator=generator) for epoch in range(6)]
    assert views[0] is views[1] is views[2]
    assert views[3] is views[5]
    assert views[0].edge_index.shape != views[3].edge_index.shape
    assert drop(edges, 200, 0, 6, generator=generator) is not views[0]  # another training
    with pytest.raises(ValueError, match="refresh must be at least 1"):
        EdgeDrop(refresh=0)


def test_drop_edges_at_both_ends_of_the_rate():
    edges, weight = torch.tensor([[0, 1, 1], [1, 0, 1]]), torch.tensor([1.0, 2.0, 3.0])
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(drop_edges(edges, weight, rate=0.0, generator=generator).edge_weight, weight)
    assert drop_edges(edges, weight, rate=1.0, generator=generator).edge_weight.tolist() == [3.0]
    with pytest.raises(ValueError, match="rate must lie in"):
        drop_edges(edges, weight, rate=1.1, generator=generator)
    with pytest.raises(ValueError, match="one value per edge"):
        drop_edges(edges, weight[:2], rate=0.1, generator=generator)


def test_epochs_out_of_range_and_weights_that_are_none():
    lone = torch.empty(2, 0, dtype=torch.long)
    with pytest.raises(ValueError, match="below epochs"):
        EdgeDrop()(lone, 3, 10, 10, generator=torch.Generator())
    with pytest.raises(ValueError, match="loop must lie in"):
        LoopEmphasis(loop=0.0)
    view = LoopEmphasis(1.5, 0.5, 0.0)(torch.tensor([[0], [1]]), 3, 0, 1, generator=torch.Generator())
    assert view.edge_weight.tolist() == [1.5, 0.5, 0.5, 1.5, 1.5]
