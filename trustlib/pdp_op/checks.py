"""Checks at the border of the room: levels, numbers, and tables with a public domain."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Violation = Literal["raise", "clip"]
SLACK = 1e-9  # relative; a row that was scaled to the bound may exceed it by rounding


class DomainError(ValueError):
    """Data outside the public domain, for which the mechanism gives no guarantee."""


class DomainWarning(UserWarning):
    """Data outside the public domain was clipped because the caller asked for it."""


@dataclass(frozen=True)
class Clipped:
    """How many rows and labels were moved into the domain; a fact about the data, so not private."""

    rows: int
    labels: int


def positive(name: str, value: Any, *, why: str) -> float:
    """A finite number > 0, or an error that names it."""
    if isinstance(value, bool | str) or value is None or np.ndim(value) != 0:
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}. {why}")
    return float(value)


def non_negative(name: str, value: Any, *, why: str) -> float:
    """A finite number >= 0, or an error that names it."""
    if isinstance(value, bool | str) or value is None or np.ndim(value) != 0:
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}. {why}")
    return float(value)


def levels(epsilon: ArrayLike, n: int | None = None) -> NDArray[np.float64]:
    """Privacy levels as a new vector; a single number stands for all ``n`` records."""
    given = np.asarray(as_array(epsilon))
    if given.dtype.kind not in "iuf":
        raise TypeError(f"epsilon must be a number or a vector of numbers, got {epsilon!r}.")
    array = np.array(given, dtype=np.float64)
    if array.ndim == 0 and n is not None:
        array = np.full(n, float(array))
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"epsilon must be a vector with one level per record, got shape {array.shape}.")
    if n is not None and len(array) != n:
        raise ValueError(f"epsilon must have one level for each of the {n} records, got {len(array)}.")
    bad = ~(np.isfinite(array) & (array > 0))
    if bad.any():
        where = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"epsilon must be finite and > 0 for every record, got {array[where]} at position {where} "
            f"({int(bad.sum())} of {array.size}). A person who allows no leakage cannot take part: leave them out."
        )
    return array


def as_array(value: Any) -> Any:
    """A torch tensor as a NumPy array without gradient; everything else unchanged."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def domain(
    X: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    x_norm: float,
    y_bound: float,
    on_violation: Violation,
) -> tuple[NDArray[np.float64], NDArray[np.float64], Clipped]:
    """X (n, d) and y (n,) or (n, m) inside the public domain: as they are, clipped with a warning, or an error."""
    if on_violation not in ("raise", "clip"):
        raise ValueError(f'on_violation must be "raise" or "clip", got {on_violation!r}.')
    rows = np.sqrt(np.einsum("ij,ij->i", X, X))  # no temporary copy of the table
    labels = np.abs(y) if y.ndim == 1 else np.linalg.norm(y, axis=1)
    far, wide = ~(rows <= x_norm * (1 + SLACK)), ~(labels <= y_bound * (1 + SLACK))  # NaN is outside
    clipped = Clipped(int(far.sum()), int(wide.sum()))
    if not (clipped.rows or clipped.labels):
        return X, y, clipped
    found = (
        f"{clipped.rows} of {len(X)} rows have a norm above x_norm = {x_norm:g} (largest {rows.max():g}), "
        f"{clipped.labels} labels exceed y_bound = {y_bound:g} (largest {labels.max():g})"
    )
    if on_violation == "raise":
        raise DomainError(
            f"{found}. The guarantee holds inside the public domain only. Scale with PUBLIC ranges, raise the bounds, "
            'or pass on_violation="clip" to project onto the domain.'
        )
    warnings.warn(f"{found}: projected onto the domain.", DomainWarning, stacklevel=3)
    X = np.where(far[:, None], X * (x_norm / np.maximum(rows, x_norm))[:, None], X)
    shrink = y_bound / np.maximum(labels, y_bound)
    return X, y * (shrink if y.ndim == 1 else shrink[:, None]), clipped
