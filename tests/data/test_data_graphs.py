"""Graphs by name, from archives and arrays: one form, checked contents, and the generator's promises."""

from __future__ import annotations

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from trustlib import data
from trustlib.data import FileSpec, Graph, block_graphs, load_graph
from trustlib.data.graph_archives import read_archive, write_archive

PATH = np.array([[0, 1], [1, 2]])


@pytest.fixture
def small(fresh, monkeypatch):
    """A registered graph ``small`` of three nodes on a path, in a file."""
    monkeypatch.setenv("TRUSTLIB_DATA", str(fresh))
    (fresh / "small.npz").write_bytes(write_archive(PATH, np.eye(3), [0, 1, 1]))
    data.register(replace(data.dataset("acm"), name="small", files=(FileSpec("small.npz", None),)))
    return fresh / "small.npz"


def test_edges_become_undirected_sorted_and_free_of_loops_and_repetitions():
    graph = Graph([[2, 0, 0, 1, 1], [0, 0, 2, 2, 2]], np.ones((4, 1)), [0, 1, 0, 1])
    # between 0-2 (given twice) and 1-2 (given twice); the loop 0-0 is dropped; node 3 is alone
    assert graph.edge_index.tolist() == [[0, 1, 2, 2], [2, 2, 0, 1]]
    assert graph.num_edges == 2
    assert graph.degree.tolist() == [1, 1, 2, 0]
    assert graph.homophily == 0.5  # 0-2 joins class 0 with 0, 1-2 joins 1 with 0


@given(st.data())
def test_graph_and_fingerprint_do_not_depend_on_order_or_direction_of_edges(draw):
    n = draw.draw(st.integers(2, 8))
    pairs = draw.draw(
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=20)
    )
    shuffled = [
        pair[::-1] if draw.draw(st.booleans()) else pair for pair in draw.draw(st.permutations(pairs))
    ]
    features, y = np.eye(n), np.arange(n) % 2
    one, other = (Graph(np.array(p).T, features, y) for p in (pairs, shuffled))
    assert np.array_equal(one.edge_index, other.edge_index)
    assert one.sha256 == other.sha256
    # oracle: the set of unordered pairs of different nodes
    assert one.num_edges == len({frozenset(pair) for pair in pairs if pair[0] != pair[1]})


def test_fingerprint_sees_edges_features_and_classes():
    base = Graph(PATH, np.eye(3), [0, 1, 1])
    others = [
        Graph(PATH[:, :1], np.eye(3), [0, 1, 1]),
        Graph(PATH, 2 * np.eye(3), [0, 1, 1]),
        Graph(PATH, np.eye(3), [0, 1, 0]),
    ]
    assert len({base.sha256, *(graph.sha256 for graph in others)}) == 4
    assert Graph(PATH, np.eye(3), [0, 1, 1], name="other").sha256 == base.sha256


@pytest.mark.parametrize("sparse", [False, True])
def test_data_is_what_torch_geometric_takes(sparse):
    graph = Graph(PATH, scipy.sparse.csr_matrix(np.diag([1.0, 2.0, 3.0])), [0, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = graph.to_data(sparse=sparse)
        made.validate()
    dense = made.x.to_dense() if sparse else made.x
    assert dense.tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 3]]
    assert made.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert (made.num_nodes, made.num_features) == (3, 3)
    assert not made.is_directed()
    back = Graph.from_data(made)
    assert back.edge_index.tolist() == graph.edge_index.tolist()
    assert np.array_equal(np.asarray(dense), back.features.toarray() if sparse else back.features)


def test_large_features_of_few_entries_stay_sparse_and_others_do_not():
    wide = scipy.sparse.csr_matrix(([1.0], ([0], [0])), shape=(3, 8_000_000))
    assert str(Graph(PATH, wide, [0, 1, 1]).data.x.layout) == "torch.sparse_csr"
    assert str(Graph(PATH, scipy.sparse.csr_matrix(np.eye(3)), [0, 1, 1]).data.x.layout) == "torch.strided"


def test_data_is_made_once_and_does_not_share_memory():
    graph = Graph(PATH, np.eye(3), [0, 1, 1])
    assert graph.data is graph.data
    graph.to_data().x.zero_()
    assert graph.features.sum() == 3


def test_arrays_that_come_in_are_not_changed():
    edges, features, y = (
        PATH.copy(),
        scipy.sparse.csr_matrix(([1.0, 1.0], ([0, 0], [1, 1])), shape=(3, 2)),
        np.zeros(3),
    )
    kept = features.copy()
    graph = Graph(edges, features, y)
    assert graph.features[0, 1] == 2.0  # entries given twice are added
    assert features.nnz == kept.nnz
    assert y.dtype == np.float64


