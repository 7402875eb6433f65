"""Graphs by name: generated, archives of the registry, downloads through torch_geometric, or a file of your own."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.data.access import local_file, log_use
from trustlib.data.block_graphs import NODES, block_graph
from trustlib.data.checks import whole
from trustlib.data.graph_archives import read_archive
from trustlib.data.graph_arrays import (
    as_array,
    as_rows,
    clean_features,
    clean_labels,
    sparse_tensor,
    stored,
    undirected,
)
from trustlib.data.registry import available, dataset

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from trustlib.data.cards import DataCard

_DENSE_BELOW = 20_000_000  # numbers; above it, features with few non-zero entries stay sparse
_SPARSE_BELOW = 0.05  # share of entries that are not zero


@dataclass(frozen=True, eq=False)
class Graph:
    """An undirected graph with features and classes of nodes. Build one from your own arrays to use it everywhere.

    Edges are made undirected, loops and repeated edges are dropped, and the rest is sorted: the same graph has the same
    arrays and the same fingerprint in whatever order its edges came.

    Args:
        edge_index: integer (2, E), ids from 0 to N - 1; one direction or both. Kept as int64, both directions.
        features: (N, d), an array or a scipy sparse matrix; kept as float32, sparse ones as CSR.
        y: classes, integer (N,), >= 0. Kept as int64.
        name: of the data set, or any word for a graph of your own.

    Raises:
        ValueError: edges that are not (2, E) or name nodes that are not there, features that are not (N, d) or hold NaN
            or infinite values, classes that are not one number >= 0 per node.
        TypeError: edges or classes that are not integers.

    Example:
        >>> triangle = Graph([[0, 1, 2], [1, 2, 0]], np.eye(3), [0, 1, 1])
        >>> triangle.num_nodes, triangle.num_edges, triangle.num_classes
        (3, 3, 2)
        >>> triangle.data
        Data(x=[3, 3], edge_index=[2, 6], y=[3])
    """

    edge_index: NDArray[np.int64] = field(repr=False)
    features: Any = field(repr=False)
    y: NDArray[np.int64] = field(repr=False)
    name: str = "graph"

    def __post_init__(self) -> None:
        features = clean_features(self.features, self.name)
        n = features.shape[0]
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "edge_index", undirected(self.edge_index, n, self.name))
        object.__setattr__(self, "y", clean_labels(self.y, n, self.name))

    @classmethod
    def from_data(cls, data: Any, *, name: str = "graph") -> Graph:
        """A graph from torch_geometric's Data, or anything with tensors x, edge_index and y.

        Raises:
            TypeError: a field is missing.
            ValueError: as for arrays.
        """
        missing = [key for key in ("x", "edge_index", "y") if getattr(data, key, None) is None]
        if missing:
            raise TypeError(f"data lacks {' and '.join(missing)}; a Graph needs x, edge_index and y.")
        return cls(data.edge_index.cpu().numpy(), as_rows(data.x), data.y.cpu().numpy(), name)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.y)

    @property
    def num_edges(self) -> int:
        """Undirected edges, each counted once."""
        return self.edge_index.shape[1] // 2

    @property
    def num_features(self) -> int:
        """d."""
        return int(self.features.shape[1])

    @property
    def num_classes(self) -> int:
        """Largest class plus one."""
        return int(self.y.max()) + 1

    @property
    def degree(self) -> NDArray[np.int64]:
        """Neighbours of every node, (N,)."""
        return np.bincount(self.edge_index[0], minlength=self.num_nodes)

    @property
    def homophily(self) -> float:
        """Share of edges that join nodes of one class, in [0, 1].

        Raises:
            ValueError: there are no edges.
        """
        if self.num_edges == 0:
            raise ValueError(f"{self.name} has no edges, so no share of them joins nodes of one class.")
        return float((self.y[self.edge_index[0]] == self.y[self.edge_index[1]]).mean())

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of edges, features and labels: equal for equal graphs, wherever they came from."""
        digest = hashlib.sha256()
        features = self.features
        parts = (
            [features]
            if isinstance(features, np.ndarray)
            else [features.data, features.indices, features.indptr]
        )
        for array in (self.edge_index, *parts, self.y):
            plain = np.ascontiguousarray(array, dtype=array.dtype if array.dtype.kind == "f" else np.int64)
            digest.update(f"{plain.dtype.str}{plain.shape}".encode())
            digest.update(plain.data)
        return digest.hexdigest()

    @functools.cached_property
    def data(self) -> Data:
        """torch_geometric's Data with x, edge_index and y; made once, so copy it before changing it.

        x is dense unless it would hold more than 20 million numbers of which less than 5 % are not zero; see
        `to_data`.

        Raises:
            ModuleNotFoundError: torch_geometric is not installed.
        """
        return self.to_data()

    def to_data(self, *, sparse: bool | None = None) -> Data:
        """torch_geometric's Data with tensors of its own.

        Args:
            sparse: features as a CSR tensor, or dense; None: as described for `data`.

        Raises:
            ModuleNotFoundError: torch_geometric is not installed.
        """
        from trustlib.data.geometric import import_geometric

        import_geometric()
        import torch
        from torch_geometric.data import Data

        if sparse is None:
            size = self.num_nodes * self.num_features
            sparse = size > _DENSE_BELOW and stored(self.features) < _SPARSE_BELOW * size
        return Data(
            x=sparse_tensor(self.features) if sparse else torch.from_numpy(as_array(self.features)),
            edge_index=torch.from_numpy(self.edge_index.copy()),
            y=torch.from_numpy(self.y.copy()),
        )

    @property
    def card(self) -> DataCard:
        """The data card of a registered graph.

        Raises:
            UnknownDatasetError: the graph is your own.
        """
        from trustlib.data.cards import card

        return card(self.name)


