"""Validation against the JSON schemas of this package, with errors that a person can act on."""

from __future__ import annotations

import difflib
import json
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError


class ClaimsFileError(ValueError):
    """A claims file or a results file that cannot be used; the message lists every problem."""


@lru_cache
def _validator(name: str) -> Draft202012Validator:
    """The compiled schema ``claims`` or ``record``."""
    from jsonschema import Draft202012Validator

    text = resources.files("trustlib.claims").joinpath(f"schemas/{name}.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def schema_problems(content: Any, *, schema: Literal["claims", "record"]) -> list[str]:
    """What is wrong with a parsed file, one line per problem, in the file's order.

    Args:
        content: the parsed YAML or JSON.
        schema: the schema to hold it against.

    Returns:
        Lines such as ``claim dppl-4, field parts[0].rule.abvoe: unknown key, did you mean above? ...``.
    """
    errors = sorted(_validator(schema).iter_errors(content), key=lambda e: [str(p) for p in e.absolute_path])
    return [line for error in errors for line in _explain(error, content)]


def refuse(source: object, problems: Iterable[str]) -> None:
    """Raise ClaimsFileError with all problems of one file, if there are any."""
    lines = list(problems)
    if lines:
        raise ClaimsFileError("\n".join(f"{source}: {line}" for line in lines))


def closest(name: str, allowed: Iterable[str]) -> str:
    """``did you mean x? `` for a name that is nearly one of the allowed, else nothing."""
    match = difflib.get_close_matches(name, list(allowed), n=1)
    return f"did you mean {match[0]}? " if match else ""


def _explain(error: ValidationError, content: Any) -> list[str]:
    """One schema error as lines: where, the value that came, and what is allowed."""
    path = list(error.absolute_path)
    handler = _HANDLERS.get(error.validator, _plain)
    return [f"{_place(path + extra, content)}: {text}" for extra, text in handler(error)]


def _place(path: Sequence[str | int], content: Any) -> str:
    """``claim pdp_op-3, field parts[0].rule`` for a path into the file."""
    prefix = ""
    if len(path) >= 2 and path[0] == "claims" and isinstance(path[1], int):
        item = content["claims"][path[1]]
        name = item.get("id") if isinstance(item, dict) else None
        prefix = f"claim {name if name else f'number {path[1] + 1}'}, "
        path = path[2:]
    field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
    return f"{prefix}field {field}" if field else f"{prefix}the entry itself"


Explained = list[tuple[list[str], str]]


def _unknown_keys(error: ValidationError) -> Explained:
    allowed = sorted(error.schema["properties"])
    extra = [k for k in error.instance if k not in allowed]
    known = ", ".join(allowed)
    return [([str(k)], f"unknown key, {closest(str(k), allowed)}allowed: {known}") for k in extra]


def _missing_keys(error: ValidationError) -> Explained:
    [key] = [k for k in error.validator_value if f"'{k}' is a required" in error.message]
    return [([key], "is missing")]


def _not_allowed(error: ValidationError) -> Explained:
    allowed = ", ".join(map(str, error.validator_value))
    hint = closest(str(error.instance), map(str, error.validator_value))
    return [([], f"got {error.instance!r}, {hint}allowed: {allowed}")]


def _wrong_type(error: ValidationError) -> Explained:
    kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    return [([], f"got {error.instance!r} ({type(error.instance).__name__}), allowed: {' or '.join(kinds)}")]


def _number_of_keys(error: ValidationError) -> Explained:
    allowed = ", ".join(sorted(error.schema["properties"]))
    return [([], f"got {error.instance!r}, exactly one of these is needed: {allowed}")]


def _forbidden(error: ValidationError) -> Explained:
    return [([], "does not go with this status; remove it or change the status")]


def _plain(error: ValidationError) -> Explained:
    return [([], f"got {error.instance!r}, but {error.message.replace(repr(error.instance), 'it')}")]


_HANDLERS: dict[str, Callable[[ValidationError], Explained]] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "enum": _not_allowed,
    "const": lambda e: [([], f"got {e.instance!r}, allowed: {e.validator_value}")],
    "type": _wrong_type,
    "not": _forbidden,
    "minProperties": _number_of_keys,
    "maxProperties": _number_of_keys,
}
