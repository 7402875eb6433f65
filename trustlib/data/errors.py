"""What can go wrong between a data set's name and its bytes; each case asks for a different remedy."""

from __future__ import annotations


class DataNotFoundError(FileNotFoundError):
    """A data set is neither at hand nor reachable; the message says where it is expected and how to get it."""


class ChecksumError(ValueError):
    """A file's SHA-256 is not the one the registry knows; the message gives both."""


class UnknownDatasetError(KeyError):
    """No data set of that name is registered."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # KeyError would show the quotes of repr
