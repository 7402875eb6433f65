"""Data cards: origin, terms, known problems, files and null baselines of a registered data set, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trustlib.data.access import known_sha256, status
from trustlib.data.fingerprints import sha256_of
from trustlib.data.registry import dataset
from trustlib.data.schemas import Column, target_of
from trustlib.data.specs import DatasetSpec, FileSpec
from trustlib.data.tables import rows_of


@dataclass(frozen=True)
class NullBaseline:
    """What a predictor that knows nothing reaches on a table; every result should be read beside it.

    Args:
        rows: number of rows it was computed on.
        mean: of the target, in the target's unit.
        mse_of_mean: mean squared error of predicting that mean, on the target scaled to [0, 1] by public ranges.
        mse_of_zero: mean squared error of predicting 0 on the same scale.
    """

    rows: int
    mean: float
    mse_of_mean: float
    mse_of_zero: float


@dataclass(frozen=True)
class DataCard:
    """Everything a reader should know before trusting a number computed from a data set.

    Args:
        spec: the registry's entry.
        sha256: of the data set as far as it is known (several files: of the list of their hashes).
        null: null baselines of a table that is at hand, None otherwise.
    """

    spec: DatasetSpec
    sha256: str | None
    null: NullBaseline | None

    def to_markdown(self) -> str:
        """The card as Markdown, beginning with a heading of level 2."""
        spec = self.spec
        rows = [
            ("Name", f"`{spec.name}`"),
            ("Kind", spec.kind),
            ("Size", spec.size),
            ("Splits", ", ".join(f"{part} {_spaced(count)}" for part, count in spec.splits.items())),
            ("Origin", spec.origin),
            ("Licence", spec.licence),
            ("Cite", spec.citation),
            ("Source", "needs no file: " + spec.embedded.how if spec.embedded else ""),
            ("SHA-256", f"`{self.sha256}`" if self.sha256 else "recorded at first use"),
        ]
        parts = [f"## {spec.title}", _table(("Field", "Value"), [row for row in rows if row[1]])]
        parts.append("**Known problems and harms**\n\n" + "\n".join(f"- {text}" for text in spec.problems))
        if spec.columns:
            parts.append("**Columns and public ranges**\n\n" + _columns(spec.columns))
        if self.null:
            parts.append(_null(self.null))
        if spec.embedded and spec.embedded.details:
            parts.append(spec.embedded.details())
        if spec.files:
            parts.append("**Files**\n\n" + _files(spec.files))
            if spec.placement:
                parts.append(spec.placement)
        return "\n\n".join(parts) + "\n"


def card(name: str) -> DataCard:
    """The data card of a registered data set; null baselines are computed if the table is at hand.

    Raises:
        UnknownDatasetError: no such name.

    Example:
        >>> card("insurance_like").to_markdown().splitlines()[0]
        '## Insurance-like table (generated)'
    """
    spec = dataset(name)
    return DataCard(spec, known_sha256(name), null_baseline(name))


def null_baseline(name: str) -> NullBaseline | None:
    """Null baselines of a table as it is at hand; None for other kinds and for absent or altered tables.

    Looking does not count as use: nothing is downloaded and the provenance log stays as it was.

    Raises:
        UnknownDatasetError: no such name.

    Example:
        >>> null_baseline("insurance_like").rows
        1338
    """
    spec = dataset(name)
    place = status(name)
    if spec.kind != "table" or place.path is None:
        return None
    if spec.files and sha256_of(place.path) != known_sha256(name):
        return None
    target = target_of(spec.columns, name=name)
    low, high = spec.columns[target].limits
    values = rows_of(spec, place.path if spec.files else None)[target].to_numpy(np.float64)
    scaled = (np.clip(values, low, high) - low) / (high - low)
    return NullBaseline(len(values), float(values.mean()), float(scaled.var()), float((scaled**2).mean()))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _columns(columns: Mapping[str, Column]) -> str:
    """One row per column: role, values, remark."""
    rows = []
    for name, column in columns.items():
        if column.kind == "number":
            values = f"{column.low:g} to {column.high:g} {column.unit}".strip()
        else:
            values = ", ".join(column.categories)
        rows.append((f"`{name}`", column.role, values, column.note))
    return _table(("Column", "Role", "Values", "Remark"), rows)


def _null(null: NullBaseline) -> str:
    """The null baselines in a sentence."""
    return (
        f"**Null baselines** (computed on {_spaced(null.rows)} rows, target scaled to [0, 1] by its public range): "
        f"predicting the mean ({null.mean:.6g} in the target's unit) has a mean squared error of "
        f"{null.mse_of_mean:.4f}; predicting 0 has {null.mse_of_zero:.4f}."
    )


def _files(files: tuple[FileSpec, ...]) -> str:
    """One row per file."""
    rows = []
    for file in files:
        size = _spaced(file.size_bytes) if file.size_bytes else "not known"
        digest = f"`{file.sha256}`" if file.sha256 else "recorded at first use"
        source = "by another library, see origin" if file.bring else " ".join(f"<{url}>" for url in file.urls)
        rows.append((f"`{file.path}`", file.part, size, digest, source or "none"))
    return _table(("File", "Part", "Bytes", "SHA-256", "Download"), rows)


def _spaced(count: int) -> str:
    """A whole number with spaces between groups of three digits."""
    return f"{count:,}".replace(",", " ")
