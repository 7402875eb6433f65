"""Where data lies: the folder a person keeps, and the cache that downloads go to."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DATA_VARIABLE = "TRUSTLIB_DATA"
CACHE_VARIABLE = "TRUSTLIB_CACHE"


def data_folder() -> Path | None:
    """The folder named by ``$TRUSTLIB_DATA``, None if the variable is unset or empty. It is only read."""
    value = os.environ.get(DATA_VARIABLE)
    return Path(value).expanduser().resolve() if value else None


def cache_folder() -> Path:
    """The folder that downloads go to: ``$TRUSTLIB_CACHE`` or the user's cache. It need not exist yet."""
    value = os.environ.get(CACHE_VARIABLE)
    if value:
        return Path(value).expanduser().resolve()
    return Path(platformdirs.user_cache_dir("trustlib", appauthor=False)) / "data"


def search_path() -> list[Path]:
    """Folders in which files are looked for, first match wins."""
    folder = data_folder()
    return [cache_folder()] if folder is None else [folder, cache_folder()]
