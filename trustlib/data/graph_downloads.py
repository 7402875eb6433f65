"""Graphs that torch_geometric and ogb download: brought once, converted to plain arrays, then like any other file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trustlib.data.geometric import import_geometric
from trustlib.data.graph_archives import read_archive, write_archive
from trustlib.data.graphs import Graph

_SPARSE_BELOW = 0.1  # share of entries that are not zero


def by_geometric(kind: str, name: str) -> Callable[[Path], bytes]:
    """What brings a data set of torch_geometric that is published as an archive of arrays.

    The values are those of the archive: torch_geometric itself sets every positive feature to 1.

    Args:
        kind: a class of ``torch_geometric.datasets``: CitationFull, Coauthor or Amazon.
        name: of the data set there.

    Returns:
        A function from an empty folder to the bytes of our archive.
    """

    def bring(folder: Path) -> bytes:
        dataset = _downloaded(kind, name, folder)
        return _archived(Graph(*read_archive(dataset.raw_paths[0])))

    return bring


def by_planetoid(name: str) -> Callable[[Path], bytes]:
    """What brings Cora, CiteSeer or PubMed as torch_geometric's Planetoid reads them; its files hold pickled objects.

    Returns:
        A function from an empty folder to the bytes of our archive.
    """

    def bring(folder: Path) -> bytes:
        return _archived(Graph.from_data(_downloaded("Planetoid", name, folder)[0]))

    return bring


def by_ogb(name: str) -> Callable[[Path], bytes]:
    """What brings a node data set of the Open Graph Benchmark. ogb asks before it downloads more than a gigabyte.

    Returns:
        A function from an empty folder to the bytes of our archive; it raises ModuleNotFoundError without ogb.
    """

    def bring(folder: Path) -> bytes:
        try:
            from ogb.nodeproppred import NodePropPredDataset
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("ogb"):
                raise
            raise ModuleNotFoundError(
                f"{name} needs the package ogb, which is not installed. Run: pip install ogb", name="ogb"
            ) from error
        try:
            graph, labels = NodePropPredDataset(name=name, root=str(folder))[0]
        except (EOFError, SystemExit) as error:
            raise OSError(f"ogb asked whether to download {name}, and the answer was not yes.") from error
        return _archived(Graph(graph["edge_index"], graph["node_feat"], np.asarray(labels).reshape(-1)))

    return bring


def _downloaded(kind: str, name: str, folder: Path) -> Any:
    """A data set of torch_geometric in a folder of its own, without its messages."""
    import_geometric()
    from torch_geometric import datasets

    with contextlib.redirect_stderr(io.StringIO()):
        return getattr(datasets, kind)(root=str(folder), name=name)


def _archived(graph: Graph) -> bytes:
    """Our archive, with sparse features where most are zero."""
    import scipy.sparse

    features = graph.features
    if isinstance(features, np.ndarray) and np.count_nonzero(features) < _SPARSE_BELOW * features.size:
        features = scipy.sparse.csr_matrix(features)
    return write_archive(graph.edge_index, features, graph.y)
