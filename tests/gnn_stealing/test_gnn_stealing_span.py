"""Edge flips by the Frobenius identity, and spectra of views, against eigenvalues and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trustlib.gnn_stealing import (
    SpectralFlipping,
    spco_edge_weight,
    spectral_change,
    spectral_flip,
    spectral_norm,
)
from trustlib.gnn_stealing.edges import undirected
from trustlib.gnn_stealing.span import _norm_and_gradient, _project


def random_edges(n, count, seed):
    return torch.randint(0, n, (2, count), generator=torch.Generator().manual_seed(seed))


def normalised(edges, n, weight=None):
    """D^-1/2 A~ D^-1/2 as a dense matrix."""
    matrix = np.zeros((n, n))
    row, col = undirected(edges, n).numpy()
    matrix[row, col] = 1.0
    np.fill_diagonal(matrix, 1.0)
    degree = matrix.sum(1)
    return matrix / np.sqrt(degree[:, None] * degree[None])


@given(n=st.integers(1, 15), count=st.integers(0, 40), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_spectral_norm_is_the_norm_of_the_eigenvalues(n, count, seed):
    edges = random_edges(n, count, seed)
    expected = np.linalg.norm(np.linalg.eigvalsh(normalised(edges, n)))
    assert spectral_norm(edges, n) == pytest.approx(expected, rel=1e-10)
    assert 1 - 1e-12 <= expected <= n**0.5 + 1e-12


def test_spectral_norm_by_hand():
    # a path of three: degrees 2, 3, 2 with loops; 2 / 4 + 1 / 9 + 4 / 6 = 23 / 18
    assert spectral_norm(torch.tensor([[0, 1], [1, 2]]), 3) == pytest.approx((23 / 18) ** 0.5)


def test_gradient_against_finite_differences():
    n = 7
    pairs = torch.triu_indices(n, n, offset=1)
    weight = torch.rand(pairs.shape[1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def norm(w):
        matrix = np.eye(n)
        matrix[tuple(pairs.numpy())] = w
        matrix = np.maximum(matrix, matrix.T)
        degree = matrix.sum(1)
        return np.linalg.norm(np.linalg.eigvalsh(matrix / np.sqrt(degree[:, None] * degree[None])))

    value, gradient = _norm_and_gradient(pairs, weight, n)
    assert value == pytest.approx(norm(weight.numpy()), rel=1e-12)
    for place in range(len(weight)):
        step = np.zeros(len(weight))
        step[place] = 1e-6
        slope = (norm(weight.numpy() + step) - norm(weight.numpy() - step)) / 2e-6
        assert float(gradient[place]) == pytest.approx(slope, abs=1e-7)


@given(seed=st.integers(0, 10**6), budget=st.floats(0.0, 10.0))
@settings(max_examples=40, deadline=None)
def test_projection_is_the_nearest_point(seed, budget):
    values = 3 * torch.randn(12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = _project(values, budget)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    assert float(found.sum()) <= budget + 1e-9
    # optimality: no step to another feasible point comes nearer, <values - found, other - found> <= 0
    generator = torch.Generator().manual_seed(seed + 1)
    for _ in range(20):
        other = torch.rand(12, generator=generator, dtype=torch.float64)
        other = other * min(1.0, budget / float(other.sum()))
        assert float((values - found) @ (other - found)) <= 1e-6


@pytest.mark.parametrize("sign", [1, -1])
def test_flips_move_the_norm_the_right_way_within_the_budget(sign):
    edges = random_edges(40, 90, 0)
    count = undirected(edges, 40).shape[1] // 2
    flip = spectral_flip(edges, 40, 0.3, sign)
    assert float(flip.probability.sum()) <= 0.3 * count + 1e-6
    assert 0 <= float(flip.probability.min()) <= float(flip.probability.max()) <= 1
    assert sign * (flip.history[-1] - flip.history[0]) > 0.05
    drawn = [
        spectral_norm(flip.sample(generator=torch.Generator().manual_seed(seed)), 40) for seed in range(20)
    ]
    assert sign * (np.mean(drawn) - spectral_norm(edges, 40)) > 0


def test_raising_the_norm_never_adds_an_edge():
    edges = random_edges(30, 60, 1)
    everything, edges_only = spectral_flip(edges, 30, 0.3), spectral_flip(edges, 30, 0.3, candidates=0)
    assert float(everything.probability[~everything.present].sum()) == 0.0
    torch.testing.assert_close(everything.probability[everything.present], edges_only.probability)


def test_drawn_flips_have_their_probabilities():
    flip = spectral_flip(random_edges(20, 30, 2), 20, 0.5, -1)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(20, 20)
    draws = 2000
    for _ in range(draws):
        row, col = flip.sample(generator=generator)
        counts[row, col] += 1
    found = (counts / draws)[flip.pairs[0], flip.pairs[1]].double()
    expected = torch.where(flip.present, 1 - flip.probability, flip.probability)
    # 190 pairs: five standard errors each
    assert bool(((found - expected).abs() <= 5 * (expected * (1 - expected) / draws).sqrt() + 1e-9).all())


def test_large_graphs_need_candidates():
    edges = random_edges(4000, 100, 3)
    with pytest.raises(ValueError, match="Pass candidates="):
        spectral_flip(edges, 4000, 0.3)
    with pytest.raises(ValueError, match="pass generator"):
        spectral_flip(edges, 4000, 0.3, -1, candidates=10)
    flip = spectral_flip(edges, 4000, 0.3, -1, candidates=500, generator=torch.Generator().manual_seed(0))
    assert flip.pairs.shape[1] <= 600
    assert len(torch.unique(flip.pairs[0] * 4000 + flip.pairs[1])) == flip.pairs.shape[1]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"budget": 0.0}, "budget must lie in"),
        ({"budget": 1.5}, "budget must lie in"),
        ({"budget": 0.3, "sign": 2}, "sign must be"),
        ({"budget": 0.3, "steps": 0}, "steps must be at least 1"),
        ({"budget": 0.3, "lr": 0.0}, "lr must lie in"),
    ],
)
def test_flips_name_bad_numbers(options, match):
    with pytest.raises(ValueError, match=match):
        spectral_flip(torch.tensor([[0, 1], [1, 2]]), 3, **options)


def test_flips_work_without_edges():
    lone = torch.empty(2, 0, dtype=torch.long)
    view = SpectralFlipping()(lone, 4, 0, 10, generator=torch.Generator().manual_seed(0))
    assert view.edge_index.tolist() == [[0, 1, 2, 3], [0, 1, 2, 3]]


def test_spectral_change_is_dense_algebra():
    n, edges, other = 20, random_edges(20, 40, 4), random_edges(20, 30, 5)
    change = spectral_change(edges, other, n)
    before, after = (np.sort(1 - np.linalg.eigvalsh(normalised(e, n))) for e in (edges, other))
    np.testing.assert_allclose(change.before, before, atol=1e-10)
    np.testing.assert_allclose(change.change, np.abs(after - before), atol=1e-10)
    assert change.low == pytest.approx(np.abs(after - before)[:10].mean())


def test_both_ends_of_the_spectrum_are_those_of_all_of_it():
    n, edges, other = 60, random_edges(60, 150, 6), random_edges(60, 150, 7)
    everything, ends = spectral_change(edges, other, n), spectral_change(edges, other, n, 5)
    np.testing.assert_allclose(ends.before, everything.before[[*range(5), *range(-5, 0)]], atol=1e-8)
    np.testing.assert_allclose(ends.after, everything.after[[*range(5), *range(-5, 0)]], atol=1e-8)
    assert ends.split == 5


def test_unit_weights_are_no_weights_and_nothing_moves():
    edges = random_edges(15, 30, 8)
    view = spco_edge_weight(edges, 15)
    change = spectral_change(edges, view.edge_index, 15, weight_b=torch.ones_like(view.edge_weight))
    assert float(change.change.max()) < 1e-12
    spectral = spectral_change(edges, view.edge_index, 15, weight_b=view.edge_weight)
    assert spectral.ratio > 1  # the rule of the method: high frequencies move more


def test_spectra_name_bad_input():
    pair = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match="Pass k="):
        spectral_change(pair, pair, 5001)
    with pytest.raises(ValueError, match="k must lie in"):
        spectral_change(pair, pair, 4, 2)
    with pytest.raises(ValueError, match="weight_b must hold one finite number"):
        spectral_change(pair, pair, 2, weight_b=torch.tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="Give every node a loop"):
        spectral_change(pair, pair, 3, weight_a=torch.ones(1))
    with pytest.raises(ValueError, match="edge_index_b"):
        spectral_change(pair, torch.tensor([[0], [7]]), 2)
