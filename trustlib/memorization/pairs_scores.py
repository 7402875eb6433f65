"""Scores of points and of layers under pairs of encoders, with the external points beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.distances import Distance
from trustlib.memorization.layermem import LayerMem, layermem
from trustlib.memorization.pairs import EncoderPair, Pixels, Pool
from trustlib.memorization.scores import Normalization, sslmem_from_alignment
from trustlib.memorization.sslmem import sslmem

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

Floats = NDArray[np.float64]


def score_pairs(
    pairs: Sequence[EncoderPair],
    pool: Pool,
    augment: Any,
    *,
    n_views: int = 10,
    normalization: Normalization = "ratio",
    distance: Distance = "l2",
    subsets: str = "SCIE",
    seed: int = 0,
    batch_size: int = 256,
) -> pd.DataFrame:
    """SSLMem of all points under every pair, on unit-norm representations.

    Args:
        pairs: trained on the pool.
        pool: the images.
        augment: distribution of the views.
        n_views: views per point; all pairs of them are compared.
        normalization: of the column ``score``, over all points of a pair; ``ratio`` stands beside it always.
        distance: see `alignment_loss`.
        subsets: letters of those to score.
        seed: of the views, other than those of the trainings.
        batch_size: views per encoder call.

    Returns:
        One row per pair and point of the split, external points included: columns pair, subset ("S", "C", "I", "E"),
        point (identity), align_f, align_g, ratio, score.
    """
    import pandas as pd

    frames = []
    for number, pair in enumerate(pairs):
        every = {**pair.split.subsets, "E": pool.external_index}
        parts = {name: every[name] for name in subsets}
        index = np.concatenate(list(parts.values()))
        found = sslmem(
            pair.f, pair.g, as_tensor(pool.everything[index]), augment, n_views=n_views, pairing="all",
            distance=distance, normalize=True, seed=seed, batch_size=batch_size, index=index,
        )  # fmt: skip
        f, g = found.align_f[0], found.align_g[0]
        columns = {
            "pair": number,
            "subset": np.repeat(list(parts), [len(p) for p in parts.values()]),
            "point": index,
            "align_f": f,
            "align_g": g,
            "ratio": sslmem_from_alignment(f, g, normalization="ratio"),
            "score": sslmem_from_alignment(f, g, normalization=normalization),
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def subset_arrays(frame: pd.DataFrame, column: str = "ratio") -> dict[str, Floats]:
    """Scores by subset, each of shape (pairs, points); what the comparisons of subsets take.

    Args:
        frame: of `score_pairs`.
        column: which score.

    Example:
        >>> import pandas as pd
        >>> rows = {"pair": [0, 0, 1, 1], "subset": list("CECE"), "ratio": [0.3, 0.0, 0.4, 0.1]}
        >>> subset_arrays(pd.DataFrame(rows))["C"]
        array([[0.3],
               [0.4]])
    """
    return {
        str(name): np.stack([group[column].to_numpy() for _, group in rows.groupby("pair", sort=True)])
        for name, rows in frame.groupby("subset", sort=False)
    }


def layer_scores(
    pairs: Sequence[EncoderPair],
    pool: Pool,
    augment: Any,
    layers: Sequence[str],
    *,
    n_views: int = 10,
    distance: Distance = "l2",
    seed: int = 0,
    batch_size: int = 256,
) -> LayerMem:
    """LayerMem of every pair's own candidates, with the external points as control, on unit-norm representations.

    Args:
        pairs: trained on the pool, with equally many candidates.
        pool: the images.
        augment: distribution of the views.
        layers: dotted names.
        n_views: see `score_pairs`.
        distance: see `score_pairs`.
        seed: of the views.
        batch_size: views per encoder call.

    Returns:
        Scores (pairs, layers, candidates) and control scores (pairs, layers, external points).
    """
    tables = [
        layermem(
            pair.f, pair.g, as_tensor(pool.pixels[pair.split.candidate]), augment, layers=layers,
            control=as_tensor(pool.external), n_views=n_views, pairing="all", distance=distance, normalize=True,
            seed=seed, batch_size=batch_size, index=pair.split.candidate, control_index=pool.external_index,
        )
        for pair in pairs
    ]  # fmt: skip
    controls = [t.control_scores for t in tables if t.control_scores is not None]
    scores = np.concatenate([t.scores for t in tables])
    return LayerMem(tables[0].layers, scores, np.concatenate(controls))


def conv_layers(encoder: nn.Module, count: int = 8) -> list[str]:
    """Names of convolutions, evenly spread from the first to the last where there are more than ``count``.

    Example:
        >>> from trustlib.encoders import backbone
        >>> conv_layers(backbone("resnet9"), 3)
        ['body.conv1.conv', 'body.conv4.conv', 'body.conv8.conv']
    """
    from torch import nn

    found = [name for name, m in encoder.named_modules() if isinstance(m, nn.Conv2d)]
    if len(found) <= count:
        return found
    return [found[i] for i in np.floor(np.linspace(0, len(found) - 1, count) + 0.25).astype(int)]


def as_tensor(pixels: Pixels) -> Any:
    """Pixels as a tensor, bytes kept."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels))
