"""How close public samples are to the private samples of each class, summed in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trustlib.dppl.checks import Matrix, class_index, shape_of, whole, window
from trustlib.dppl.embeddings import Precision, check_precision, choose_device, read_rows, rows_and_lengths

_TILE_BYTES = 1 << 24  # of one tile of cosines: small enough to stay in cache on a processor
_TILE_BYTES_GPU = 1 << 28


@dataclass(frozen=True)
class PrivateRows:
    """Private embeddings of unit length, sorted by class; not private, and never kept by an estimator.

    Args:
        rows: shape (n, d), on the device of the computation.
        starts: first row of each class and the end, shape (C + 1,).
        classes: the public list of classes, shape (C,).
    """

    rows: Tensor
    starts: NDArray[np.int64]
    classes: NDArray[Any]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Records in each class, shape (C,)."""
        return np.diff(self.starts)

    def part(self, first: int, last: int) -> PrivateRows:
        """The classes first, ..., last - 1 alone."""
        starts = self.starts[first : last + 1]
        return PrivateRows(self.rows[starts[0] : starts[-1]], starts - starts[0], self.classes[first:last])


@dataclass(frozen=True)
class Scoring:
    """How scores are computed: the public window, and what only changes speed and memory.

    Args:
        d_min: lower end of the counted similarities, >= 0.
        d_max: upper end, <= 2.
        block_size: public samples scored at a time, >= 1.
        precision: of the matrix products; sums are in float32 or wider.
        device: None for that of the first tensor given, or the processor.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> Scoring(d_min=1.0, d_max=1.9).clips
        True
    """

    d_min: float
    d_max: float
    block_size: int = 8192
    precision: Precision = "float32"
    device: str | torch.device | None = None

    def __post_init__(self) -> None:
        window(self.d_min, self.d_max)
        whole("block_size", self.block_size, why="It counts public samples.")
        check_precision(self.precision)

    @property
    def clips(self) -> bool:
        """Whether the window is narrower than all similarities, so that samples are clipped one by one."""
        return self.d_min > 0 or self.d_max < 2


def class_scores(
    embeddings: Matrix,
    labels: ArrayLike | Tensor,
    public_embeddings: Matrix,
    *,
    classes: Sequence[Any] | None,
    d_min: float,
    d_max: float,
    block_size: int = 8192,
    precision: Precision = "float32",
    device: str | torch.device | None = None,
) -> NDArray[np.float64]:
    """How close every public sample is to each class: the utilities of the selection.

    u[c, v] = sum over x in class c of (clip(1 + cos(x, v), d_min, d_max) - d_min) / (d_max - d_min)

    Every private sample is clipped before the sum, so one record moves every u[c, v] by an amount in [0, 1] and all of
    them in the same direction. These values are functions of the private data: for audits and experiments, not for
    release.

    Args:
        embeddings: private samples, shape (n, d), NumPy or torch, float16 to float64.
        labels: their classes, shape (n,).
        public_embeddings: candidates, shape (M, d); anything with ``shape`` that slices into arrays, such as a
            memory-mapped file, is read ``block_size`` rows at a time.
        classes: public list of the C classes; None reads it off the labels, with a warning.
        d_min: lower end of the counted similarities, 0 <= d_min < d_max.
        d_max: upper end, <= 2. Without clipping (0, 2) scores cost O(n d + C M d), else O(n M d).
        block_size: public samples at a time.
        precision: of the products; "float16" and "bfloat16" are added up in float32.
        device: None for that of the first tensor, or the processor.

    Returns:
        float64 (C, M), each row between 0 and the size of the class; an empty class has zeros.

    Raises:
        ValueError: shapes that do not fit, zero rows, NaN, labels outside the classes, or a bad window.
        TypeError: values that are not numbers.

    Example:
        >>> class_scores([[1.0, 0.0], [0.0, 1.0]], [0, 0], [[1.0, 0.0], [-1.0, 0.0]], classes=[0], d_min=0, d_max=2)
        array([[1.5, 0.5]])

    Source: Wahdany et al. 2025, score of DPPL-Public (clipping per private sample, as in the authors' programs).
    """
    scoring = Scoring(d_min, d_max, block_size, precision, device)
    private = read_private(embeddings, labels, public_embeddings, classes=classes, scoring=scoring)
    scores = np.empty((len(private.classes), shape_of("public_embeddings", public_embeddings)[0]))
    for start, block in score_blocks(private, public_embeddings, scoring):
        scores[:, start : start + block.shape[1]] = block
    return scores


