"""Checks at the border of the room: numbers, windows, classes and matrices of embeddings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

Adjacency = Literal["add_remove", "replace"]
Matrix = Any  # a NumPy array (memory-mapped or not), a torch tensor, or whatever slices into arrays


class ClassListWarning(UserWarning):
    """The list of classes was read off private labels, which no guarantee covers."""


class EmptyClassWarning(UserWarning):
    """A class without private records got a prototype that says nothing about it."""


def positive(name: str, value: Any, *, why: str) -> float:
    """A finite number > 0, or an error that names it."""
    if isinstance(value, bool | str) or value is None or np.ndim(value) != 0:
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}. {why}")
    return float(value)


def whole(name: str, value: Any, *, least: int = 1, why: str = "") -> int:
    """A whole number >= ``least``, or an error that names it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}. {why}".rstrip())
    return int(value)


def one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    """``value`` must be one of a closed set."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}.")


def generator(rng: Any) -> np.random.Generator:
    """A NumPy generator; refuses seeds so that randomness stays explicit."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}. Pass np.random.default_rng(), "
            "without a seed where the result is released."
        )
    return rng


def window(d_min: float, d_max: float) -> tuple[float, float]:
    """The window of similarities 1 + cos that are counted: 0 <= d_min < d_max <= 2."""
    for name, value in (("d_min", d_min), ("d_max", d_max)):
        if isinstance(value, bool | str) or value is None or np.ndim(value) != 0:
            raise TypeError(f"{name} must be a number, got {value!r}.")
    if not 0 <= d_min < d_max <= 2:
        raise ValueError(
            f"the window must satisfy 0 <= d_min < d_max <= 2, got d_min = {d_min!r} and d_max = {d_max!r}. "
            "Similarities are 1 + cosine, between 0 and 2."
        )
    return float(d_min), float(d_max)


def class_index(
    labels: ArrayLike | torch.Tensor, classes: Sequence[Any] | None, *, n: int
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Labels as positions in the public list of classes, shape (n,), and that list as an array.

    Without a list it is read off the labels, with a warning.
    """
    given = np.asarray(as_array(labels))
    if given.shape != (n,):
        raise ValueError(
            f"labels must have one label for each of the {n} embeddings, got shape {given.shape}."
        )
    if given.dtype.kind == "f" and not np.array_equal(given, np.trunc(given)):
        raise ValueError("labels must be class labels, got numbers that are not whole or not finite.")
    if classes is None:
        warnings.warn(
            "classes were read off the private labels: which classes exist is then released without protection. "
            "Pass the public list with classes=...",
            ClassListWarning,
            stacklevel=4,
        )
        known = np.unique(given)
    else:
        known = np.asarray(list(classes))
    if known.ndim != 1 or len(known) == 0:
        raise ValueError(f"classes must be a non-empty list of labels, got shape {known.shape}.")
    if (known.dtype.kind in "US") != (given.dtype.kind in "US"):
        raise TypeError(f"labels and classes must be of one kind, got {given.dtype} and {known.dtype}.")
    order = np.argsort(known, kind="stable")
    if (known[order][1:] == known[order][:-1]).any():
        raise ValueError("classes must name every class once, got duplicates.")
    place = np.clip(np.searchsorted(known[order], given), 0, len(known) - 1)
    index = order[place].astype(np.int64)
    stray = known[index] != given
    if stray.any():
        first = int(np.flatnonzero(stray)[0])
        raise ValueError(
            f"labels must be among the {len(known)} classes, got {given[first]} at position {first} "
            f"({int(stray.sum())} of {n}). Extend classes=... or leave these records out."
        )
    return index, known


def as_array(value: Any) -> Any:
    """A torch tensor as a NumPy array without gradient; everything else unchanged."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def shape_of(name: str, value: Matrix, *, dim: int | None = None) -> tuple[int, int]:
    """Rows and columns of a matrix of embeddings that is not empty; ``dim`` columns if given."""
    shape = tuple(value.shape) if hasattr(value, "shape") else np.shape(value)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{name} must be a matrix of embeddings, shape (rows, dimensions), got {shape}.")
    if dim is not None and shape[1] != dim:
        raise ValueError(f"{name} must have {dim} dimensions as the private embeddings have, got {shape[1]}.")
    return int(shape[0]), int(shape[1])
