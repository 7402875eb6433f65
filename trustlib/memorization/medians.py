"""Streaming medians of many columns: exact while small, a mergeable logarithmic histogram when large."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RELATIVE_ERROR = 0.005
SMALLEST, LARGEST = 1e-12, 1e12


class MedianSketch:
    """Column medians of non-negative rows that arrive in batches.

    Up to ``exact_values`` numbers are kept and the median is exact. Beyond, values are counted in bins of
    constant relative width (bin i holds (g^(i-1), g^i] with g = (1 + a) / (1 - a)), whose representative
    2 g^i / (g + 1) is within a = 0.5 % of every value in the bin. Counts add up, so merging is exact and
    order does not matter. Values below 1e-12 count as 0. Negative values must not be asked about: they
    are counted as 0 (their units are reported as nan).

    Args:
        exact_values: numbers kept before binning.

    Source: the bins of Masson, Rim and Lee, VLDB 2019 (DDSketch).
    """

    def __init__(self, *, exact_values: int) -> None:
        self.exact_values = exact_values
        self.n = 0
        self._rows: list[NDArray[np.floating]] = []
        self._counts: NDArray[np.int64] | None = None
        self._log_base = float(np.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)))
        self._first_bin = int(np.floor(np.log(SMALLEST) / self._log_base))
        self._n_bins = int(np.ceil(np.log(LARGEST) / self._log_base)) - self._first_bin + 2

    @property
    def is_exact(self) -> bool:
        """Whether all values are still kept."""
        return self._counts is None

    def update(self, rows: NDArray[np.floating]) -> None:
        """Adds rows of shape (B, U)."""
        self.n += len(rows)
        if self._counts is None and self.n * rows.shape[1] <= self.exact_values:
            self._rows.append(np.array(rows))
            return
        counts = self._binned(rows.shape[1])
        self._count(rows, counts)

    def merge(self, other: MedianSketch) -> None:
        """Adds the rows of another sketch."""
        if other._counts is None:
            for rows in other._rows:
                self.update(rows)
            return
        self.n += other.n
        self._binned(other._counts.shape[0])
        self._counts = self._binned(other._counts.shape[0]) + other._counts

    def _binned(self, units: int) -> NDArray[np.int64]:
        """The histogram (U, bins), with the kept rows folded in."""
        if self._counts is None:
            self._counts = np.zeros((units, self._n_bins), np.int64)
            for rows in self._rows:
                self._count(rows, self._counts)
            self._rows = []
        return self._counts

    def _count(self, rows: NDArray[np.floating], counts: NDArray[np.int64]) -> None:
        """Counts rows (B, U) into the histogram; bin 0 holds zeros."""
        if rows.max(initial=0) > LARGEST:
            raise ValueError(
                f"the streaming median holds activations up to {LARGEST:g}, got {rows.max():.4g}"
            )
        logs = np.log(np.maximum(rows, SMALLEST), dtype=np.float64) / self._log_base
        bins = np.where(rows > SMALLEST, np.ceil(logs).astype(np.int64) - self._first_bin + 1, 0)
        flat = (bins + np.arange(rows.shape[1]) * self._n_bins).ravel()
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)

    def median(self, *, drop_largest: int = 0) -> NDArray[np.float64]:
        """Median per column after dropping the largest values, shape (U,)."""
        kept = self.n - drop_largest
        if kept < 1:
            raise ValueError(f"no value left: {self.n} rows, {drop_largest} dropped")
        lower, upper = (kept - 1) // 2, kept // 2
        if self._counts is None:
            ranked = np.sort(np.concatenate(self._rows), axis=0).astype(np.float64)
            return (ranked[lower] + ranked[upper]) / 2
        reached = np.cumsum(self._counts, axis=1)
        low, high = ((reached > rank).argmax(axis=1) for rank in (lower, upper))
        return (self._value(low) + self._value(high)) / 2

    def _value(self, bins: NDArray[np.intp]) -> NDArray[np.float64]:
        """Representative of each bin."""
        base = np.exp(self._log_base)
        value = 2 * np.exp((bins - 1 + self._first_bin) * self._log_base) / (base + 1)
        return np.where(bins == 0, 0.0, value)
