"""Alignment loss: how far apart an encoder maps two augmented views of one point, streamed over points."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trustlib.memorization.distances import Distance, Pairing, check_distance, draw_distances
from trustlib.memorization.responses import Encoder, Forward, reading, refuse_stochastic
from trustlib.memorization.views import CLEAN, Augment, ViewBatch, Views

Floats = NDArray[np.float64]


class CollapsedEncoderWarning(UserWarning):
    """An encoder maps all views of every point to one representation, so its alignment says nothing."""


@dataclass(frozen=True)
class Measurement:
    """Alignment of E encoders at L layers on n points.

    ``mean`` (E, L, n); ``draws`` (E, n, D) the components whose mean is the alignment of the last layer in
    execution order; ``layers`` in execution order.
    """

    layers: tuple[str, ...]
    mean: Floats
    draws: Floats


def alignment_loss(
    encoder: Encoder,
    data: Any,
    augment: Augment,
    *,
    n_views: int = 10,
    pairing: Pairing = "independent",
    distance: Distance = "l2",
    normalize: bool = False,
    seed: int = 0,
    batch_size: int = 256,
    index: ArrayLike | None = None,
    forward_fn: Forward | None = None,
) -> Floats:
    """Expected distance between the representations of two augmented views of each point.

    L_A(f, x) = E over x', x'' ~ Aug(x) of d(f(x'), f(x'')), estimated from
    independent: ``n_views`` pairs of fresh views (2 n_views forwards per point), as defined;
    all:         all pairs of ``n_views`` views (n_views forwards; unbiased, smaller variance per forward);
    anchor:      the point itself against ``n_views`` views (n_views + 1 forwards), as in the published code.

    The encoder runs in evaluation mode without gradients; flags, random state and hooks are restored, also
    after exceptions. Views depend on (seed, index, view) only, never on the batch. Representations are
    flattened; sums over views are in float64.

    Args:
        encoder: module or callable from a batch of B views to (B, ...).
        data: tensor (n, ...), sequence of points, or one graph whose nodes are the points (see ``Views``).
        augment: ``augment(x, generator) -> view`` of one point.
        n_views: see above; >= 1, >= 2 for "all".
        pairing: which views form pairs.
        distance: "l1", "l2", "cosine" or "angular".
        normalize: divide representations by their l2 norm. Without it the size of representations, which
            differs between encoders, enters l1 and l2.
        seed: of the views.
        batch_size: views per encoder call.
        index: identity of each point, for shards.
        forward_fn: ``forward_fn(encoder, batch) -> (B, ...)`` where ``encoder(batch)`` is not what is meant.

    Returns:
        float64, shape (n,), >= 0.

    Raises:
        ValueError: n_views too small, non-finite or wrongly shaped outputs, an augmentation that never
            changes anything, an encoder that is random in evaluation mode, or a zero vector that has no
            direction.

    Example:
        >>> import torch
        >>> add_noise = lambda x, generator: x + torch.randn(x.shape, generator=generator)
        >>> losses = alignment_loss(torch.nn.Identity(), torch.zeros(4, 50), add_noise, n_views=20)
        >>> losses.round(-1)  # the difference of two normal vectors in 50 dimensions: sqrt(2 * 50)
        array([10., 10., 10., 10.])

    Source: Wang et al., ICLR 2024; Wang et al., NeurIPS 2024, eq. 1.
    """
    views = Views(data, augment, seed=seed, batch_size=batch_size, index=index)
    result = measure(
        [encoder], views, n_views=n_views, pairing=pairing, distance=distance, normalize=normalize,
        forward_fn=forward_fn,
    )  # fmt: skip
    return result.mean[0, 0]


def measure(
    encoders: Sequence[Encoder],
    views: Views,
    *,
    n_views: int,
    pairing: Pairing,
    distance: Distance,
    normalize: bool,
    layers: Sequence[str] | None = None,
    forward_fn: Forward | None = None,
) -> Measurement:
    """Alignment of all encoders at all layers in one pass over common views; see ``alignment_loss``."""
    check_distance(distance)
    schedule = _schedule(pairing, n_views, one_call=not views.is_graph)
    totals = _Totals(views.n, n_views, pairing)
    with reading(encoders, layers, forward_fn) as readers:
        for batch in views.batches(schedule):
            if totals.is_empty:
                refuse_stochastic(readers, batch)

            def reduce(name: str, rows: Tensor, batch: ViewBatch = batch) -> tuple[Floats, int]:
                if rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last):
                    rows = rows.permute(0, 2, 3, 1)  # distances have no order of entries; saves a copy
                paired = rows.reshape(batch.n_views, len(batch.positions), -1)
                drawn = draw_distances(paired, distance=distance, normalize=normalize, pairing=pairing)
                return _finite(drawn.cpu().numpy(), name), paired.shape[-1]

            parts = {reader: reader.read(batch, reduce) for reader in dict.fromkeys(readers)}
            totals.add(batch, [parts[reader] for reader in readers])
    totals.refuse_unchanging(final=True)
    _warn_if_collapsed(totals.mean)
    return Measurement(totals.layers, totals.mean, totals.draws)


class _Totals:
    """Alignment summed over draws as batches come in; shapes as in ``Measurement``."""

    def __init__(self, n: int, n_views: int, pairing: Pairing) -> None:
        self.n, self.n_draws, self.pairing = n, n_views, pairing
        self.layers: tuple[str, ...] = ()
        self.mean = self.draws = np.empty(0)
        self._compared, self._changed = 0, False
        self._filled = np.zeros(n, np.int64)

    @property
    def is_empty(self) -> bool:
        """Whether no batch has come yet."""
        return not self.layers

    def add(self, batch: ViewBatch, parts: list[dict[str, tuple[Floats, int]]]) -> None:
        """Adds the components (D, B) and widths of every encoder and layer."""
        self._compared += len(batch.positions)
        self._changed = self._changed or batch.differ
        self.refuse_unchanging(final=False)
        if self.is_empty:
            self.layers = _agreed_layers(parts)
            self.mean = np.zeros((len(parts), len(self.layers), self.n))
            self.draws = np.empty((len(parts), self.n, self.n_draws))
        first = int(self._filled[batch.positions[0]])
        for e, part in enumerate(parts):
            for layer, name in enumerate(self.layers):
                self.mean[e, layer, batch.positions] += part[name][0].sum(axis=0) / self.n_draws
            drawn = part[self.layers[-1]][0]
            self.draws[e, batch.positions, first : first + len(drawn)] = drawn.T
        self._filled[batch.positions] += len(drawn)

    def refuse_unchanging(self, *, final: bool) -> None:
        """Refuses an augmentation under which all views of (at first 64) points are equal."""
        if self._changed or (not final and self._compared < 64):
            return
        other = "the point itself" if self.pairing == "anchor" else "each other"
        raise ValueError(
            f"all views equal {other} at {self._compared} points: augment changes nothing at random, so "
            "every alignment loss is 0 by construction. Score with the augmentation of the encoder's training"
        )


def _schedule(pairing: Pairing, n_views: int, *, one_call: bool) -> list[list[int]]:
    """View numbers of every encoder call; one call per chunk of points unless the data is one graph."""
    if pairing not in get_args(Pairing):
        raise ValueError(f"pairing must be one of {', '.join(get_args(Pairing))}; got {pairing!r}")
    least = 2 if pairing == "all" else 1
    if isinstance(n_views, bool) or not isinstance(n_views, int | np.integer) or n_views < least:
        raise ValueError(f"n_views must be an integer >= {least} for pairing={pairing!r}, got {n_views!r}")
    if pairing == "all":
        return [list(range(n_views))]
    if pairing == "anchor":
        return [[CLEAN, *range(n_views)]] if one_call else [[CLEAN, view] for view in range(n_views)]
    return [list(range(2 * n_views))] if one_call else [[2 * k, 2 * k + 1] for k in range(n_views)]


def _finite(drawn: Floats, name: str) -> Floats:
    """The components, refused if the representations held nan or inf."""
    bad = np.logical_not(np.isfinite(drawn)).any(axis=0)
    if bad.any():
        raise ValueError(
            f"representations at {name!r} are not finite for {int(bad.sum())} of {drawn.shape[1]} points; check "
            "the encoder's weights and the range of the augmented inputs"
        )
    return drawn


def _agreed_layers(parts: list[dict[str, tuple[Floats, int]]]) -> tuple[str, ...]:
    """Layer names in execution order, the same order and widths for all encoders."""
    widths = [{name: width for name, (_, width) in part.items()} for part in parts]
    for other in widths[1:]:
        if list(other.items()) != list(widths[0].items()):
            raise ValueError(
                "encoders must share one architecture: the first gives (layer: numbers per point) "
                f"{widths[0]}, another {other}"
            )
    return tuple(widths[0])


def _warn_if_collapsed(mean: Floats) -> None:
    """Warns if an encoder maps all (different) views of all points to one representation."""
    collapsed = np.flatnonzero((mean[:, -1] == 0).all(axis=1))
    if len(collapsed):
        warnings.warn(
            f"encoder {', '.join(map(str, collapsed))} gives one representation for all views of every point: "
            "it has collapsed (or ignores its input), and its alignment loss of 0 does not mean memorization",
            CollapsedEncoderWarning,
            stacklevel=4,
        )
