"""The list of known data sets, one for tables, images and graphs together."""

from __future__ import annotations

from trustlib.data.errors import UnknownDatasetError
from trustlib.data.specs import DatasetSpec, Kind

_SPECS: dict[str, DatasetSpec] = {}


def register(spec: DatasetSpec, *, replace: bool = False) -> DatasetSpec:
    """Make a data set known to the loaders, the command line and the data page.

    Args:
        spec: the data set.
        replace: allow a name that is already taken by something else.

    Returns:
        The spec, so that a module can keep it.

    Raises:
        TypeError: not a DatasetSpec.
        ValueError: the name is taken by a different spec and ``replace`` is False.
    """
    if not isinstance(spec, DatasetSpec):
        raise TypeError(f"register needs a DatasetSpec, got {type(spec).__name__}.")
    if not replace and _SPECS.get(spec.name, spec) != spec:
        raise ValueError(
            f"a data set called {spec.name!r} is registered already. Choose another name, or pass replace=True."
        )
    _SPECS[spec.name] = spec
    return spec


def unregister(name: str) -> None:
    """Forget a data set; its files stay where they are."""
    dataset(name)
    del _SPECS[name]


def dataset(name: str) -> DatasetSpec:
    """The spec registered under ``name``.

    Raises:
        UnknownDatasetError: no such name; the message lists those that exist.

    Example:
        >>> dataset("insurance").files[0].path
        'tabular/insurance.csv'
    """
    if name not in _SPECS:
        raise UnknownDatasetError(f"There is no data set {name!r}. Data sets: {', '.join(available())}.")
    return _SPECS[name]


def available(kind: Kind | None = None) -> list[str]:
    """Names of all registered data sets, or of those of one kind, in alphabetical order.

    Example:
        >>> available("table")
        ['compas', 'diabetes', 'german_credit', 'insurance', 'insurance_like']
    """
    return sorted(name for name, spec in _SPECS.items() if kind in (None, spec.kind))
