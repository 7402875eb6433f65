"""SSLMem of points from two (sets of) encoders: one trained on them, one trained without them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.alignment import measure
from trustlib.memorization.distances import Distance, Pairing
from trustlib.memorization.scores import Normalization, score_slopes, sslmem_from_alignment
from trustlib.memorization.views import Augment, Views

if TYPE_CHECKING:
    import pandas as pd

    from trustlib.memorization.responses import Encoder, Forward

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SSLMem:
    """Memorization of n points by encoder f, against reference g.

    ``scores`` (n,) under ``normalization``; ``align_f`` (runs of f, n) and ``align_g`` (runs of g, n);
    ``view_error`` (n,) standard error of the score over augmentation draws, encoders fixed (nan if the
    draws are too few); ``run_error`` (n,) standard error over training runs, each run one encoder (nan if
    f or g has a single run); ``index`` (n,) the points.
    """

    scores: Floats
    align_f: Floats
    align_g: Floats
    view_error: Floats
    run_error: Floats
    normalization: Normalization
    distance: Distance
    index: NDArray[np.int64]

    @property
    def standard_error(self) -> Floats:
        """Error of the score over draws, and over training runs where there are several; shape (n,)."""
        return np.sqrt(self.view_error**2 + np.nan_to_num(self.run_error) ** 2)

    def to_frame(self, index: ArrayLike | None = None) -> pd.DataFrame:
        """One row per point; the score's column carries the name of its normalisation.

        Args:
            index: labels of the rows, shape (n,); default the points' own.
        """
        import pandas as pd

        columns = {
            f"sslmem_{self.normalization}": self.scores,
            "align_f": self.align_f.mean(axis=0),
            "align_g": self.align_g.mean(axis=0),
            "view_error": self.view_error,
            "run_error": self.run_error,
        }
        rows = self.index if index is None else np.asarray(index)
        return pd.DataFrame(columns, index=pd.Index(rows, name="point"))


def sslmem(
    f: Encoder | Sequence[Encoder],
    g: Encoder | Sequence[Encoder],
    data: Any,
    augment: Augment,
    *,
    normalization: Normalization = "none",
    n_views: int = 10,
    pairing: Pairing = "independent",
    distance: Distance = "l2",
    normalize: bool = False,
    seed: int = 0,
    batch_size: int = 256,
    index: ArrayLike | None = None,
    forward_fn: Forward | None = None,
) -> SSLMem:
    """How much better f aligns the views of each point than g, a reference trained without the point.

    m(x) = E_g L_A(g, x) - E_f L_A(f, x), normalised as named. All encoders see the same views of a point.

    A positive score of a candidate is not memorization by itself: where g is a little worse than f
    everywhere, all points score above 0. Score shared, independent and external points too, and read the
    differences (``compare_subsets``).

    Args:
        f: encoder, or encoders of several training runs, that saw the points.
        g: encoder or encoders of the same architecture that did not.
        data: see ``alignment_loss``.
        augment: see ``alignment_loss``; use the augmentation of the training.
        normalization: "none", "range", "ratio" or "maxmax" (``sslmem_from_alignment`` explains them).
        n_views: see ``alignment_loss``.
        pairing: see ``alignment_loss``.
        distance: see ``alignment_loss``.
        normalize: see ``alignment_loss``.
        seed: of the views.
        batch_size: views per encoder call.
        index: identity of each point, for shards.
        forward_fn: see ``alignment_loss``.

    Returns:
        Scores with alignments and standard errors.

    Raises:
        ValueError: as ``alignment_loss`` and ``sslmem_from_alignment``; f and g differ in the shape of their
            output.

    Warns:
        UserWarning: one encoder is in both f and g.
        CollapsedEncoderWarning: an encoder maps all views of all points to one representation.

    Example:
        >>> import torch
        >>> add_noise = lambda x, generator: x + torch.randn(x.shape, generator=generator)
        >>> f, g = (lambda x: 0.5 * x), (lambda x: x)
        >>> sslmem(f, g, torch.zeros(3, 4), add_noise, normalization="ratio").scores  # (1 - .5) / (1 + .5)
        array([0.33333333, 0.33333333, 0.33333333])

    Source: Wang et al., ICLR 2024; Wang et al., NeurIPS 2024, eq. 1 and 2.
    """
    if normalization not in get_args(Normalization):
        raise ValueError(
            f"normalization must be one of {', '.join(get_args(Normalization))}; got {normalization!r}"
        )
    runs_f, runs_g = as_runs(f, "f"), as_runs(g, "g")
    warn_if_shared(product(runs_f, runs_g))
    views = Views(data, augment, seed=seed, batch_size=batch_size, index=index)
    measured = measure(
        [*runs_f, *runs_g], views, n_views=n_views, pairing=pairing, distance=distance, normalize=normalize,
        forward_fn=forward_fn,
    )  # fmt: skip
    k = len(runs_f)
    align_f, align_g = measured.mean[:k, 0], measured.mean[k:, 0]
    slopes = score_slopes(align_f.mean(axis=0), align_g.mean(axis=0), normalization=normalization)
    influence = slopes[0][:, None] * measured.draws[:k].mean(axis=0)
    influence = influence + slopes[1][:, None] * measured.draws[k:].mean(axis=0)
    return SSLMem(
        scores=sslmem_from_alignment(align_f, align_g, normalization=normalization),
        align_f=align_f,
        align_g=align_g,
        view_error=_view_error(influence, pairing),
        run_error=np.hypot(slopes[0] * _error_over_runs(align_f), slopes[1] * _error_over_runs(align_g)),
        normalization=normalization,
        distance=distance,
        index=views.index,
    )


def as_runs(encoders: Encoder | Sequence[Encoder], name: str) -> list[Encoder]:
    """One encoder or several as a list; a torch Sequential is one encoder."""
    runs: list[Encoder] = (
        list(encoders) if isinstance(encoders, list | tuple) else [cast("Encoder", encoders)]
    )
    if not runs or not all(callable(run) for run in runs):
        raise TypeError(f"{name} must be an encoder (module or callable) or a list of encoders")
    return runs


def warn_if_shared(pairs: Iterable[tuple[Encoder, Encoder]]) -> None:
    """Warns where f and g are the same object, for which all scores are 0."""
    if any(one is other for one, other in pairs):
        warnings.warn(
            "f and g hold the same encoder, for which every score is 0 by construction; g must be trained "
            "without the candidates",
            UserWarning,
            stacklevel=3,
        )


def _view_error(draws: Floats, pairing: Pairing) -> Floats:
    """Standard error of the mean over draws (n, D): plain, or jackknife over views for all pairs."""
    d = draws.shape[1]
    spread = ((draws - draws.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    if pairing != "all":
        return np.sqrt(spread / (d * (d - 1))) if d > 1 else np.full(len(draws), np.nan)
    # leaving out view a moves the mean of all pairs by 2 (mean - draw_a) / (d - 2)
    return 2 * np.sqrt((d - 1) / d * spread) / (d - 2) if d > 2 else np.full(len(draws), np.nan)


def _error_over_runs(align: Floats) -> Floats:
    """Standard error of the mean over runs (R, n); nan for one run."""
    runs = len(align)
    return align.std(axis=0, ddof=1) / np.sqrt(runs) if runs > 1 else np.full(align.shape[1], np.nan)