@pytest.mark.parametrize(
    ("edges", "features", "y", "error", "message"),
    [
        ([[0, 3], [1, 0]], np.eye(3), [0, 1, 1], ValueError, "names the nodes 0 to 3.*ids go from 0 to 2"),
        ([[0, -1], [1, 0]], np.eye(3), [0, 1, 1], ValueError, "names the nodes -1 to 1"),
        ([[0, 1], [1, 2], [2, 0]], np.eye(3), [0, 1, 1], ValueError, r"shape \(2, E\), got \(3, 2\)"),
        ([[0.0, 1.0], [1.0, 2.0]], np.eye(3), [0, 1, 1], TypeError, "must be integers, got float64"),
        (PATH, np.full((3, 2), np.nan), [0, 1, 1], ValueError, "6 NaN or infinite values"),
        (PATH, scipy.sparse.csr_matrix([[np.inf], [0], [0]]), [0, 1, 1], ValueError, "1 NaN or infinite"),
        (PATH, np.ones(3), [0, 1, 1], ValueError, r"shape \(N, d\)"),
        (PATH, np.array([["a"]] * 3), [0, 1, 1], ValueError, "must be numbers"),
        (PATH, np.eye(3), [0, 1], ValueError, r"one class for each of the 3 nodes, got shape \(2,\)"),
        (PATH, np.eye(3), [0, -1, 1], ValueError, "holds -1"),
        (PATH, np.eye(3), [0, 0.5, 1], TypeError, "whole numbers"),
    ],
)
def test_contents_that_make_no_graph_are_refused(edges, features, y, error, message):
    with pytest.raises(error, match=message):
        Graph(edges, features, y)


def test_homophily_needs_edges():
    lonely = Graph(np.empty((2, 0)), np.eye(2), [0, 1])
    assert lonely.num_edges == 0
    with pytest.raises(ValueError, match="has no edges"):
        _ = lonely.homophily


def test_from_data_names_what_is_missing():
    with pytest.raises(TypeError, match="lacks x and y"):
        Graph.from_data(SimpleNamespace(edge_index=PATH))


def test_graph_from_a_registered_file(small):
    graph = load_graph("small")
    assert (graph.num_nodes, graph.num_edges, graph.name) == (3, 2, "small")
    assert graph.card.spec.name == "small"
    assert data.used() == [("small", data.known_sha256("small"))]


def test_graph_from_a_path_and_from_the_published_layout(tmp_path):
    adjacency = scipy.sparse.csr_matrix(([1.0, 1.0], PATH), shape=(3, 3))
    features = scipy.sparse.csr_matrix(np.diag([0.5, 1.5, 2.5]))
    parts = {
        f"{stem}_{end}": getattr(matrix, end)
        for stem, matrix in (("adj", adjacency), ("attr", features))
        for end in ("data", "indices", "indptr", "shape")
    }
    np.savez(tmp_path / "published.npz", labels=np.array([0, 1, 1]), **parts)
    published = load_graph(tmp_path / "published.npz")
    (tmp_path / "ours.npz").write_bytes(write_archive(PATH, features, [0, 1, 1]))
    ours = load_graph(tmp_path / "ours.npz")
    assert published.sha256 == ours.sha256
    assert ours.name == "ours"
    assert ours.features.toarray().diagonal().tolist() == [0.5, 1.5, 2.5]


def test_archive_bytes_depend_on_the_graph_only_and_come_back(tmp_path):
    rows = scipy.sparse.random(5, 4, density=0.5, random_state=0, format="csr")
    content = write_archive(PATH, rows, np.zeros(5, int))
    assert content == write_archive(PATH, rows.tocoo(), np.zeros(5, int))
    (tmp_path / "a.npz").write_bytes(content)
    edges, features, y = read_archive(tmp_path / "a.npz")
    assert edges.tolist() == PATH.tolist()
    assert np.array_equal(features.toarray(), rows.toarray().astype(np.float32))
    assert y.tolist() == [0] * 5


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("no archive"), "is no NumPy archive"),
        (lambda path: np.savez(path, y=np.zeros(3)), r"no archive of a graph: it holds \['y'\]"),
        (
            lambda path: np.savez(path, edge_index=PATH, x_data=np.ones(1), y=np.zeros(3)),
            "lacks x_indices, x_indptr",
        ),
        (
            lambda path: np.savez(path, edge_index=PATH, x=np.array([{}, {}, {}], object), y=np.zeros(3)),
            "pickled objects, which can run code",
        ),
        (
            lambda path: np.savez(path, edge_index=np.array([[1], [1]]), x=np.eye(3), y=np.zeros(3)),
            "no edges between different nodes",
        ),
    ],
)
def test_files_that_hold_no_graph_are_refused(tmp_path, write, message):
    write(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match=message):
        load_graph(tmp_path / "bad.npz")


