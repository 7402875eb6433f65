"""Checks at the border of the room: graphs, features, edges, numbers; and randomness that leaves no trace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def is_sparse(x: Tensor) -> bool:
    """Whether features are a sparse CSR matrix."""
    return x.layout == torch.sparse_csr


def check_edges(edge_index: Any, *, num_nodes: int, name: str = "edge_index") -> Tensor:
    """Integer (2, E) with ids in [0, num_nodes), as int64; or an error that says what came."""
    if not isinstance(edge_index, Tensor):
        raise TypeError(f"{name} must be a torch tensor of shape (2, E), got {type(edge_index).__name__}.")
    if edge_index.ndim != 2 or edge_index.shape[0] != 2:
        raise ValueError(
            f"{name} must have shape (2, E): senders above, receivers below; got {tuple(edge_index.shape)}. "
            "A list of pairs has to be transposed."
        )
    if edge_index.numel() == 0:
        return edge_index.to(torch.int64)  # an empty tensor has any type
    if edge_index.dtype.is_floating_point or edge_index.dtype in (torch.bool, torch.complex64):
        raise TypeError(f"{name} must hold integers, got {edge_index.dtype}. It counts nodes from 0.")
    edges = edge_index.to(torch.int64)
    low, high = int(edges.min()), int(edges.max())
    if low < 0 or high >= num_nodes:
        raise ValueError(
            f"{name} names the nodes {low} to {high}, but there are {num_nodes}: ids go from 0 to {num_nodes - 1}. "
            "Renumber the nodes after cutting a graph."
        )
    return edges


def check_features(x: Any, *, name: str = "x") -> Tensor:
    """Finite floating numbers (N, d), dense or CSR; or an error that says what came."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch tensor of shape (N, d), got {type(x).__name__}.")
    if x.ndim != 2 or x.shape[0] == 0 or x.shape[1] == 0:
        raise ValueError(
            f"{name} must have shape (N, d) with at least one node and feature, got {tuple(x.shape)}."
        )
    if x.layout not in (torch.strided, torch.sparse_csr):
        raise ValueError(f"{name} must be dense or sparse CSR, got {x.layout}. Use .to_sparse_csr().")
    if not x.dtype.is_floating_point:
        raise TypeError(f"{name} must hold floating numbers, got {x.dtype}. Use .float().")
    values = x.values() if is_sparse(x) else x
    bad = ~torch.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{name} holds NaN or infinite values ({int(bad.sum())} of {bad.numel()} stored). Aggregation would spread "
            "them to all neighbours: impute or drop these nodes."
        )
    return x


def check_graph(data: Any, *, name: str = "data") -> None:
    """A graph with finite features and edges between its nodes; torch_geometric's Data or anything like it."""
    missing = [field for field in ("x", "edge_index") if getattr(data, field, None) is None]
    if missing:
        raise TypeError(
            f"{name} must have x (N, d) and edge_index (2, E), as torch_geometric's Data has; {type(data).__name__} "
            f"lacks {' and '.join(missing)}."
        )
    x = check_features(data.x, name=f"{name}.x")
    check_edges(data.edge_index, num_nodes=x.shape[0], name=f"{name}.edge_index")


def check_labels(data: Any, *, name: str = "data") -> Tensor:
    """Classes int64 (N,), >= 0, of at least two kinds; or an error that says what came."""
    y = getattr(data, "y", None)
    if not isinstance(y, Tensor):
        raise TypeError(f"{name}.y must be a tensor with one class per node, got {y!r}.")
    if y.ndim != 1 or y.shape[0] != data.x.shape[0] or y.dtype.is_floating_point:
        raise ValueError(
            f"{name}.y must hold one integer class for each of the {data.x.shape[0]} nodes, got {y.dtype} "
            f"{tuple(y.shape)}. Squeeze a column; take argmax of one-hot rows."
        )
    kinds = torch.unique(y)
    if int(kinds.min()) < 0:
        raise ValueError(
            f"{name}.y holds the negative class {int(kinds.min())}. Drop nodes without a class first."
        )
    if len(kinds) < 2:
        raise ValueError(
            f"{name}.y holds one class only ({int(kinds[0])}): there is nothing to classify. Use more nodes."
        )
    return y.to(torch.int64)


def whole(name: str, value: Any, *, least: int) -> int:
    """A whole number >= ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    return value


def inside(name: str, value: Any, *, low: float, high: float = math.inf, open_low: bool = False) -> float:
    """A finite number in [low, high], or in (low, high] if ``open_low``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not math.isfinite(value) or value > high or value < low or (open_low and value == low):
        left = "(" if open_low else "["
        right = f"{high:g}]" if math.isfinite(high) else "infinity)"
        raise ValueError(f"{name} must lie in {left}{low:g}, {right}, got {value!r}.")
    return float(value)


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """A word of a closed set."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generator starts from ``seed`` inside and is as before outside; for dropout and weights.

    Example:
        >>> before = torch.get_rng_state()
        >>> with seeded(3):
        ...     _ = torch.rand(2)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    whole("seed", seed, least=0)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also start other devices
        for device in devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside; every submodule's mode as before outside."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
