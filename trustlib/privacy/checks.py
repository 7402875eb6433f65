"""Checks at the public border that every privacy function shares; messages name the argument and the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PARAMETER = "It is a privacy parameter; a release that does not depend on the data need not be recorded."


def positive(name: str, value: Any, *, why: str) -> float:
    """A finite number > 0, or a ValueError that says why."""
    number = _number(name, value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}. {why}")
    return number


def non_negative(name: str, value: Any, *, why: str) -> float:
    """A finite number >= 0, or a ValueError that says why."""
    number = _number(name, value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}. {why}")
    return number


def probability(name: str, value: Any, *, zero: bool = False) -> float:
    """A number in (0, 1), or [0, 1) with ``zero``."""
    number = _number(name, value)
    low = number >= 0 if zero else number > 0
    if not (low and number < 1):
        raise ValueError(
            f"{name} must lie in {'[' if zero else '('}0, 1), got {value!r}. It is a probability."
        )
    return number


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """A whole number >= ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    return int(value)


def generator(rng: Any) -> np.random.Generator:
    """A NumPy generator; refuses seeds and legacy states so that randomness stays explicit."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng must be a numpy.random.Generator, got {type(rng).__name__}. Pass np.random.default_rng(seed)."
        )
    return rng


def levels(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A vector of finite privacy levels > 0, copied."""
    array = np.array(value, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty vector, one level per record, got shape {array.shape}.")
    bad = ~(np.isfinite(array) & (array > 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{name} must be finite and > 0 for every record, got {array[first]} at position {first} "
            f"({int(bad.sum())} of {array.size}). A record that allows no leakage cannot take part: leave it out."
        )
    return array


def conservative(root: float, holds: Callable[[float], bool], *, up: bool = False) -> float:
    """The root of a calibration, moved by as few rounding units as it takes for the guarantee to hold."""
    step = 2.0**-52
    while not holds(root):
        root *= 1 + step if up else 1 - step
        step *= 2
    return root


def _number(name: str, value: Any) -> float:
    """``value`` as a float; numbers only, no strings and no booleans."""
    if isinstance(value, bool | str) or value is None:
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}.")
    try:
        return float(value)
    except TypeError as error:
        raise TypeError(f"{name} must be a number, got {type(value).__name__}.") from error