def read_private(
    embeddings: Matrix,
    labels: ArrayLike | Tensor,
    public_embeddings: Matrix,
    *,
    classes: Sequence[Any] | None,
    scoring: Scoring,
) -> PrivateRows:
    """Checked private samples, sorted by class, of unit length, on the device of the computation."""
    n, d = shape_of("embeddings", embeddings)
    shape_of("public_embeddings", public_embeddings, dim=d)
    index, known = class_index(labels, classes, n=n)
    where = choose_device(scoring.device, embeddings, public_embeddings)
    wide: Precision = "float64" if scoring.precision == "float64" else "float32"
    rows = read_rows(
        "embeddings", embeddings, precision=scoring.precision if scoring.clips else wide, device=where
    )
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(known) + 1))
    return PrivateRows(rows[torch.from_numpy(order).to(where)], starts, known)


def score_blocks(
    private: PrivateRows, public_embeddings: Matrix, scoring: Scoring
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The scores block by block of public samples: pairs of the first column and float64 (C, block)."""
    count = shape_of("public_embeddings", public_embeddings)[0]
    where = private.rows.device
    totals = None if scoring.clips else _class_totals(private)
    sizes = torch.from_numpy(private.sizes).to(where, torch.float64)[:, None]
    for start in range(0, count, scoring.block_size):
        rows = public_embeddings[start : start + scoring.block_size]
        if totals is not None:
            block, length = rows_and_lengths("public_embeddings", rows, wide=True, device=where)
            scores = (totals @ block.T).div_(length.T)
        else:
            block = read_rows("public_embeddings", rows, precision=scoring.precision, device=where)
            scores = _clipped_sums(private, block, scoring)
        scores.sub_(sizes * (scoring.d_min - 1)).div_(scoring.d_max - scoring.d_min)
        yield start, torch.minimum(scores.clamp_(min=0), sizes).cpu().numpy()  # beyond by rounding only


def _class_totals(private: PrivateRows) -> Tensor:
    """Sum of the unit rows of each class, float64 (C, d): all that scores without clipping need."""
    total = torch.zeros(
        len(private.classes), private.rows.shape[1], dtype=torch.float64, device=private.rows.device
    )
    for c, (first, last) in enumerate(zip(private.starts[:-1], private.starts[1:], strict=True)):
        total[c] = private.rows[first:last].sum(dim=0, dtype=torch.float64)
    return total


def _clipped_sums(private: PrivateRows, block: Tensor, scoring: Scoring) -> Tensor:
    """Sums over each class of clip(cos, d_min - 1, d_max - 1), float64 (C, b), tile by tile of private rows."""
    sums = torch.zeros(len(private.classes), len(block), dtype=torch.float64, device=block.device)
    exact = torch.float64 if block.dtype == torch.float64 else torch.float32
    allowed = _TILE_BYTES if block.device.type == "cpu" else _TILE_BYTES_GPU
    height = max(64, allowed // (exact.itemsize * len(block)))
    owner = np.repeat(np.arange(len(private.classes)), private.sizes)
    candidates = block.T
    for first in range(0, len(private.rows), height):
        tile = _cosines(private.rows[first : first + height], candidates, exact)
        tile.clamp_(scoring.d_min - 1, scoring.d_max - 1)
        members = owner[first : first + height]
        low, high = int(members[0]), int(members[-1]) + 1
        if high - low == 1:
            sums[low] += tile.sum(dim=0)
            continue
        belongs = torch.from_numpy(members[None, :] == np.arange(low, high)[:, None]).to(tile.device, exact)
        sums[low:high] += belongs @ tile
    return sums


def _cosines(rows: Tensor, candidates: Tensor, exact: torch.dtype) -> Tensor:
    """Products (t, d) @ (d, b) of unit rows, added up and returned in float32 or wider."""
    if rows.dtype == exact:
        return rows @ candidates
    if rows.device.type == "cuda":
        return torch.mm(rows, candidates, out_dtype=exact)
    return (rows @ candidates).to(exact)
