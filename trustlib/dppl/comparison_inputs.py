"""From names to encoders, public pools and tasks: what a comparison is run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.comparison_sources import Pixels, Sources, load_pool, load_sources
from trustlib.dppl.comparison_tasks import Task, embed_sources, graded_encoders

if TYPE_CHECKING:
    from torch import nn

GRADES = {"untrained": 0.0, "short": 0.2, "trained": 1.0}  # share of the training steps
_SMALL = {
    "digits": (600, 830, 350),
    "stl10": (2000, 3000, 4000),
}  # public, private and test images of small sets


def choose_encoders(
    names: Sequence[str], sources: Sources, *, steps: int, seed: int = 0, progress: bool | None = None
) -> dict[str, nn.Module | str]:
    """Encoders by name: three grades of one small network, or published ones.

    Args:
        names: "untrained", "short" (a fifth of the steps) and "trained" are stages of one training with labels on the
            training images; other names, such as "timm:vit_base_patch16_224", are loaded when they are needed.
        sources: for the training images.
        steps: of the whole training, >= 5.
        seed: of weights and order.
        progress: see `trustlib.encoders.train`.

    Returns:
        Networks, or names of published ones, in the order given.

    Raises:
        ValueError: a name that is neither a grade nor has a colon.

    Source: this book. The paper compares four published encoders.
    """
    unknown = [name for name in names if name not in GRADES and ":" not in name]
    if unknown or not names:
        raise ValueError(
            f"encoders must be among {', '.join(GRADES)} or look like timm:NAME, got {list(unknown or names)}."
        )
    graded = {name: round(GRADES[name] * steps) for name in names if name in GRADES}
    trained = graded_encoders(sources, graded, seed=seed, progress=progress) if graded else {}
    return {name: trained.get(name, name) for name in names}


def choose_pools(
    names: Sequence[str], sources: Sources, n: int, *, seed: int = 0
) -> dict[str, tuple[Pixels, NDArray[np.int64]]]:
    """Images of public pools, and which private class they show.

    Args:
        names: "held_out" for the pool of the sources, or as for `load_pool`.
        sources: the data set.
        n: images of every other pool.
        seed: of noise and crops.

    Returns:
        Images (m, 3, size, size) and labels int64 (m,) by name; -1 where an image shows no private class, or where it
        is not known. The labels are for figures only.
    """
    found: dict[str, tuple[Pixels, NDArray[np.int64]]] = {}
    for name in names:
        if name == "held_out":
            found[name] = sources.public, sources.public_labels
        else:
            pixels = load_pool(name, n, size=sources.private.shape[-1], seed=seed)
            found[name] = pixels, np.full(len(pixels), -1)
    return found


def further_tasks(
    sources: Sources,
    encoders: dict[str, nn.Module | str],
    datasets: Sequence[str],
    *,
    n_public: int,
    n_private: int,
    n_test: int,
) -> dict[str, Task]:
    """One task for every combination of an encoder with a data set, with a held-out pool.

    Args:
        sources: the first data set.
        encoders: as `choose_encoders` returns them; those trained here were trained on the first data set.
        datasets: names of further data sets with labels.
        n_public: images of their pools; small sets have fewer.
        n_private: private images.
        n_test: test images.

    Returns:
        Tasks by "data set, encoder".
    """
    found = {}
    for name in (sources.name, *datasets):
        sizes = _SMALL.get(name, (n_public, n_private, n_test))
        counts = dict(zip(("n_public", "n_private", "n_test"), sizes, strict=True))
        size = sources.private.shape[-1]
        parts = sources if name == sources.name else load_sources(name, n_training=0, **counts, size=size)
        for key, encoder in encoders.items():
            label = f"{name}, {key.split('.')[0]}"
            found[label] = embed_sources(parts, encoder, {"held_out": parts.public}, name=label)
    return found
