"""Tables of results: means with intervals over seeds, paired differences, and layouts for a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def summarise(frame: pd.DataFrame, by: Sequence[str], value: str = "fidelity") -> pd.DataFrame:
    """Mean of a column with its 95 % t interval over seeds; everything else that varies is averaged within a seed.

    Args:
        frame: a result with a column seed.
        by: columns that tell rows apart.
        value: what is averaged.

    Returns:
        Columns of ``by``, centre, low, high, in the order of first appearance.

    Raises:
        ValueError: a column that is not there.
    """
    from scipy.special import stdtrit

    missing = [c for c in (*by, value, "seed") if c not in frame.columns]
    if missing:
        raise ValueError(f"the frame has no column {missing[0]!r}; it has {', '.join(frame.columns)}.")
    seeds = frame.groupby([*by, "seed"], sort=False)[value].mean()
    found = seeds.groupby(level=list(by), sort=False).agg(["mean", "std", "count"]).reset_index()
    half = stdtrit(found["count"] - 1, 0.975) * found["std"] / np.sqrt(found["count"])
    found = found.assign(centre=found["mean"], low=found["mean"] - half, high=found["mean"] + half)
    return found[[*by, "centre", "low", "high"]]


def paired(
    frame: pd.DataFrame, first: str, second: str, by: Sequence[str], value: str = "fidelity"
) -> pd.DataFrame:
    """Difference of two attacks in the same world, with its 95 % t interval over seeds.

    Args:
        frame: result of `grid`.
        first: an attack.
        second: what is taken from it.
        by: columns that tell rows apart; others are averaged within a seed.
        value: what is compared.

    Returns:
        Columns of ``by``, centre, low, high.
    """
    return summarise(difference(frame, first, second, value), by, "difference")


def difference(frame: pd.DataFrame, first: str, second: str, value: str = "fidelity") -> pd.DataFrame:
    """One row per world: value of the first attack minus that of the second, in the column difference."""
    keys = ["graph", "architecture", "seed"]
    table = frame.pivot(index=keys, columns="attack", values=value)
    table = table.reindex(frame[keys].drop_duplicates().itertuples(index=False, name=None))
    return (table[first] - table[second]).rename("difference").reset_index()


def view_gains(frame: pd.DataFrame, views: Sequence[str], *, reference: str = "drop") -> pd.DataFrame:
    """What each view adds to another one, by setting and over all settings.

    Args:
        frame: result of `grid`.
        views: attacks that differ from the reference in their view.
        reference: what is taken from them.

    Returns:
        Columns view, setting ("all" for the pooled row), centre, low, high.
    """
    import pandas as pd

    parts = []
    for view in views:
        single = paired(frame, view, reference, ["graph", "architecture"])
        names = single["graph"] + " " + single["architecture"]
        parts.append(single.assign(view=view, setting=names))
        everything = difference(frame, view, reference).assign(setting="all")
        parts.append(summarise(everything, ["setting"], "difference").assign(view=view))
    return pd.concat(parts, ignore_index=True)[["view", "setting", "centre", "low", "high"]]


def beside(values: pd.Series, intervals: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Means with their intervals side by side, for a page.

    Args:
        values: one number per setting.
        intervals: tables with columns centre, low, high and the same index, by heading.

    Returns:
        One column for the values and one per table: the mean, with its interval in brackets.
    """
    table = values.map("{:.2f}".format).to_frame()
    for heading, found in intervals.items():
        rows = found.loc[table.index, ["centre", "low", "high"]]
        table[heading] = [f"{c:+.2f} [{low:+.2f}, {high:+.2f}]" for c, low, high in rows.to_numpy()]
    return table


def matrix_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean fidelity by architecture of the target (rows) and of the surrogate (columns).

    Args:
        frame: result of `mismatch_study`.
    """
    rows = frame[frame["attack"] == "contrastive"]
    order = list(dict.fromkeys(rows["architecture"]))
    table = rows.pivot_table(index="architecture", columns="surrogate", values="fidelity")
    return table.loc[order, order]


def dial_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Means of fidelity and honest accuracy by defence and strength, in the order of the dial.

    Args:
        frame: result of `defence_study`.
    """
    found = frame.groupby(["defence", "strength"], sort=False)[["fidelity", "honest"]].mean()
    return found.reset_index()
