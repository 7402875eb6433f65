"""Downloads that are whole or not there: locked, written aside, hashed, then renamed into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from trustlib.data.errors import ChecksumError, DataNotFoundError
from trustlib.data.fingerprints import first_use, first_use_record, record_first_use, write_bytes_whole
from trustlib.data.folders import CACHE_VARIABLE, DATA_VARIABLE, cache_folder, data_folder
from trustlib.data.specs import DatasetSpec, FileSpec


def download(spec: DatasetSpec, file: FileSpec, *, progress: bool | None = None) -> Path:
    """Bring one file into the cache and check it, while no other process does the same.

    Args:
        spec: the data set the file belongs to.
        file: what to bring.
        progress: show a bar on stderr; None: only on a terminal. ``TQDM_DISABLE=1`` always hides it.

    Returns:
        Path in the cache. If another process was faster, its file.

    Raises:
        DataNotFoundError: there is no URL, or none could be read to the end; nothing is kept.
        ChecksumError: the bytes that came are not the pinned ones; nothing is kept.
    """
    from filelock import FileLock

    target = cache_folder() / file.path
    if not file.fetchable:
        raise DataNotFoundError(_not_found(spec, file, [spec.placement or "It has no public address."]))
    aside = cache_folder() / ".partial" / spec.name
    _make_folder(aside, spec, file)
    with FileLock(cache_folder() / ".partial" / f"{spec.name}.lock"):
        if target.is_file():
            return target
        try:
            return _from_any(spec, file, aside / "transfer", target, progress=_shown(progress))
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _from_any(spec: DatasetSpec, file: FileSpec, raw: Path, target: Path, *, progress: bool) -> Path:
    """The first URL that delivers the whole file, or the library that brings it."""
    reasons = []
    if file.bring is not None:
        try:
            write_bytes_whole(raw, file.bring(raw.parent / "workspace"))
        except (OSError, ImportError, EOFError) as error:
            reasons += [_reason(error), spec.placement]
        else:
            return _keep(spec, file, "another library's download", raw, target)
    for url in file.urls:
        try:
            _transfer(url, raw, progress=progress)
        except OSError as error:  # requests' errors are OSErrors
            reasons.append(f"{url}: {_reason(error)}")
            continue
        return _keep(spec, file, url, raw, target)
    raise DataNotFoundError(_not_found(spec, file, reasons))


def _transfer(url: str, raw: Path, *, progress: bool) -> None:
    """All bytes of a URL into a file; an early end is an error."""
    import pooch

    raw.parent.mkdir(parents=True, exist_ok=True)
    raw.unlink(missing_ok=True)
    pooch.HTTPDownloader(progressbar=progress)(url, str(raw), None)


def _keep(spec: DatasetSpec, file: FileSpec, url: str, raw: Path, target: Path) -> Path:
    """Convert, compare the hash, and only then give the file its name."""
    if file.convert is not None:
        write_bytes_whole(raw, file.convert(raw.read_bytes()))
    with raw.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    expected = file.sha256 or first_use(spec.name, file.path)
    if expected is None:
        record_first_use(spec.name, file.path, sha256=digest, source=url)
    elif digest != expected:
        raise ChecksumError(
            f"{url} delivered something else than {file.path} of {spec.name!r}. SHA-256 expected {expected}, "
            f"received {digest}. Nothing was kept. If the origin was updated, get the old file and put it under "
            f"${DATA_VARIABLE}{_or_forget(spec, file)}."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(raw, target)
    return target


def _make_folder(folder: Path, spec: DatasetSpec, file: FileSpec) -> None:
    """A folder in the cache, or an error that says that the cache can be moved."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"The cache cannot be written: {_reason(error)}"
        raise DataNotFoundError(_not_found(spec, file, [reason])) from error


def _or_forget(spec: DatasetSpec, file: FileSpec) -> str:
    """For a hash that was recorded at first use: how to accept another one."""
    if file.sha256 is not None:
        return ""
    return f"; or delete {first_use_record(spec.name, file.path)}, which was recorded at first use"


def _not_found(spec: DatasetSpec, file: FileSpec, reasons: list[str]) -> str:
    """Which file is missing, where it was looked for, and how to get it."""
    folder = data_folder()
    if folder is None:
        looked = f"${DATA_VARIABLE} is not set"
    elif not folder.is_dir():
        looked = f"${DATA_VARIABLE} names {folder}, which is no folder"
    else:
        looked = f"not under ${DATA_VARIABLE} ({folder})"
    forms = " or ".join(form.path for form in spec.forms(file.part))
    return (
        f"{spec.name!r} needs the file {forms}: {looked}, and not in the cache ({cache_folder()}, moved by "
        f"${CACHE_VARIABLE}). {' '.join(reasons)} Put it under ${DATA_VARIABLE} by that name, or run where there is a "
        f"network: trustlib data fetch {spec.name}"
    )


def _reason(error: Exception) -> str:
    """One line of an error that may carry a chain of others."""
    import requests

    if isinstance(error, requests.ConnectionError):
        return "no connection, or it was lost."
    if isinstance(error, ImportError):
        return str(error)
    return f"{type(error).__name__} ({str(error).splitlines()[0][:200] if str(error) else 'no details'})."


def _shown(progress: bool | None) -> bool:
    """Whether a progress bar may appear."""
    if os.environ.get("TQDM_DISABLE", "").lower() in ("1", "true", "yes"):
        return False
    return sys.stderr.isatty() if progress is None else progress
