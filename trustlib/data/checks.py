"""Checks at the public border that several loaders share."""

from __future__ import annotations

from typing import Any

import numpy as np


def whole(name: str, value: Any, *, least: int) -> int:
    """A whole number >= ``least``, or an error that names the argument and the value that came."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r} of type {type(value).__name__}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    return int(value)
