"""From a table to a design matrix whose bounds are known before the rows are seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trustlib.data.schemas import Column
from trustlib.data.tables import Table

OneHot = Literal["full", "reduced"]
Ranges = Literal["public", "observed"]


@dataclass(frozen=True)
class Design:
    """A design matrix, a target, and bounds on both.

    Args:
        X: shape (n, d). Without centring every entry is in [0, 1].
        y: shape (n,), in [0, 1], or [-1/2, 1/2] when centred.
        feature_names: d names; indicators are called "column=category".
        row_norm_bound: R with ||X[i]||_2 <= R for every row that the ranges allow, not only for those at hand.
        y_bound: Y with |y[i]| <= Y, likewise.
        target_range: (low, high) of the target in its own unit; ``target()`` maps back.
        centred: whether public midpoints were subtracted.
        ranges: "public", or "observed": then the scaling, and with it every release, depends on private rows.
        clipped: number of values clipped by column; columns without any are left out.
    """

    X: NDArray[np.float64]
    y: NDArray[np.float64]
    feature_names: tuple[str, ...]
    row_norm_bound: float
    y_bound: float
    target_range: tuple[float, float]
    centred: bool
    ranges: Ranges
    clipped: Mapping[str, int]

    @property
    def leaks(self) -> bool:
        """Whether the encoding itself depends on private rows, so that no release from it has a guarantee."""
        return self.ranges == "observed"

    def target(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Encoded targets or predictions, any shape, in the target's own unit.

        Example:
            >>> from trustlib.data import load_table
            >>> design = encode_table(load_table("insurance_like", n=3), centre=True)
            >>> float(design.target(np.zeros(1))[0])  # the midpoint of 0 to 65 000
            32500.0
        """
        low, high = self.target_range
        return low + (high - low) * (np.asarray(y, dtype=np.float64) + (0.5 if self.centred else 0.0))


@dataclass(frozen=True)
class _Block:
    """The encoded columns of one feature: shape (n, k), their names, and the largest squared norm of a row."""

    values: NDArray[np.float64]
    names: list[str]
    squared_bound: float


def encode_table(
    table: Table,
    *,
    one_hot: OneHot = "full",
    intercept: bool = False,
    centre: bool = False,
    ranges: Ranges = "public",
) -> Design:
    """Scale numbers to [0, 1], expand categories, and say how long a row can be at most.

    A number becomes (clip(v, low, high) - low) / (high - low); a category becomes indicators. Everything comes from
    the column descriptions, so encoding is done row by row: other rows change nothing. The bound adds, per
    feature, the largest squared norm it can contribute: 1 for a number, 1 for a whole group of indicators
    (not its width), 1 for the intercept.

    Args:
        table: rows and column descriptions; excluded columns are left out.
        one_hot: "full": one indicator per category; "reduced": none for the first, which avoids redundancy.
        intercept: append a column of ones.
        centre: subtract public midpoints: 1/2 from scaled numbers and target, and from indicators the centre
            of the smallest ball around all values that the group can take. The intercept stays 1.
        ranges: "observed" scales numbers and target by their minimum and maximum over all rows, as published
            preprocessing often does. It leaks: the result is marked, and ``Design.leaks`` is True.

    Returns:
        The design; its order of columns is that of the table.

    Raises:
        ValueError: missing or infinite values, unknown categories, no rows, a category as target, a constant column
            under "observed", or an argument outside its choices.

    Example:
        >>> from trustlib.data import load_table
        >>> design = encode_table(load_table("insurance_like", n=10), intercept=True)
        >>> design.X.shape, round(design.row_norm_bound**2, 12), design.y_bound
        ((10, 12), 7.0, 1.0)
    """
    _check(table, one_hot, ranges)
    clipped: dict[str, int] = {}
    blocks = []
    for name in table.features:
        column = table.columns[name]
        if column.kind == "number":
            scaled, _ = _scaled(table, name, ranges, clipped)
            blocks.append(_number_block(name, scaled, centre))
        else:
            blocks.append(_category_block(table, name, column.categories, one_hot, centre))
    if intercept:
        blocks.append(_Block(np.ones((len(table), 1)), ["intercept"], 1.0))
    y, target_range = _scaled(table, table.target, ranges, clipped)
    return Design(
        X=np.hstack([block.values for block in blocks]),
        y=y - 0.5 if centre else y,
        feature_names=tuple(name for block in blocks for name in block.names),
        row_norm_bound=math.sqrt(math.fsum(block.squared_bound for block in blocks)),
        y_bound=0.5 if centre else 1.0,
        target_range=target_range,
        centred=centre,
        ranges=ranges,
        clipped=clipped,
    )


