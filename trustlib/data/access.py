"""From a data set's name to verified files: the folder a person keeps, then the cache, then a download."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trustlib.data.download import download
from trustlib.data.errors import ChecksumError
from trustlib.data.fingerprints import (
    first_use,
    first_use_record,
    record_first_use,
    remembered_sha256,
    sha256_of,
)
from trustlib.data.folders import DATA_VARIABLE, cache_folder, data_folder, search_path
from trustlib.data.registry import dataset
from trustlib.data.specs import DatasetSpec, FileSpec

ACCEPT_VARIABLE = "TRUSTLIB_ACCEPT"

_USED: dict[str, dict[str, str]] = {}


@dataclass(frozen=True)
class Status:
    """Whether a data set is at hand.

    Args:
        name: the data set.
        state: "embedded" (needs no file), "present", "partial" (some files), or "absent".
        path: the file, the folder of several files, or the source of an embedded set; None unless usable.
        missing: relative paths of the files that are not at hand.
        size_bytes: of the files at hand, together; 0 for an embedded set.
        verified: True if all files at hand were hashed since they last changed and are the expected ones (or
            accepted), False if one of them is not, None if that is not known before the first use.
    """

    name: str
    state: Literal["embedded", "present", "partial", "absent"]
    path: Path | None
    missing: tuple[str, ...] = ()
    size_bytes: int = 0
    verified: bool | None = None


def status(name: str) -> Status:
    """Whether a data set is at hand, without reading, checking or fetching it.

    Raises:
        UnknownDatasetError: no such name.

    Example:
        >>> status("insurance_like").state
        'embedded'
    """
    spec = dataset(name)
    if spec.embedded is not None:
        return Status(name, "embedded", spec.embedded.home())
    files = [_chosen(spec, part) for part in spec.parts]
    found = {file: path for file in files if (path := _find(file)) is not None}
    if not found:
        return Status(name, "absent", None, tuple(file.path for file in files))
    missing = tuple(file.path for file in files if file not in found)
    return Status(
        name,
        "partial" if missing else "present",
        None if missing else _common(list(found.values())),
        missing,
        size_bytes=sum(path.stat().st_size for path in found.values()),
        verified=_all_of([_remembered_as_expected(spec, file, path) for file, path in found.items()]),
    )


def locate(name: str) -> Path | None:
    """Where a data set is (its file, folder, or embedded source), None unless all of it is at hand.

    Raises:
        UnknownDatasetError: no such name.
    """
    return status(name).path


def fetch(name: str, *, progress: bool | None = None) -> Path:
    """Make sure that all files of a data set are at hand and unaltered; download what is missing.

    Args:
        name: the data set.
        progress: show a bar on stderr. None: only on a terminal. ``TQDM_DISABLE=1`` always hides it.

    Returns:
        The file, the folder of several files, or the source of an embedded set.

    Raises:
        UnknownDatasetError: no such name.
        DataNotFoundError: a file is neither at hand nor reachable.
        ChecksumError: a file is not the one the registry knows.
    """
    spec = dataset(name)
    if spec.embedded is not None:
        return spec.embedded.home()
    return _common([_verified(spec, _chosen(spec, part), progress=progress)[0] for part in spec.parts])


def local_file(name: str, part: str | None = None, *, progress: bool | None = None) -> Path:
    """The verified file that holds one part of a data set, fetched if need be; the use is logged.

    Args:
        name: the data set.
        part: which split, one of ``dataset(name).parts``; not needed for a set of one part.
        progress: as in `fetch`.

    Returns:
        Path of a file whose SHA-256 is the pinned one (or the one recorded at its first use).

    Raises:
        UnknownDatasetError: no such name.
        ValueError: no such part.
        DataNotFoundError: neither at hand nor reachable.
        ChecksumError: not the file the registry knows.
    """
    spec = dataset(name)
    file = _chosen(spec, part)
    path, digest = _verified(spec, file, progress=progress)
    _USED.setdefault(name, {})[file.path] = digest
    return path


def log_use(name: str) -> str:
    """Note that an embedded data set was handed out; returns its fingerprint."""
    spec = dataset(name)
    if spec.embedded is None:
        raise ValueError(f"{name} has files, so local_file logs its use. log_use is for embedded data sets.")
    fingerprint = spec.embedded.fingerprint()
    _USED.setdefault(name, {})[""] = fingerprint
    return fingerprint


def used() -> list[tuple[str, str]]:
    """Name and SHA-256 of every data set that was handed out in this process, by name.

    For a set of several files the hash covers the hashes of all files. For a generated set it is that of its
    reference rows: size and seed of what was generated belong to the parameters of the run.
    """
    return [(name, digest) for name in sorted(_USED) if (digest := known_sha256(name)) is not None]


def known_sha256(name: str) -> str | None:
    """The SHA-256 a data set has by all that is known, None before the first use of an unpinned one.

    Raises:
        UnknownDatasetError: no such name.
    """
    spec = dataset(name)
    if spec.embedded is not None:
        return spec.embedded.fingerprint()
    known = {file.path: digest for part in spec.parts for file, digest in [_known(spec, part)] if digest}
    if len(spec.parts) == 1 or not known:
        return next(iter(known.values()), None)
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(known.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _chosen(spec: DatasetSpec, part: str | None) -> FileSpec:
    """The form of a part to use: the first at hand, else the first that can be fetched, else the first."""
    forms = spec.forms(part)
    at_hand = (form for form in forms if _find(form) is not None)
    return next(at_hand, None) or next((form for form in forms if form.fetchable), forms[0])


def _known(spec: DatasetSpec, part: str) -> tuple[FileSpec, str | None]:
    """One part's form and its hash: as used here, as accepted by the user, as pinned, as recorded."""
    for file in spec.forms(part):
        if digest := _USED.get(spec.name, {}).get(file.path):
            return file, digest
    file = _chosen(spec, part)
    if _accepted() and (path := _find(file)) is not None and (digest := sha256_of(path)) in _accepted():
        return file, digest
    return file, file.sha256 or first_use(spec.name, file.path)


