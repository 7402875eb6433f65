"""Generated graphs: a degree-corrected block model whose nodes carry words that depend on their class. NumPy only."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trustlib.data.checks import whole

NODES = 1200
SHARES = np.array([0.26, 0.21, 0.18, 0.14, 0.12, 0.09])  # of the classes
WORDS = 400  # of the vocabulary
TOPIC_WORDS = 40  # that a class prefers; neighbouring classes share half of them
_TOPIC = 0.30  # share of a text's words that are drawn from the topic
_LENGTH = 16  # words per text on average, before repeated ones are dropped
_DEGREE = 6.0  # edges per node, times two, before repeated ones are dropped
_WITHIN = 0.80  # share of edges whose second end is drawn from the class of the first
_TAIL = 1.7  # degrees fall off like a power law with this exponent of the survival function
_LARGEST = 40.0  # expected degree of the best connected nodes, in units of the least connected
_MOST = 100_000


def block_graph(n: int = NODES, *, seed: int = 0) -> tuple[NDArray[np.int64], Any, NDArray[np.int64]]:
    """An invented citation graph with six classes.

    Classes have the shares .26, .21, .18, .14, .12 and .09. Node i has a propensity t_i >= 1 with P(t_i > s) = s^-1.7,
    cut at 40. Each of 3 n edges begins at a node drawn in proportion to t; its other end is drawn in proportion to t
    from the same class with probability 0.8, and from all nodes otherwise. Loops and repeated edges are dropped: that
    is the degree-corrected stochastic block model given the number of edges. A text has 1 + Poisson(15) words out of
    400: with probability 0.3 one of the 40 words that its class prefers (half of them are preferred by the next class,
    too), else any word with Zipf's law. Features say which words occur. The constants are our own, chosen so that
    texts alone tell less than texts with edges.

    Args:
        n: nodes, 300 to 100 000.
        seed: whole number >= 0. Graphs of different sizes have nothing to do with each other.

    Returns:
        Edges (2, E) in both directions, features as scipy CSR matrix (n, 400) of zeros and ones, classes (n,).

    Raises:
        TypeError: n or seed is not a whole number.
        ValueError: n outside its range, or seed < 0.

    Example:
        >>> edges, words, classes = block_graph(300, seed=1)
        >>> words.shape, int(classes.max()) + 1
        ((300, 400), 6)

    Source: Karrer and Newman, Stochastic blockmodels and community structure in networks, Physical Review E 83, 2011.
    """
    whole("n", n, least=300)
    if n > _MOST:
        raise ValueError(
            f"n must be at most {_MOST}, got {n}. Load ogbn_arxiv or ogbn_products for larger graphs."
        )
    rng = np.random.default_rng([whole("seed", seed, least=0), n])
    classes = _choose(rng.random(n), SHARES)
    classes[: len(SHARES)] = np.arange(len(SHARES))  # no class is empty, however small the graph
    return _edges(classes, rng), _texts(classes, rng), classes


@functools.cache
def reference_fingerprint() -> str:
    """SHA-256 of the graph with 1 200 nodes at seed 0: the generator's identity in provenance records."""
    edges, words, classes = block_graph()
    digest = hashlib.sha256()
    for array in (edges, words.indices, words.indptr, classes):
        digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
    return digest.hexdigest()


def _edges(classes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Both directions, once each, sorted."""
    n = len(classes)
    propensity = np.minimum((1.0 - rng.random(n)) ** (-1.0 / _TAIL), _LARGEST)
    order = np.argsort(
        classes, kind="stable"
    )  # nodes of a class are neighbours in the cumulated propensities
    total = np.concatenate([[0.0], np.cumsum(propensity[order])])
    ends = np.cumsum(np.bincount(classes, minlength=len(SHARES)))
    begin, end = total[ends - np.bincount(classes, minlength=len(SHARES))], total[ends]
    count = round(n * _DEGREE / 2)
    u = rng.random((3, count))
    first = _place(total, u[0] * total[-1], order)
    inside = u[1] < _WITHIN
    low = np.where(inside, begin[classes[first]], 0.0)
    high = np.where(inside, end[classes[first]], total[-1])
    second = _place(total, low + u[2] * (high - low), order)
    between = first != second
    first, second = first[between], second[between]
    codes = np.unique(np.concatenate([first * n + second, second * n + first]))
    return np.stack([codes // n, codes % n])


def _place(
    total: NDArray[np.float64], value: NDArray[np.float64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Nodes in whose piece of the cumulated propensities the values fall."""
    return order[np.clip(np.searchsorted(total, value, side="right") - 1, 0, len(order) - 1)]


def _texts(classes: NDArray[np.int64], rng: np.random.Generator) -> Any:
    """Which words occur, CSR (n, 400)."""
    import scipy.sparse

    n, kinds = len(classes), len(SHARES)
    length = 1 + rng.poisson(_LENGTH - 1, n)
    node = np.repeat(np.arange(n), length)
    u = rng.random((2, len(node)))
    popularity = 1.0 / (5.0 + np.arange(WORDS))  # Zipf's law without its steep beginning
    any_word = _choose(u[1], popularity / popularity.sum())
    # topics cover a ring of words, TOPIC_WORDS / 2 apart, so that each shares half with the next
    step = TOPIC_WORDS // 2
    position = (classes[node] * step + (u[1] * TOPIC_WORDS).astype(np.int64)) % (kinds * step)
    spread = np.linspace(0, WORDS - 1, kinds * step).astype(np.int64)  # frequent and rare words alike
    word = np.where(u[0] < _TOPIC, spread[position], any_word)
    codes = np.unique(node * WORDS + word)
    pointer = np.concatenate([[0], np.cumsum(np.bincount(codes // WORDS, minlength=n))])
    parts = (np.ones(len(codes), np.float32), codes % WORDS, pointer)
    return scipy.sparse.csr_matrix(parts, shape=(n, WORDS))


def _choose(u: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the interval of the cumulated shares in which each u falls."""
    return np.minimum(np.searchsorted(np.cumsum(shares), u, side="right"), len(shares) - 1)
