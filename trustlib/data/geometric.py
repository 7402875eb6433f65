"""torch_geometric, imported only where graphs are used, and quietly."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType


def import_geometric() -> ModuleType:
    """The package torch_geometric, or an error that says how to install it.

    Its import takes seconds and calls parts of torch that announce their end; both are kept away from people who use
    no graphs, and the announcements from those who do.

    Raises:
        ModuleNotFoundError: it is not installed.

    Example:
        >>> import_geometric().__name__
        'torch_geometric'
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("torch_geometric")
    except ModuleNotFoundError as error:
        if error.name != "torch_geometric":
            raise
        raise ModuleNotFoundError(
            "graphs need the package torch_geometric, which is not installed. Run: pip install 'trustlib[graphs]'",
            name="torch_geometric",
        ) from error