def _remembered_as_expected(spec: DatasetSpec, file: FileSpec, path: Path) -> bool | None:
    """Whether a file's remembered hash is the expected one or accepted; None without a memory or expectation."""
    digest = remembered_sha256(path)
    expected = file.sha256 or first_use(spec.name, file.path)
    if digest is None or expected is None:
        return None
    return digest == expected or digest in _accepted()


def _all_of(answers: list[bool | None]) -> bool | None:
    """False if one answer is False, else None if one is not known, else True."""
    return False if False in answers else None if None in answers else True


def _verified(spec: DatasetSpec, file: FileSpec, *, progress: bool | None) -> tuple[Path, str]:
    """Path and hash of one file, found or downloaded, after its hash was compared."""
    path = _find(file) or download(spec, file, progress=progress)
    digest = sha256_of(path)
    expected = file.sha256 or first_use(spec.name, file.path)
    if expected is None:
        record_first_use(spec.name, file.path, sha256=digest, source=str(path))
    elif digest != expected and digest not in _accepted():
        raise ChecksumError(_mismatch(spec, file, path, digest, expected))
    return path, digest


def _mismatch(spec: DatasetSpec, file: FileSpec, path: Path, digest: str, expected: str) -> str:
    """What to do about a file that is not the expected one."""
    if path.is_relative_to(cache_folder()):
        remedy = f"Delete it and run: trustlib data fetch {spec.name}"
    else:
        remedy = f"Replace it by the original, or unset {DATA_VARIABLE} ({data_folder()}) to use the cache."
    if file.sha256 is None:
        remedy += (
            f" The expected hash was recorded at first use, in {first_use_record(spec.name, file.path)}."
        )
    return (
        f"{path} is not the file of {spec.name!r} that the registry knows. SHA-256 expected {expected}, found "
        f"{digest}. {remedy} To use this file all the same, set {ACCEPT_VARIABLE}={digest}."
    )


def _accepted() -> frozenset[str]:
    """Hashes that the user accepts in spite of the registry, from the environment."""
    return frozenset(os.environ.get(ACCEPT_VARIABLE, "").replace(",", " ").split())


def _find(file: FileSpec) -> Path | None:
    """The first folder of the search path that has the file."""
    return next((path for folder in search_path() if (path := folder / file.path).is_file()), None)


def _common(paths: list[Path]) -> Path:
    """The only path, or the folder of the first of several."""
    return paths[0] if len(paths) == 1 else paths[0].parent
