"""Pictures and null baselines of the generated graph, for its data card."""

from __future__ import annotations

import base64
import functools
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trustlib.data.block_graphs import SHARES, block_graph

_COLORS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161")  # seaborn's "colorblind"
_SIDE = 480  # pixels


def block_graph_pictures() -> str:
    """Pictures and null baselines as Markdown; both are made anew from the generator."""
    constant, words, neighbours = null_accuracies()
    return (
        "![Left: 300 nodes in six colours joined by lines; nodes of one colour lie together. Right: a square of dots, "
        f"dense in six blocks along the diagonal.](data:image/png;base64,{_sheet()})\n\n"
        "*Left: the largest connected part of a graph of 300 nodes, one colour per class. Right: the adjacency matrix "
        "of 1 200 nodes sorted by class.*\n\n"
        "**Null baselines** (1 200 nodes, seed 0; a random half of the nodes is known, the other half is scored): "
        f"accuracy {constant:.3f} for the most frequent class, {words:.3f} for the class whose mean text is most "
        f"similar, {neighbours:.3f} for the most frequent class among known neighbours (the most frequent class where "
        "there are none)."
    )


@functools.cache
def null_accuracies() -> tuple[float, float, float]:
    """Accuracy of a constant class, of texts alone, and of known neighbours alone."""
    edges, texts, classes = block_graph()
    known = np.random.default_rng(0).permutation(len(classes)) < len(classes) // 2
    kinds = len(SHARES)
    shares = np.bincount(classes[known], minlength=kinds)
    constant = np.full(len(classes), shares.argmax())
    one_hot = np.eye(kinds)[classes] * known[:, None]
    means = (texts.T @ one_hot) / shares  # (words, classes)
    similarity = texts @ (means / np.linalg.norm(means, axis=0))
    votes = np.zeros((len(classes), kinds))
    np.add.at(votes, edges[0], one_hot[edges[1]])
    voted = np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), constant)
    scored = [(guess == classes)[~known].mean() for guess in (constant, similarity.argmax(axis=1), voted)]
    return float(scored[0]), float(scored[1]), float(scored[2])


@functools.cache
def _sheet() -> str:
    """Both pictures side by side, as a PNG in base 64."""
    from PIL import Image

    sheet = Image.new("RGB", (2 * _SIDE + 20, _SIDE), "white")
    sheet.paste(_layout(), (0, 0))
    sheet.paste(_matrix(), (_SIDE + 20, 0))
    stream = io.BytesIO()
    sheet.quantize(64).save(stream, format="PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def _layout() -> Any:
    """The largest connected part of a small graph: springs along edges, repulsion between all nodes."""
    import scipy.sparse
    from PIL import Image, ImageDraw
    from scipy.sparse.csgraph import connected_components

    edges, _, classes = block_graph(300, seed=1)
    n = len(classes)
    adjacency = scipy.sparse.csr_matrix((np.ones(edges.shape[1]), edges), shape=(n, n))
    part = connected_components(adjacency, directed=False)[1]
    kept = np.flatnonzero(part == np.bincount(part).argmax())
    matrix = adjacency[kept][:, kept].toarray()
    place = _springs(matrix)
    picture = Image.new("RGB", (2 * _SIDE, 2 * _SIDE), "white")
    draw = ImageDraw.Draw(picture)
    dots = 40 + place * (2 * _SIDE - 80)
    for i, j in np.argwhere(np.triu(matrix)):
        draw.line([*dots[i], *dots[j]], fill="#b0b0b0", width=1)
    for (x, y), kind in zip(dots, classes[kept], strict=True):
        draw.ellipse([x - 9, y - 9, x + 9, y + 9], fill=_COLORS[kind], outline="white")
    return picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)


def _springs(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions (n, 2) in [0, 1] (Fruchterman and Reingold 1991)."""
    n = len(matrix)
    place = np.random.default_rng(0).random((n, 2))
    ideal = np.sqrt(1.0 / n)
    for step in np.linspace(0.1, 0.002, 150):
        gap = place[:, None] - place[None]  # (n, n, 2)
        distance = np.maximum(np.sqrt((gap**2).sum(-1)), 1e-3)
        force = ideal**2 / distance**2 - matrix * distance / ideal
        move = (gap * force[:, :, None]).sum(axis=1)
        length = np.maximum(np.linalg.norm(move, axis=1, keepdims=True), 1e-9)
        place = place + move / length * np.minimum(length, step)
    low, high = place.min(axis=0), place.max(axis=0)
    spread: NDArray[np.float64] = (place - low) / (high - low)
    return spread


def _matrix() -> Any:
    """Adjacency sorted by class; darker where more of the node pairs under a pixel are joined."""
    from PIL import Image

    edges, _, classes = block_graph()
    rank = np.argsort(np.argsort(classes, kind="stable"))
    cells = _SIDE // 2
    place = rank[edges] * cells // len(classes)
    counts = np.zeros((cells, cells))
    np.add.at(counts, tuple(place), 1)
    grey = np.rint(255 * (1 - np.minimum(counts / 2, 1))).astype(np.uint8)
    return Image.fromarray(grey).resize((_SIDE, _SIDE), Image.Resampling.NEAREST).convert("RGB")
