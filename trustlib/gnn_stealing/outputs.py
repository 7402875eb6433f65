"""What a graph network says about all nodes: logits, and embeddings by hook, by function or by its second output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.checks import check_graph, evaluating, is_sparse
from trustlib.gnn_stealing.splits import as_data

Embed = str | Callable[[nn.Module, Tensor, Tensor], Tensor]


def node_outputs(model: nn.Module, data: Any, *, embed: Embed | None = None) -> tuple[Tensor, Tensor | None]:
    """Logits and embeddings of all nodes in one pass: evaluation mode, all neighbours, no gradient.

    Args:
        model: any module ``model(x, edge_index)`` that returns logits (N, C) or (logits, embeddings). Its mode is put
            back. Inputs go to the device of its parameters.
        data: a graph with x and edge_index. Sparse features are made dense unless ``model.sparse_features`` is true.
        embed: where embeddings come from: the dotted name of a submodule whose output they are, or a function
            ``embed(model, x, edge_index)``. None: the model's second output, else the submodule named by its attribute
            ``embedding_layer``, else there are none.

    Returns:
        Logits (N, C) and embeddings (N, r) or None, on the device of ``data.x``.

    Raises:
        TypeError, ValueError: no graph, an unknown submodule, or outputs that are not one finite row per node.

    Example:
        >>> from types import SimpleNamespace
        >>> class Sums(nn.Module):
        ...     def forward(self, x, edge_index):
        ...         return x.index_add(0, edge_index[1], x[edge_index[0]])
        >>> pair = SimpleNamespace(x=torch.eye(2), edge_index=torch.tensor([[0], [1]]))
        >>> node_outputs(Sums(), pair)[0].tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a torch module, got {type(model).__name__}. Wrap a function in a module."
        )
    data = as_data(data)
    check_graph(data)
    device = next((p.device for p in model.parameters()), data.x.device)
    x, edge_index = data.x.to(device), data.edge_index.to(device, torch.int64)
    if is_sparse(x) and not getattr(model, "sparse_features", False):
        x = x.to_dense()
    if embed is None:
        embed = getattr(model, "embedding_layer", None)
    with evaluating(model):
        logits, embedding = _run(model, x, edge_index, embed)
    n = data.x.shape[0]
    checked = _check_rows(logits, n, what="the model's output")
    if embedding is not None:
        embedding = _check_rows(embedding, n, what="the embedding").to(data.x.device)
    return checked.to(data.x.device), embedding


def target_labels(model: nn.Module, data: Any) -> Tensor:
    """The class with the largest logit for every node, int64 (N,): what fidelity is measured against.

    Raises:
        TypeError, ValueError: as `node_outputs`.
    """
    return node_outputs(model, data)[0].argmax(dim=1)


def accuracy_of(model: nn.Module, data: Any) -> float:
    """Share of nodes whose class the model gets right, in [0, 1].

    Raises:
        TypeError, ValueError: as `node_outputs`; no labels.
    """
    data = as_data(data)
    if getattr(data, "y", None) is None:
        raise ValueError("data.y is missing: accuracy needs true classes.")
    return float((target_labels(model, data) == data.y).double().mean())


def _run(model: nn.Module, x: Tensor, edge_index: Tensor, embed: Embed | None) -> tuple[Any, Any]:
    """One pass; a hook is removed whatever happens."""
    if callable(embed):
        return _first(model(x, edge_index)), embed(model, x, edge_index)
    if embed is None:
        out = model(x, edge_index)
        pair = isinstance(out, tuple | list) and len(out) > 1
        return _first(out), out[1] if pair else None
    layers = dict(model.named_modules())
    if embed not in layers or not embed:
        raise ValueError(
            f"embed names no submodule {embed!r}. Submodules: {', '.join(filter(None, layers))}."
        )
    seen: list[Any] = []
    hook = layers[embed].register_forward_hook(lambda module, args, out: seen.append(_first(out)))
    try:
        logits = _first(model(x, edge_index))
    finally:
        hook.remove()
    if len(seen) != 1:
        raise ValueError(f"submodule {embed!r} ran {len(seen)} times in one pass. Name one that runs once.")
    return logits, seen[0]


def _first(out: Any) -> Any:
    """The first of several outputs."""
    return out[0] if isinstance(out, tuple | list) else out


def _check_rows(out: Any, n: int, *, what: str) -> Tensor:
    """One finite row per node."""
    if not isinstance(out, Tensor) or out.ndim != 2 or out.shape[0] != n:
        came = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"{what} must have one row for each of the {n} nodes, got {came}. Remove pooling.")
    if not torch.isfinite(out).all():
        raise ValueError(
            f"{what} holds NaN or infinite values in {int((~torch.isfinite(out)).any(1).sum())} rows."
        )
    return out