def load_graph(
    name: str | Path,
    *,
    n: int | None = None,
    seed: int | None = None,
    progress: bool | None = None,
) -> Graph:
    """A graph by name, verified against its SHA-256, or from a NumPy archive of your own.

    Args:
        name: one of ``available("graph")``, or a `Path` of an ``.npz`` archive: ``edge_index`` (2, E), ``y`` (N,), and
            features ``x`` (N, d) or the arrays ``x_data``, ``x_indices``, ``x_indptr``, ``x_shape`` of a CSR matrix.
            Archives with pickled objects are refused.
        n: nodes of a generated graph, 300 to 100 000 (None: 1 200). Graphs from files are always whole: draw nodes
            with the split.
        seed: of a generated graph (None: 0).
        progress: of a download, as in `fetch`.

    Returns:
        The graph, undirected and without loops.

    Raises:
        UnknownDatasetError: no such name.
        ValueError: not a graph, ``n`` or ``seed`` for a graph from a file, a file that is no archive of a graph, or
            contents that `Graph` refuses; a graph without edges.
        FileNotFoundError: no such file.
        DataNotFoundError, ChecksumError: a registered file is absent, or altered.

    Example:
        >>> graph = load_graph("citations_like", n=300, seed=1)
        >>> graph.num_nodes, graph.num_classes
        (300, 6)
    """
    if isinstance(name, Path):
        _refuse_draw(str(name), n, seed)
        return _with_edges(Graph(*read_archive(name), name=name.stem))
    spec = dataset(name)
    if spec.kind != "graph":
        raise ValueError(f"{name!r} holds {spec.kind}. Graphs: {', '.join(available('graph'))}.")
    if spec.embedded is not None:
        graph = block_graph(
            NODES if n is None else whole("n", n, least=1),
            seed=0 if seed is None else whole("seed", seed, least=0),
        )
        log_use(name)
        return Graph(*graph, name=name)
    _refuse_draw(name, n, seed)
    return _with_edges(Graph(*read_archive(local_file(name, progress=progress)), name=name))


def _refuse_draw(name: str, n: int | None, seed: int | None) -> None:
    """Size and seed are for generated graphs."""
    if n is not None or seed is not None:
        raise ValueError(
            f"{name} comes whole from a file, got n={n}, seed={seed}. Leave both out; which nodes are used is for the "
            "split to say."
        )


def _with_edges(graph: Graph) -> Graph:
    """A graph that has edges, or an error."""
    if graph.num_edges == 0:
        raise ValueError(
            f"{graph.name} has no edges between different nodes: it is a table. Check edge_index."
        )
    return graph
