"""Arrays of a graph: what comes in is checked and brought to one form, what goes out becomes tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor


def clean_features(features: Any, name: str) -> Any:
    """float32 (N, d), a dense array or a CSR matrix with sorted rows; a copy only where something changes."""
    import scipy.sparse

    if scipy.sparse.issparse(features):
        rows: Any = scipy.sparse.csr_matrix(features, dtype=np.float32)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        values = rows.data
    else:
        rows = np.asarray(features)
        if rows.dtype.kind not in "buif":
            raise ValueError(f"features of {name} must be numbers, got {rows.dtype}.")
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        values = rows
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(
            f"features of {name} must have shape (N, d), with at least one node and one feature, got {rows.shape}."
        )
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(
            f"features of {name} hold {bad} NaN or infinite values. Messages would spread them: impute them, or drop "
            "the nodes."
        )
    return rows


def undirected(edges: ArrayLike, n: int, name: str) -> NDArray[np.int64]:
    """Both directions of every edge between different nodes, once, sorted by first and then second node."""
    pairs = np.asarray(edges)
    if pairs.size == 0:
        return np.empty((2, 0), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[0] != 2:
        raise ValueError(
            f"edge_index of {name} must have shape (2, E), got {pairs.shape}. Transpose a list of pairs."
        )
    if pairs.dtype.kind not in "ui":
        raise TypeError(f"edge_index of {name} must be integers, got {pairs.dtype}. They count nodes from 0.")
    low, high = int(pairs.min()), int(pairs.max())
    if low < 0 or high >= n:
        raise ValueError(
            f"edge_index of {name} names the nodes {low} to {high}, but there are features for {n}: ids go "
            f"from 0 to {n - 1}."
        )
    a, b = pairs.astype(np.int64)
    between = a != b
    a, b = a[between], b[between]
    codes = np.unique(np.concatenate([a * n + b, b * n + a]))
    return np.stack([codes // n, codes % n])


def clean_labels(labels: ArrayLike, n: int, name: str) -> NDArray[np.int64]:
    """One class per node."""
    classes = np.asarray(labels)
    if classes.dtype.kind not in "buif" or (
        classes.dtype.kind == "f" and not (classes == classes.round()).all()
    ):
        raise TypeError(f"y of {name} must be whole numbers, got {classes.dtype}.")
    if classes.shape != (n,):
        raise ValueError(
            f"y of {name} must hold one class for each of the {n} nodes, got shape {classes.shape}."
        )
    if classes.min() < 0:
        raise ValueError(f"y of {name} holds {classes.min()}. Classes are >= 0: drop nodes without a class.")
    return classes.astype(np.int64)


def as_rows(x: Any) -> Any:
    """A torch tensor as an array, a sparse one as a scipy matrix."""
    import scipy.sparse

    if str(x.layout) == "torch.strided":
        return x.detach().cpu().numpy()
    x = x.detach().cpu().to_sparse_csr()
    parts = (x.values().numpy(), x.col_indices().numpy(), x.crow_indices().numpy())
    return scipy.sparse.csr_matrix(parts, shape=tuple(x.shape))


def stored(features: Any) -> int:
    """Entries that are not zero."""
    return int(np.count_nonzero(features)) if isinstance(features, np.ndarray) else int(features.nnz)


def as_array(features: Any) -> NDArray[np.float32]:
    """A dense array of its own."""
    return features.copy() if isinstance(features, np.ndarray) else features.toarray()


def sparse_tensor(features: Any) -> Tensor:
    """A CSR tensor; torch's notices about the layout are left out."""
    import warnings

    import scipy.sparse
    import torch

    rows = scipy.sparse.csr_matrix(features)
    pointer, columns = (torch.from_numpy(np.array(part, np.int64)) for part in (rows.indptr, rows.indices))
    values = torch.from_numpy(np.array(rows.data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(pointer, columns, values, rows.shape, check_invariants=False)