def _check(table: Table, one_hot: str, ranges: str) -> None:
    """The arguments of encode_table."""
    if not isinstance(table, Table):
        raise TypeError(
            f"encode_table needs a Table, got {type(table).__name__}. Wrap your frame: Table(frame, columns)."
        )
    for label, value, choices in (
        ("one_hot", one_hot, ("full", "reduced")),
        ("ranges", ranges, ("public", "observed")),
    ):
        if value not in choices:
            raise ValueError(f"{label} must be one of {choices}, got {value!r}.")
    if len(table) == 0:
        raise ValueError(f"{table.name} has no rows: there is nothing to encode.")
    if not table.features:
        raise ValueError(f"{table.name} has no column with role='feature': there is nothing to encode.")
    if table.columns[table.target].kind != "number":
        raise ValueError(
            f"the target {table.target!r} is a category. Describe it as a number, such as 0 and 1."
        )


def _scaled(
    table: Table, name: str, ranges: Ranges, clipped: dict[str, int]
) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """A numeric column in [0, 1], shape (n,), and the range it was scaled by; counts what it clips."""
    values = table.frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ValueError(
            f"column {name!r} of {table.name} has {bad} missing or infinite values. Drop those rows, or give the "
            "column the role 'excluded'."
        )
    low, high = _range(table.columns[name], values, name, ranges)
    inside = np.clip(values, low, high)
    if count := int((inside != values).sum()):
        clipped[name] = count
    return (inside - low) / (high - low), (low, high)


def _range(column: Column, values: NDArray[np.float64], name: str, ranges: Ranges) -> tuple[float, float]:
    """The range a column is scaled by."""
    if ranges == "public":
        return column.limits
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ValueError(
            f"column {name!r} has the single value {low:g}, so its observed range is empty. Use ranges='public'."
        )
    return low, high


def _number_block(name: str, scaled: NDArray[np.float64], centre: bool) -> _Block:
    """A scaled number, shape (n, 1)."""
    return _Block((scaled - 0.5 if centre else scaled)[:, None], [name], 0.25 if centre else 1.0)


def _category_block(
    table: Table, name: str, categories: tuple[str, ...], one_hot: OneHot, centre: bool
) -> _Block:
    """Indicators, shape (n, k) or (n, k - 1)."""
    codes = (
        table.frame[name].map({value: index for index, value in enumerate(categories)}).to_numpy(np.float64)
    )
    if np.isnan(codes).any():
        strange = sorted({repr(v) for v in table.frame[name][np.isnan(codes)]})[:5]
        raise ValueError(
            f"column {name!r} of {table.name} has values outside its public categories {list(categories)}: "
            f"{', '.join(strange)}. Add them to the column's categories, or recode the rows."
        )
    points = np.eye(len(categories))[:, 1 if one_hot == "reduced" else 0 :]
    if centre:
        points = points - _group_centre(len(categories), one_hot)
    names = [f"{name}={value}" for value in categories[1 if one_hot == "reduced" else 0 :]]
    return _Block(points[codes.astype(np.int64)], names, float((points**2).sum(axis=1).max()))


def _group_centre(k: int, one_hot: OneHot) -> float:
    """The entry, equal in all columns, of the centre of the smallest ball around a group's k indicator vectors.

    Full: the k unit vectors; centre 1/k, squared radius 1 - 1/k. Reduced: the origin and k - 1 unit vectors; the
    origin decides for k = 2 (centre 1/2, squared radius 1/4), the unit vectors for k > 2.
    """
    return 1 / k if one_hot == "full" else 1 / max(k - 1, 2)
