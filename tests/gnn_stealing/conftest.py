"""Small graphs, and torch_geometric imported quietly before any test module asks for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from trustlib.data import import_geometric, load_graph

import_geometric()


def random_graph(n, edges, *, d=5, classes=3, seed=0):
    """Random directed edges, loops and repetitions among them; every class occurs."""
    generator = torch.Generator().manual_seed(seed)
    return SimpleNamespace(
        x=torch.randn(n, d, generator=generator),
        edge_index=torch.randint(0, n, (2, edges), generator=generator),
        y=torch.arange(n) % classes,
    )


@pytest.fixture
def graph():
    """12 nodes, 30 directed edges."""
    return random_graph(12, 30)


@pytest.fixture(scope="session")
def citations():
    """The generated graph with 600 nodes."""
    return load_graph("citations_like", n=600, seed=0)
