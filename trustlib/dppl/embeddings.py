"""Embeddings as they enter the room: NumPy or torch, any device, checked, pooled and brought to unit length."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trustlib.dppl.checks import Matrix, one_of, shape_of, whole

Precision = Literal["float64", "float32", "bfloat16", "float16"]
_DTYPES = {
    "float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16,
}  # fmt: skip


def unit_rows(embeddings: Matrix, *, name: str = "embeddings") -> NDArray[np.float64]:
    """Every row divided by its length.

    Args:
        embeddings: shape (n, d), NumPy or torch, finite, no zero row.
        name: what to call it in messages.

    Returns:
        float64 (n, d), rows of length 1.

    Raises:
        ValueError: not a matrix, NaN, infinite values, or a zero row.

    Example:
        >>> unit_rows([[3.0, 4.0]])
        array([[0.6, 0.8]])

    Source: cosine similarity of Wahdany et al. 2025.
    """
    return read_rows(name, embeddings, precision="float64", device="cpu").numpy()


def pool_features(embeddings: Matrix, *, pool: int) -> NDArray[np.float64]:
    """Average pooling over neighbouring features, window = stride = ``pool``, remainder dropped.

    z[i, j] = mean(x[i, j * pool : (j + 1) * pool])

    Args:
        embeddings: shape (n, d), finite.
        pool: 1 to d; 1 changes nothing.

    Returns:
        float64 (n, d // pool).

    Raises:
        ValueError: not a matrix, values not finite, or pool out of range.

    Example:
        >>> pool_features([[1.0, 3.0, 5.0, 7.0, 9.0]], pool=2)
        array([[2., 6.]])

    Source: Wahdany et al. 2025, pooling before DPPL-Mean.
    """
    n, d = shape_of("embeddings", embeddings)
    pool = check_pool(pool, d)
    values = as_tensor("embeddings", embeddings, device="cpu").to(torch.float64).numpy()
    return np.array(values[:, : d // pool * pool].reshape(n, d // pool, pool).mean(axis=2))


def check_pool(pool: int, d: int) -> int:
    """A pooling window between 1 and the number of features."""
    pool = whole("pool", pool, why="1 means no pooling.")
    if pool > d:
        raise ValueError(f"pool must be at most the {d} dimensions of the embeddings, got {pool}.")
    return pool


def read_rows(name: str, rows: Matrix, *, precision: Precision, device: torch.device | str) -> Tensor:
    """Rows (n, d) of unit length on a device; lengths are taken in at least single precision."""
    values, length = rows_and_lengths(name, rows, wide=precision == "float64", device=device)
    return (values / length).to(_DTYPES[precision])


def rows_and_lengths(
    name: str, rows: Matrix, *, wide: bool, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Rows (n, d) up to a factor each and their lengths (n, 1) > 0; float64 if ``wide`` or given so, else float32."""
    values = _as_given(name, rows, device=device)
    values = values.to(torch.float64 if wide or values.dtype == torch.float64 else torch.float32)
    length = torch.linalg.vector_norm(values, dim=1, keepdim=True)
    least = torch.finfo(values.dtype).tiny ** 0.4  # below, squares lose digits
    if bool((torch.isfinite(length) & (length > least)).all()):
        return values, length
    _check_finite(name, values)
    largest = values.abs().amax(dim=1, keepdim=True)
    zero = largest[:, 0] == 0
    if bool(zero.any()):
        raise ValueError(
            f"{name} must have no zero row: {int(zero.sum())} of {len(values)} have length 0, the first at position "
            f"{int(zero.nonzero()[0, 0])}. A zero has no direction, so no cosine; leave these rows out."
        )
    values = values / largest
    return values, torch.linalg.vector_norm(values, dim=1, keepdim=True)


def as_tensor(name: str, rows: Matrix, *, device: torch.device | str) -> Tensor:
    """A finite matrix as a tensor on a device, in its own floating-point type."""
    values = _as_given(name, rows, device=device)
    _check_finite(name, values)
    return values


def _as_given(name: str, rows: Matrix, *, device: torch.device | str) -> Tensor:
    """A matrix of numbers as a floating-point tensor on a device, its values not looked at."""
    shape_of(name, rows)
    if isinstance(rows, Tensor):
        values = rows.detach()
    else:
        array = np.asarray(rows)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{name} must hold numbers, got {array.dtype}.")
        array = array.astype(np.float64 if array.dtype.kind != "f" else array.dtype, copy=False)
        with warnings.catch_warnings():  # a read-only array is only read here
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            values = torch.from_numpy(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")))
    if values.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}.")
    return values.to(device) if values.is_floating_point() else values.to(device, torch.float64)


def _check_finite(name: str, values: Tensor) -> None:
    """No NaN and nothing infinite."""
    bad = ~torch.isfinite(values).all(dim=1)
    if bool(bad.any()):
        raise ValueError(
            f"{name} must be finite, got NaN or infinite values in {int(bad.sum())} of {len(values)} rows, the first "
            f"at position {int(bad.nonzero()[0, 0])}."
        )


def choose_device(device: str | torch.device | None, *inputs: Any) -> torch.device:
    """The device asked for, or that of the first tensor, or the processor."""
    if device is not None:
        return torch.device(device)
    found = [value.device for value in inputs if isinstance(value, Tensor)]
    return found[0] if found else torch.device("cpu")


def best_device() -> str:
    """A GPU where there is one: results are the same up to rounding."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_precision(precision: str) -> None:
    """One of the floating-point types of the matrix products."""
    one_of("precision", precision, get_args(Precision))
