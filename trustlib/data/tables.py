"""Tables: rows together with what is publicly known about their columns."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trustlib.data.access import known_sha256, local_file, log_use
from trustlib.data.checks import whole
from trustlib.data.registry import available, dataset
from trustlib.data.schemas import Column, target_of
from trustlib.data.specs import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd

    from trustlib.data.cards import DataCard


@dataclass(frozen=True)
class Table:
    """Rows and the public description of their columns. Build one from your own frame to encode it.

    Args:
        frame: the rows; it must have every column that ``columns`` names.
        columns: description by name; exactly one has the role "target".
        name: of the data set, or any word for a table of your own.
        sha256: of the file the rows came from, or of the generator's reference rows; None for your own.

    Raises:
        TypeError: ``frame`` is not a pandas DataFrame.
        ValueError: columns are missing, or there is not exactly one target.

    Example:
        >>> import pandas as pd
        >>> from trustlib.data import number
        >>> mine = Table(pd.DataFrame({"x": [1.0, 2.0], "y": [0.0, 3.0]}),
        ...              {"x": number(0, 4), "y": number(0, 5, role="target")})
        >>> mine.target
        'y'
    """

    frame: pd.DataFrame
    columns: Mapping[str, Column]
    name: str = "table"
    sha256: str | None = None
    target: str = field(init=False)

    def __post_init__(self) -> None:
        import pandas as pd

        if not isinstance(self.frame, pd.DataFrame):
            raise TypeError(f"frame must be a pandas DataFrame, got {type(self.frame).__name__}.")
        missing = [name for name in self.columns if name not in self.frame.columns]
        if missing:
            raise ValueError(
                f"{self.name} lacks the columns {missing}; it has {list(self.frame.columns)}. "
                "Name every column as in the frame."
            )
        object.__setattr__(self, "target", target_of(self.columns, name=self.name))

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def features(self) -> list[str]:
        """Names of the columns that are encoded, in order."""
        return [name for name, column in self.columns.items() if column.role == "feature"]

    @property
    def card(self) -> DataCard:
        """The data card of a registered table."""
        from trustlib.data.cards import card

        return card(self.name)


def load_table(name: str, *, n: int | None = None, seed: int | None = None) -> Table:
    """A registered table, verified against its SHA-256, with public ranges of all columns.

    Args:
        name: one of ``available("table")``.
        n: number of rows; None: all rows in the order of the file (1 338 rows of a generated table).
        seed: for a generated table, the seed of the rows (None: 0). Otherwise it draws ``n`` of the rows without
            replacement, such that a smaller draw is the beginning of a larger one; without ``n`` it is not used.

    Returns:
        The rows in a fresh frame with a new index, and their description.

    Raises:
        UnknownDatasetError: no such name.
        ValueError: the data set is no table, n is larger than the table, or n without seed for a table from a file.
        DataNotFoundError, ChecksumError: the file is absent or altered.

    Example:
        >>> table = load_table("insurance_like", n=3, seed=0)
        >>> len(table), table.target
        (3, 'charges')
    """
    spec = dataset(name)
    if spec.kind != "table":
        raise ValueError(f"{name!r} holds {spec.kind}. Tables: {', '.join(available('table'))}.")
    _check_rows(spec, n, seed)
    frame = rows_of(spec, local_file(name) if spec.files else None, n=n, seed=seed)
    if spec.embedded is not None:
        log_use(name)
    return Table(frame, spec.columns, name, known_sha256(name))


def rows_of(
    spec: DatasetSpec, path: Path | None, *, n: int | None = None, seed: int | None = None
) -> pd.DataFrame:
    """The rows of a table from its file or embedded source; says nothing to the provenance log."""
    if spec.embedded is None or spec.embedded.rows is None:
        if path is None:
            raise ValueError(
                f"{spec.name!r} has neither a file nor rows of its own. Give its Embedded source `rows`."
            )
        frame = _read(path, spec.columns)
    elif spec.embedded.how == "generated":
        return spec.embedded.rows(n, seed=seed)
    else:
        frame = spec.embedded.rows()
    return frame if n is None else _draw(spec.name, frame, n, seed)


def diabetes_home() -> Path:
    """Where scikit-learn keeps the diabetes table."""
    import sklearn.datasets

    return Path(sklearn.datasets.__file__).parent / "data" / "diabetes_data_raw.csv.gz"


@functools.cache
def diabetes_fingerprint() -> str:
    """SHA-256 of the diabetes table as CSV, whatever the version of scikit-learn."""
    return hashlib.sha256(diabetes().to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def diabetes() -> pd.DataFrame:
    """The unscaled diabetes table with its target as the last column."""
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True, scaled=False).frame
    return frame.assign(sex=frame["sex"].astype(int).astype(str))


def _read(path: Path, columns: Mapping[str, Column]) -> pd.DataFrame:
    """A CSV file; only an empty field counts as missing."""
    import pandas as pd

    texts = {name: str for name, column in columns.items() if column.kind == "category"}
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])


def _check_rows(spec: DatasetSpec, n: int | None, seed: int | None) -> None:
    """n and seed before anything is read."""
    if n is not None:
        whole("n", n, least=1)
    if seed is not None:
        whole("seed", seed, least=0)
    generated = spec.embedded is not None and spec.embedded.how == "generated"
    if n is not None and seed is None and not generated:
        raise ValueError(
            f"load_table({spec.name!r}, n={n}) needs a seed: which rows are drawn decides the result. "
            "Pass seed=0, say."
        )


def _draw(name: str, frame: pd.DataFrame, n: int, seed: int | None) -> pd.DataFrame:
    """The first n rows of a permutation."""
    if n > len(frame):
        raise ValueError(f"{name!r} has {len(frame)} rows, got n={n}. Rows are drawn without replacement.")
    order = np.random.default_rng(seed).permutation(len(frame))[:n]
    return frame.iloc[order].reset_index(drop=True)
