"""LayerMem: where in the encoder points are memorized; all layers in one pass over the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.encoders import layer_names
from trustlib.memorization.alignment import measure
from trustlib.memorization.distances import Distance, Pairing
from trustlib.memorization.resampling import draw_runs, resampled_means
from trustlib.memorization.responses import Reader
from trustlib.memorization.scores import sslmem_from_alignment
from trustlib.memorization.sslmem import as_runs, warn_if_shared
from trustlib.memorization.views import Augment, Views

if TYPE_CHECKING:
    import pandas as pd

    from trustlib.memorization.responses import Encoder, Forward

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LayerMem:
    """Ratio scores of points after every layer.

    ``layers`` in execution order; ``scores`` (pairs, L, n) of the candidates; ``control_scores``
    (pairs, L, m) of points that neither encoder saw, or None.
    """

    layers: tuple[str, ...]
    scores: Floats
    control_scores: Floats | None

    @property
    def layermem(self) -> Floats:
        """Mean score per layer over candidates and encoder pairs, shape (L,)."""
        return self.scores.mean(axis=(0, 2))

    @property
    def delta(self) -> Floats:
        """LayerMem minus that of the previous layer in execution order, nan for the first, shape (L,)."""
        return np.concatenate([[np.nan], np.diff(self.layermem)])

    @property
    def excess(self) -> Floats:
        """LayerMem of the candidates minus that of the control, shape (L,)."""
        return self.excess_by_pair.mean(axis=0)

    @property
    def excess_by_pair(self) -> Floats:
        """`excess` of every encoder pair, shape (pairs, L)."""
        if self.control_scores is None:
            raise ValueError("excess needs control points: pass control= to layermem")
        return self.scores.mean(axis=2) - self.control_scores.mean(axis=2)

    @property
    def gain_by_pair(self) -> Floats:
        """Excess minus that of the previous layer, nan for the first, for every encoder pair, shape (pairs, L)."""
        return np.diff(self.excess_by_pair, axis=1, prepend=np.nan)

    def bootstrap(self, *, n_boot: int = 2000, seed: int = 0) -> Floats:
        """Replicates of the excess (of LayerMem where there is no control), shape (n_boot, L).

        Encoder pairs, then points, are drawn with replacement; layers share the draws, so that differences
        and rank correlations over layers may be taken within a replicate.

        Args:
            n_boot: replicates.
            seed: of the draws.
        """
        rng = np.random.default_rng(seed)
        drawn = draw_runs(len(self.scores), n_boot, rng)
        means = resampled_means(self.scores, drawn, rng)
        if self.control_scores is None:
            return means
        return means - resampled_means(self.control_scores, drawn, rng)

    def to_frame(self, *, confidence: float = 0.95, n_boot: int = 2000, seed: int = 0) -> pd.DataFrame:
        """One row per layer in execution order.

        Columns: layer, previous (empty for the first), layermem, delta; control, excess and delta_excess where
        there is a control; low and high, the bootstrap interval of excess (of layermem without control); delta_low and
        delta_high, that of its difference to the previous layer.

        Args:
            confidence: of the intervals.
            n_boot: bootstrap replicates.
            seed: of the bootstrap.
        """
        import pandas as pd

        tail = (1 - confidence) / 2
        replicates = self.bootstrap(n_boot=n_boot, seed=seed)
        low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
        steps = np.quantile(np.diff(replicates, axis=1), [tail, 1 - tail], axis=0)
        columns: dict[str, Any] = {
            "layer": self.layers,
            "previous": ["", *self.layers[:-1]],
            "layermem": self.layermem,
            "delta": self.delta,
        }
        if self.control_scores is not None:
            columns["control"] = self.control_scores.mean(axis=(0, 2))
            columns["excess"] = self.excess
            columns["delta_excess"] = np.concatenate([[np.nan], np.diff(self.excess)])
        columns |= {"low": low, "high": high}
        columns["delta_low"] = np.concatenate([[np.nan], steps[0]])
        columns["delta_high"] = np.concatenate([[np.nan], steps[1]])
        return pd.DataFrame(columns)

    def subset(self, points: ArrayLike) -> LayerMem:
        """The same layers on some of the candidates, for example the most memorized ones.

        Choose them by scores from *other* augmentation draws (another ``seed``): chosen and measured on the
        same draws, the tails separate even among points that nobody saw.

        Args:
            points: integer positions or a bool mask among the candidates.
        """
        return LayerMem(self.layers, self.scores[:, :, np.asarray(points)], self.control_scores)


def layermem(
    f: Encoder | Sequence[Encoder],
    g: Encoder | Sequence[Encoder],
    data: Any,
    augment: Augment,
    *,
    layers: Sequence[str] | None = None,
    control: Any = None,
    n_views: int = 10,
    pairing: Pairing = "independent",
    distance: Distance = "l2",
    normalize: bool = False,
    seed: int = 0,
    batch_size: int = 256,
    index: ArrayLike | None = None,
    control_index: ArrayLike | None = None,
    forward_fn: Forward | None = None,
) -> LayerMem:
    """Memorization after every layer, all layers in one pass.

    LayerMem(l) = mean over candidates x of (L_A(g^l, x) - L_A(f^l, x)) / (L_A(f^l, x) + L_A(g^l, x)), with
    f^l the flattened output after layer l; delta(l) = LayerMem(l) - LayerMem(previous layer). Each layer is
    reduced to one number per point inside its hook: memory O(layers x batch) beside the largest activation.

    Delta depends on the list of layers (a residual sum or a normalisation in between changes the next
    delta): fix the list before looking. LayerMem of candidates alone also contains encoder-wide
    differences of f and g: pass ``control`` and read the excess.

    Args:
        f: encoder, or one per training run, that saw the candidates.
        g: as many encoders that did not; f[i] and g[i] are a pair.
        data: the candidates; see ``alignment_loss``.
        augment: of the training.
        layers: dotted module names, "input:NAME" for what enters a module; default every convolution, every
            linear layer and every block that holds some (its output is the residual sum).
        control: points that neither encoder saw, same kind as ``data``.
        n_views: see ``alignment_loss``.
        pairing: see ``alignment_loss``.
        distance: see ``alignment_loss``.
        normalize: see ``alignment_loss``.
        seed: of the views.
        batch_size: views per encoder call.
        index: identity of each candidate.
        control_index: identity of each control point; default following the candidates', so that no
            view is drawn twice.
        forward_fn: see ``alignment_loss``; what it returns is ignored, the layers are read.

    Returns:
        Scores per pair, layer and point, and the table.

    Raises:
        ValueError: unknown layer (the message lists the layers), a layer that runs twice or not at all,
            unequal numbers of encoders, and as ``alignment_loss``.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> add_noise = lambda x, generator: x + torch.randn(x.shape, generator=generator)
        >>> import copy
        >>> table = layermem(net, copy.deepcopy(net), torch.zeros(5, 4), add_noise, layers=["2", "0"])
        >>> table.layers, table.layermem  # order of execution; equal encoders score exactly 0
        (('0', '2'), array([0., 0.]))

    Source: Wang et al., NeurIPS 2024, eq. 2 to 4.
    """
    runs_f, runs_g = as_runs(f, "f"), as_runs(g, "g")
    if len(runs_f) != len(runs_g):
        raise ValueError(f"layermem pairs f[i] with g[i]; got {len(runs_f)} encoders f and {len(runs_g)} g")
    warn_if_shared(zip(runs_f, runs_g, strict=True))
    candidates = Views(data, augment, seed=seed, batch_size=batch_size, index=index)
    names = _all_layers(runs_f[0], candidates, forward_fn) if layers is None else list(layers)
    sources = [candidates]
    if control is not None:
        unseen = Views(control, augment, seed=seed, batch_size=batch_size, index=control_index)
        if control_index is None:
            unseen.index = unseen.index + candidates.index.max() + 1
        sources.append(unseen)
    measured = [
        measure(
            [*runs_f, *runs_g], views, n_views=n_views, pairing=pairing, distance=distance,
            normalize=normalize, layers=names, forward_fn=forward_fn,
        )
        for views in sources
    ]  # fmt: skip
    scores = [_ratio(m.mean[: len(runs_f)], m.mean[len(runs_f) :]) for m in measured]
    return LayerMem(measured[0].layers, scores[0], scores[1] if len(scores) > 1 else None)


def _all_layers(encoder: Encoder, views: Views, forward_fn: Forward | None) -> list[str]:
    """Layers of the default list."""
    from torch import nn

    if not isinstance(encoder, nn.Module):
        raise TypeError(
            f"layermem needs torch modules, whose layers it can read; got {type(encoder).__name__}"
        )
    reader, batch = Reader(encoder, None, forward_fn), next(views.batches([[0]]))
    return layer_names(encoder, batch, rows=batch.rows, forward_fn=lambda _encoder, given: reader.run(given))


def _ratio(align_f: Floats, align_g: Floats) -> Floats:
    """Ratio scores per pair, layer and point, all of shape (pairs, L, n)."""
    flat = sslmem_from_alignment(align_f.ravel(), align_g.ravel(), normalization="ratio")
    return flat.reshape(align_f.shape)
