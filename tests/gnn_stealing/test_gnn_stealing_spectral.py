"""Spectral weights against the dense algorithm in double and extended precision, on easy, extreme and real graphs."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trustlib.gnn_stealing import SpectralReweighting, spco_edge_weight
from trustlib.gnn_stealing.edges import LoopedGraph, undirected
from trustlib.gnn_stealing.sinkhorn import log_product, sinkhorn

LONG = np.longdouble
needs_long = pytest.mark.skipif(np.finfo(LONG).eps > 1e-18, reason="this machine has no extended precision")


def dense_spco(adjacency, scales=(1.0,), strength=0.1, epsilon=0.1, iterations=3, kind=np.float64):
    """The published algorithm on N x N matrices, without its transposed normalisation."""
    looped = (adjacency + np.eye(len(adjacency))).astype(kind)
    degree = looped.sum(1)
    laplacian = np.eye(len(adjacency), dtype=kind) - looped / np.sqrt(degree[:, None] * degree[None])
    a = degree / degree.sum()

    def scaled(kernel):
        u = np.ones(len(a), dtype=kind) / len(a)
        for _ in range(iterations):
            u = a / (kernel @ (a / (kernel.T @ u)))
        return u[:, None] * kernel * (a / (kernel.T @ u))[None]

    plus = minus = np.full_like(laplacian, kind(0.5))
    for scale in scales:
        c = kind(scale) * laplacian
        with np.errstate(over="ignore", invalid="ignore"):
            plus = scaled(np.exp(2 * (c * plus).sum() * c / kind(epsilon)))
            minus = scaled(np.exp(-2 * (c * minus).sum() * c / kind(epsilon)))
    change = (plus - minus) * (looped > 0)
    rows = np.abs(change).sum(1)
    return looped + kind(strength) * change / np.sqrt(rows[:, None] * rows[None])


def random_adjacency(n, density, seed, lone=0):
    """Symmetric 0/1; the first ``lone`` nodes have no edges."""
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < density, 1)
    adjacency = (upper | upper.T).astype(float)
    adjacency[:lone] = adjacency[:, :lone] = 0
    return adjacency


def hubs_and_leaves(hubs, leaves):
    """Stars with joined hubs, a few leaves shared, and two lone nodes: degrees as unequal as they get."""
    n = hubs * (leaves + 1) + 2
    adjacency = np.zeros((n, n))
    for hub in range(hubs):
        first = hubs + hub * leaves
        adjacency[hub, first : first + leaves] = 1
        adjacency[hub, (hub + 1) % hubs] = 1
        adjacency[hub, (first + leaves + hub) % (n - hubs - 2) + hubs] = 1
    return np.maximum(adjacency, adjacency.T)


def largest_gap(adjacency, scales, kind):
    edges = torch.tensor(np.array(adjacency.nonzero()))
    view = spco_edge_weight(edges, len(adjacency), scales=scales)
    row, col = view.edge_index.numpy()
    return float(np.abs(dense_spco(adjacency, scales, kind=kind)[row, col] - view.edge_weight.numpy()).max())


def test_one_sinkhorn_step_by_hand():
    # K = [[2, 1], [1, 2]], a = (1/2, 1/2), u = 1/2: K^T u = 3/2, a / that = 1/3, K (1/3) = 1, so u = a / 1 = 1/2;
    # v = a / (K^T u) = 1/3. delta = u K v = [[1/3, 1/6], [1/6, 1/3]], columns sum to 1/2.
    graph = LoopedGraph.of(torch.tensor([[0], [1]]), 2)
    kernel = torch.tensor([2.0, 1.0, 1.0, 2.0], dtype=torch.float64)
    half = torch.full((2,), 0.5, dtype=torch.float64)
    alpha, beta = sinkhorn(graph, kernel.log(), half.log(), iterations=1)
    delta = half[graph.row] * alpha[graph.row].exp() * kernel * half[graph.col] * beta[graph.col].exp()
    np.testing.assert_allclose(delta, [1 / 3, 1 / 6, 1 / 6, 1 / 3], rtol=1e-15)


def test_unequal_sinkhorn_step_by_hand():
    # a path 0-1 and lone node 2, K_00 = 4 and 1 elsewhere; a = (2, 2, 1) / 5, u = 1/3.
    # K^T u = (6, 3, 3) / 3 = (2, 1, 1); w = a / that = (1/5, 2/5, 1/5); K w = (4/5 + 3/5, 4/5, 4/5) = (7, 4, 4) / 5
    # u = a / that = (2/7, 1/2, 1/4); K^T u = (8/7 + 3/4, 29/28, 29/28) = (53, 29, 29) / 28
    graph = LoopedGraph.of(torch.tensor([[0], [1]]), 3)
    kernel = torch.tensor([4.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    a = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
    alpha, beta = sinkhorn(graph, kernel.log(), a.log(), iterations=1)
    np.testing.assert_allclose(a * alpha.exp(), [2 / 7, 1 / 2, 1 / 4], rtol=1e-14)
    np.testing.assert_allclose(beta.exp(), [28 / 53, 28 / 29, 28 / 29], rtol=1e-14)


@given(n=st.integers(1, 12), seed=st.integers(0, 10**6), size=st.floats(0.0, 40.0))
@settings(max_examples=60, deadline=None)
def test_log_product_is_the_dense_product(n, seed, size):
    rng = np.random.default_rng(seed)
    adjacency = random_adjacency(n, 0.5, seed)
    graph = LoopedGraph.of(torch.tensor(np.array(adjacency.nonzero())).reshape(2, -1), n)
    log_kernel, log_x = rng.normal(size=len(graph.row)) * size, rng.normal(size=n) * size
    dense = np.zeros((n, n))
    dense[graph.row.numpy(), graph.col.numpy()] = log_kernel
    terms = dense + log_x
    expected = np.log(np.exp(terms - terms.max(1, keepdims=True)).sum(1)) + terms.max(1)
    found = log_product(graph, torch.tensor(log_kernel), torch.tensor(log_x))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-9)


def test_what_a_row_leaves_out_survives_a_neighbour_that_outweighs_everything():
    # node 0 stores node 1 with x = e^100 and K = e^-300; the two lone nodes contribute e^0 and e^1 only
    graph = LoopedGraph.of(torch.tensor([[0], [1]]), 4)
    log_kernel = torch.tensor([0.0, -300.0, -300.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    log_x = torch.tensor([-50.0, 100.0, 0.0, 1.0], dtype=torch.float64)
    found = log_product(graph, log_kernel, log_x)
    assert float(found[0]) == pytest.approx(np.log(1 + np.e), rel=1e-14)


@given(n=st.integers(1, 40), density=st.floats(0.0, 0.6), lone=st.integers(0, 5), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_first_refresh_is_the_dense_algorithm(n, density, lone, seed):
    adjacency = random_adjacency(n, density, seed, lone=min(lone, n))
    view = spco_edge_weight(torch.tensor(np.array(adjacency.nonzero())).reshape(2, -1), n)
    row, col = view.edge_index.numpy()
    root = (adjacency.sum(1) + 1) ** -0.5
    if (adjacency * (root[:, None] - root[None]) ** 2).sum() == 0:  # 0 / 0 in the dense form
        np.testing.assert_array_equal(view.edge_weight, np.ones(len(row)))
    else:
        np.testing.assert_allclose(view.edge_weight, dense_spco(adjacency)[row, col], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("density", "lone"), [(0.02, 5), (0.08, 0)])
def test_the_schedule_is_the_dense_algorithm(density, lone):
    scales = (1.0, 0.1, 0.2, 0.3, 0.4)
    assert largest_gap(random_adjacency(150, density, 0, lone), scales, np.float64) < 1e-10


@needs_long
@pytest.mark.parametrize("scales", [(1.0,), (1.0, 0.1), (1.0, 0.1, 0.2, 0.3)])
def test_weights_are_right_to_the_last_digits(scales):
    # extended precision shows that what is left of the difference is the rounding of the dense form
    assert largest_gap(random_adjacency(120, 0.03, 1, 4), scales, LONG) < 1e-14


@needs_long
def test_where_double_precision_overflows_extended_precision_agrees():
    adjacency = hubs_and_leaves(5, 90)
    assert not np.isfinite(dense_spco(adjacency)).all()
    assert largest_gap(adjacency, (1.0,), LONG) < 1e-10


@pytest.mark.parametrize(
    ("edges", "n"),
    [
        ([[], []], 5),
        ([[0, 1, 2], [1, 2, 0]], 3),
        ([[0], [0]], 1),
        ([list(range(6)), [1, 2, 3, 4, 5, 0]], 6),
        ([[0, 2], [1, 3]], 5),
    ],
)
def test_regular_graphs_keep_unit_weights(edges, n):
    # every eigenvector of the constant degree is left alone: <L, delta> = 0, so both plans are a a^T
    view = spco_edge_weight(torch.tensor(edges, dtype=torch.long), n, scales=(1.0, 0.5))
    assert torch.equal(view.edge_weight, torch.ones_like(view.edge_weight))


def test_lone_nodes_get_the_whole_strength_and_nobody_more():
    adjacency = random_adjacency(60, 0.1, 2, lone=3)
    view = spco_edge_weight(torch.tensor(np.array(adjacency.nonzero())), 60, strength=0.3)
    loops = view.edge_index[0] == view.edge_index[1]
    np.testing.assert_allclose(view.edge_weight[loops][:3], 1.3, rtol=1e-14)
    assert float((view.edge_weight - 1).abs().max()) <= 0.3 + 1e-12
    assert float(view.edge_weight[loops].mean()) > 1 > float(view.edge_weight[~loops].mean())


def test_direction_repetition_loops_and_order_do_not_matter():
    adjacency = random_adjacency(30, 0.2, 4)
    edges = torch.tensor(np.array(np.triu(adjacency).nonzero()))
    messy = torch.cat([edges.flip(0).flip(1), edges[:, :5], torch.tensor([[3, 3], [3, 3]])], dim=1)
    clean, other = spco_edge_weight(undirected(edges, 30), 30), spco_edge_weight(messy, 30)
    assert torch.equal(clean.edge_index, other.edge_index)
    assert torch.equal(clean.edge_weight, other.edge_weight)


def test_relabelled_nodes_have_relabelled_weights():
    adjacency = random_adjacency(30, 0.2, 5)
    order = np.random.default_rng(0).permutation(30)
    dense = []
    for matrix in (adjacency, adjacency[np.ix_(order, order)]):
        view = spco_edge_weight(torch.tensor(np.array(matrix.nonzero())), 30)
        full = np.zeros((30, 30))
        full[tuple(view.edge_index.numpy())] = view.edge_weight
        dense.append(full)
    np.testing.assert_allclose(dense[0][np.ix_(order, order)], dense[1], atol=1e-12)


def test_transpose_is_what_the_published_normalisation_returns():
    adjacency = random_adjacency(25, 0.2, 6)
    edges = torch.tensor(np.array(adjacency.nonzero()))
    plain, turned = (spco_edge_weight(edges, 25, transpose=flag) for flag in (False, True))
    a, b = np.zeros((25, 25)), np.zeros((25, 25))
    a[tuple(plain.edge_index.numpy())] = plain.edge_weight
    b[tuple(turned.edge_index.numpy())] = turned.edge_weight
    np.testing.assert_array_equal(a.T, b)
    assert not np.allclose(a, a.T)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"strength": 0.0}, "strength must lie in"),
        ({"epsilon": -1.0}, "epsilon must lie in"),
        ({"epsilon": float("nan")}, "epsilon must lie in"),
        ({"sinkhorn_iters": 0}, "sinkhorn_iters must be at least 1"),
        ({"scales": ()}, "scales must hold at least one"),
        ({"scales": (1.0, float("inf"))}, "scale must lie in"),
    ],
)
def test_bad_numbers_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        spco_edge_weight(torch.tensor([[0], [1]]), 2, **options)


def test_bad_edges_are_named():
    with pytest.raises(ValueError, match="there are 2"):
        spco_edge_weight(torch.tensor([[0], [2]]), 2)
    with pytest.raises(ValueError, match="shape \\(2, E\\)"):
        spco_edge_weight(torch.zeros(3, 4, dtype=torch.long), 5)
    with pytest.raises(TypeError, match="integers"):
        spco_edge_weight(torch.zeros(2, 4), 5)
    with pytest.raises(ValueError, match="num_nodes must be at least 1"):
        spco_edge_weight(torch.empty(2, 0, dtype=torch.long), 0)


def test_the_augmentation_holds_a_view_until_the_next_refresh():
    edges = torch.tensor(np.array(random_adjacency(40, 0.1, 7).nonzero()))
    augment = SpectralReweighting(refresh=5, edge_drop=0.0)
    generator = torch.Generator().manual_seed(0)
    views = [augment(edges, 40, epoch, 20, generator=generator) for epoch in range(12)]
    assert views[4].edge_weight is views[0].edge_weight
    for number, epoch in enumerate((0, 5, 10)):
        expected = spco_edge_weight(edges, 40, scales=(1.0, 5 / 20, 10 / 20)[: number + 1])
        np.testing.assert_allclose(views[epoch].edge_weight, expected.edge_weight, atol=1e-6)  # float32
    late = SpectralReweighting(refresh=5, edge_drop=0.0)(edges, 40, 11, 20, generator=generator)
    assert torch.equal(late.edge_weight, views[11].edge_weight)  # called out of order
    again = augment(edges, 40, 0, 20, generator=generator)
    assert torch.equal(again.edge_weight, views[0].edge_weight)


def test_the_augmentation_notices_another_graph_and_a_changed_one():
    first = torch.tensor([[0, 1, 2], [1, 2, 3]])
    augment = SpectralReweighting(edge_drop=0.0)
    generator = torch.Generator().manual_seed(0)
    before = augment(first, 4, 0, 10, generator=generator)
    other = augment(torch.tensor([[0, 0, 0], [1, 2, 3]]), 4, 1, 10, generator=generator)
    assert not torch.equal(before.edge_index, other.edge_index)
    assert torch.equal(augment(first, 4, 1, 10, generator=generator).edge_index, before.edge_index)
    first[1, 2] = 0
    assert augment(first, 4, 1, 10, generator=generator).edge_index.shape[1] == 4 + 2 * 3
    assert not torch.equal(augment(first, 4, 1, 10, generator=generator).edge_index, before.edge_index)


def test_random_signs_keep_sizes_and_lose_signs():
    edges = torch.tensor(np.array(random_adjacency(60, 0.1, 8).nonzero()))
    generator = torch.Generator().manual_seed(0)
    spectral, signs = (
        SpectralReweighting(edge_drop=0.0, signs=kind)(edges, 60, 0, 10, generator=generator)
        for kind in ("spectral", "random")
    )
    np.testing.assert_allclose(
        (signs.edge_weight - 1).abs(), (spectral.edge_weight - 1).abs(), rtol=0, atol=2e-7
    )
    turned = (signs.edge_weight - 1).sign() != (spectral.edge_weight - 1).sign()
    n = len(turned)
    assert abs(float(turned.double().mean()) - 0.5) < 4 * 0.5 / n**0.5  # four standard errors


@pytest.mark.realdata
@pytest.mark.skipif(
    not os.environ.get("TRUSTLIB_DATA"), reason="set TRUSTLIB_DATA to a folder with the real graphs"
)
@pytest.mark.parametrize("name", ["acm", "amazon_photo", "citeseer", "coauthor_physics", "cora", "dblp"])
def test_weights_are_finite_on_real_query_graphs(name):
    from trustlib.data import load_graph
    from trustlib.gnn_stealing import inductive_split

    graph = load_graph(name)
    query = inductive_split(graph, seed=0).query
    for edges, n in (
        (query.edge_index, query.x.shape[0]),
        (torch.as_tensor(graph.edge_index), graph.num_nodes),
    ):
        view = spco_edge_weight(edges, n, scales=(1.0, 0.1, 0.5))
        assert bool(view.edge_weight.isfinite().all())
        assert float((view.edge_weight - 1).abs().max()) <= 0.1 + 1e-12
