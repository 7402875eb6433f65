"""Randomness without state: every draw is a function of (seed, index, view), so batches and shards do not matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def view_keys(seed: int, index: ArrayLike, view: ArrayLike) -> NDArray[np.int64]:
    """Keys of views: one 63-bit number for every (seed, index of the point, number of the view).

    key = mix(mix(mix(seed) xor index) xor view), with mix the splitmix64 finaliser of its argument plus a constant.

    Args:
        seed: of the experiment.
        index: identity of each point, integer, any shape.
        view: number of the view, integer, broadcast against ``index``.

    Returns:
        int64 in [0, 2**63), shape of the two broadcast together.

    Example:
        >>> view_keys(0, [3, 5], 1).shape
        (2,)
        >>> bool(view_keys(0, 3, 1) == view_keys(0, [3, 5], 1)[0])
        True

    Source: Steele, Lea and Flood, OOPSLA 2014 (the mixer of splitmix64).
    """
    key = _mixed(np.array([seed & (1 << 64) - 1], dtype=np.uint64))
    index, view = np.broadcast_arrays(np.asarray(index, dtype=np.int64), np.asarray(view, dtype=np.int64))
    for part in (index, view):
        key = _mixed(key ^ part.astype(np.uint64))
    return (key >> np.uint64(1)).astype(np.int64).reshape(index.shape)


def key_uniforms(keys: ArrayLike, count: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1): ``count`` of them for every key, independent of the other keys.

    u[b, j] = mix(key[b] + (j + 1) * gamma) / 2**64, the stream that splitmix64 gives from state ``key[b]``.

    Args:
        keys: integer (B,), as of `view_keys`.
        count: numbers per key.

    Returns:
        Shape (B, count).

    Example:
        >>> import numpy as np
        >>> bool(np.all(key_uniforms([1, 2], 3)[1] == key_uniforms([2], 3)[0]))
        True

    Source: Steele, Lea and Flood, OOPSLA 2014.
    """
    state = np.asarray(keys, dtype=np.int64).astype(np.uint64)[:, None]
    bits = _mixed(state + np.arange(count, dtype=np.uint64) * _GAMMA)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of splitmix64; wraps around by design."""
    mixed = values + _GAMMA
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