def test_a_single_array_and_an_absent_file_are_refused(tmp_path):
    np.save(tmp_path / "one.npy", PATH)
    with pytest.raises(ValueError, match="holds a single array"):
        load_graph(tmp_path / "one.npy")
    with pytest.raises(FileNotFoundError):
        load_graph(tmp_path / "absent.npz")


def test_names_of_other_kinds_and_draws_of_files_are_refused(small):
    with pytest.raises(ValueError, match=r"'diabetes' holds table\. Graphs: acm, amazon_computers"):
        load_graph("diabetes")
    with pytest.raises(data.UnknownDatasetError, match="no data set 'coral'"):
        load_graph("coral")
    with pytest.raises(ValueError, match=r"small comes whole from a file, got n=2, seed=None"):
        load_graph("small", n=2)


@pytest.mark.parametrize("n", [300, 1200, 4000])
def test_generated_graph_is_simple_undirected_and_repeatable(n):
    graph, again = load_graph("citations_like", n=n, seed=2), load_graph("citations_like", n=n, seed=2)
    assert graph.sha256 == again.sha256
    assert graph.sha256 != load_graph("citations_like", n=n, seed=3).sha256
    edges, words, classes = block_graphs.block_graph(n, seed=2)
    assert np.array_equal(edges, graph.edge_index)  # nothing was left to clean
    assert set(np.unique(words.data)) == {1.0}
    assert set(classes) == set(range(6))
    assert data.known_sha256("citations_like") == block_graphs.reference_fingerprint()


def test_generated_graph_has_the_documented_proportions():
    n = 20_000
    graph = load_graph("citations_like", n=n, seed=0)
    shares = np.bincount(graph.y) / n
    assert np.abs(shares - block_graphs.SHARES).max() < 4 * np.sqrt(0.26 * 0.74 / n)
    # 3 n edges of which few are loops or repeated
    assert 0.96 * 3 * n < graph.num_edges <= 3 * n
    # An edge joins two nodes of a class with probability .8 + .2 sum_c s_c^2, where s_c is a class's share of all
    # propensities, .19 for the shares of the classes: .838. Its standard error over 60 000 edges is .0015; that of
    # the heavy-tailed propensities moves the sum by less than .01, times .2.
    assert abs(graph.homophily - 0.838) < 4 * 0.0015 + 0.002
    length = np.diff(graph.features.indptr)
    assert 13 < length.mean() < 16  # 16 words on average, some of them twice
    assert graph.degree.max() > 20 * np.median(graph.degree) / 2  # hubs


def test_texts_of_a_class_prefer_its_words_and_shuffled_classes_do_not():
    graph = load_graph("citations_like", n=3000, seed=1)
    texts = graph.features.toarray()
    grand = texts.mean(axis=0)

    def separation(classes):
        return sum(((texts[classes == c].mean(axis=0) - grand) ** 2).sum() for c in range(6))

    shuffled = np.random.default_rng(0).permutation(graph.y)
    assert separation(graph.y) > 10 * separation(shuffled)


@pytest.mark.parametrize("n", [299, 100_001])
def test_generated_sizes_are_limited(n):
    with pytest.raises(ValueError, match=r"n must be at (least 300|most 100000)"):
        load_graph("citations_like", n=n)


def test_generated_graph_refuses_what_is_no_number():
    with pytest.raises(TypeError, match="n must be a whole number"):
        load_graph("citations_like", n=400.5)
    with pytest.raises(ValueError, match="seed must be at least 0"):
        load_graph("citations_like", seed=-1)


def test_card_of_the_generated_graph_shows_it():
    text = data.card("citations_like").to_markdown()
    assert "data:image/png;base64," in text
    assert "Null baselines" in text
    from trustlib.data.graph_pictures import null_accuracies

    constant, words, neighbours = null_accuracies()
    assert 0.2 < constant < 0.35 < words < 0.85
    assert constant < neighbours < 0.95


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "nodes", "edges", "features", "classes"),
    [
        ("acm", 3025, 13_128, 1870, 3),
        ("citeseer", 4230, 5337, 602, 6),
        ("cora", 2708, 5278, 1433, 7),
        ("amazon_photo", 7650, 119_081, 745, 8),
        ("dblp", 17_716, 52_867, 1639, 4),
        ("coauthor_physics", 34_493, 247_962, 8415, 5),
    ],
)
def test_real_graphs_have_the_known_sizes(real_data, name, nodes, edges, features, classes):
    graph = load_graph(name)
    assert (graph.num_nodes, graph.num_edges, graph.num_features, graph.num_classes) == (
        nodes,
        edges,
        features,
        classes,
    )
    assert graph.homophily > 0.8
