"""What a notebook's parameters cell declares: names, types, ranges and choices, read without running it.

The cell holds one assignment of a literal per line, explained by the comment behind it::

    n_splits = 5        # int, in [2, 100]: random train/test splits
    epsilon = 0.5       # float, > 0: privacy budget of every record
    bounds = "paper"    # one of: "paper", "tight": which bound on the targets is used
    levels = [0.1, 1]   # list of float, in (0, inf): budgets to compare

Type, range and choices are optional. Without a type the literal's own type counts; range and choices hold for
each element of a list. A comment that starts in an indented line continues the one above it.
"""

from __future__ import annotations

import ast
import io
import math
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from trustlib.runs.errors import ParameterError

__all__ = ["Interval", "Kind", "Parameter", "parse_declarations"]

Kind = Literal["bool", "int", "float", "str", "list", "dict", "any"]

_NUMBER = r"[-+]?(?:inf|\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+)"
_LITERAL = rf"\"[^\"]*\"|'[^']*'|True|False|None|{_NUMBER}"
_TYPE = re.compile(
    r"(?:(?P<list>list|tuple)(?:\[(?P<item>\w+)\]|\s+of\s+(?P<items>\w+))?|(?P<plain>bool|int|float|str|dict))"
    r"(?P<optional>\s+or\s+None)?(?=\s*(?:[,:;(<>]|in\s*[\[(]|one of|$))"
)
_CHOICES = re.compile(rf"\bone of:?\s*(?:{_LITERAL})(?:(?:\s*,\s*(?:or\s+)?|\s+or\s+)(?:{_LITERAL}))*")
_INTERVAL = re.compile(
    rf"\bin\s*(?P<open>[\[(])\s*(?P<low>{_NUMBER})\s*,\s*(?P<high>{_NUMBER})\s*(?P<close>[\])])"
)
_COMPARISON = re.compile(rf"(?:^|,|\bints?\b|\bfloats?\b)\s*(?P<sign>[<>]=?)\s*(?P<limit>{_NUMBER})")


@dataclass(frozen=True)
class Interval:
    """A range of numbers, each end open or closed.

    Example:
        >>> unit = Interval(0.0, 1.0, low_open=True)
        >>> str(unit), 0.0 in unit, 1.0 in unit
        ('(0, 1]', False, True)
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return above and below

    def __str__(self) -> str:
        return f"{'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell.

    Args:
        name: the variable it assigns.
        default: the literal in the cell, the value at the ``quick`` profile.
        kind: type of accepted values; an int is accepted where a float is wanted.
        item: type of the elements if ``kind`` is "list".
        optional: whether None is accepted.
        choices: accepted values, or accepted elements of a list; empty means any.
        interval: accepted range, of the elements for a list.
        doc: the comment, as written.
    """

    name: str
    default: Any
    kind: Kind
    item: Kind = "any"
    optional: bool = False
    choices: tuple[Any, ...] = ()
    interval: Interval | None = None
    doc: str = ""

    @property
    def type_name(self) -> str:
        """The type as a person writes it, such as ``list of float or None``."""
        name = f"list of {self.item}" if self.kind == "list" and self.item != "any" else self.kind
        return f"{name} or None" if self.optional else name

    def check(self, value: Any) -> Any:
        """The value to run with, of the declared type, range and choices; ints become floats where declared.

        Raises:
            ParameterError: the value is of another type, out of range, or not among the choices.

        Example:
            >>> Parameter("epsilon", 0.5, "float").check(2)
            2.0
        """
        if value is None and self.optional:
            return None
        if self.kind == "list":
            if not isinstance(value, list | tuple):
                raise self._refused(value)
            return [self._check_one(element, self.item, whole=value) for element in value]
        return self._check_one(value, self.kind, whole=value)

    def _check_one(self, value: Any, kind: Kind, *, whole: Any) -> Any:
        """One value or one element: its type, then its range, then its choices."""
        value = _as_kind(value, kind)
        if value is _WRONG:
            raise self._refused(whole)
        if self.choices and value not in self.choices:
            listed = ", ".join(map(repr, self.choices))
            raise ParameterError(f"Parameter {self.name!r} cannot be {value!r}; choose one of: {listed}.")
        if self.interval and isinstance(value, int | float) and value not in self.interval:
            raise ParameterError(f"Parameter {self.name!r} must lie in {self.interval}, got {value!r}.")
        return value

    def _refused(self, value: Any) -> ParameterError:
        """The error for a value of the wrong type."""
        return ParameterError(
            f"Parameter {self.name!r} must be {self.type_name} (default {self.default!r}), "
            f"got {value!r} of type {type(value).__name__}."
        )


_WRONG = object()


def _as_kind(value: Any, kind: Kind) -> Any:
    """The value as the declared kind, or _WRONG. Bools are not numbers here, and no number is cut."""
    if kind == "any":
        return value
    if kind == "float":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if number and not math.isnan(value) else _WRONG
    if kind == "int":
        return value if isinstance(value, int) and not isinstance(value, bool) else _WRONG
    expected = {"bool": bool, "str": str, "list": list, "dict": dict}[kind]
    return value if isinstance(value, expected) else _WRONG


def parse_declarations(source: str, *, where: str = "the parameters cell") -> dict[str, Parameter]:
    """The parameters that the source of a parameters cell declares, in its order.

    Args:
        source: Python code made of assignments of literals and comments.
        where: how error messages call the place.

    Raises:
        ParameterError: the cell does something else than assign literals, assigns a name twice, or a comment
            contradicts its value.

    Example:
        >>> found = parse_declarations('bounds = "paper"  # one of: "paper", "tight"')
        >>> found["bounds"].choices
        ('paper', 'tight')
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError(f"{where} is not plain Python: {error.msg} in line {error.lineno}.") from error
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for statement in body:
        for name, default, last in _assignment(statement, where):
            if name in found:
                raise ParameterError(f"{where} assigns {name!r} twice; keep one line per parameter.")
            found[name] = _declared(name, default, _comment_of(statement, last, comments), where)
    return found


def _assignment(statement: ast.stmt, where: str) -> Iterator[tuple[str, Any, int]]:
    """Name, literal and last line of one statement; nothing for a string standing alone (prose)."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return
    target: ast.expr | None = None
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target = statement.target
    if isinstance(target, ast.Name):
        try:
            value = ast.literal_eval(cast(ast.Assign, statement).value)
        except ValueError:
            pass
        else:
            yield target.id, list(value) if isinstance(value, tuple) else value, statement.end_lineno or 0
            return
    raise ParameterError(
        f"{where} may only assign literals, one name per line; line {statement.lineno} is "
        f"`{ast.unparse(statement).splitlines()[0]}`. Move it to a later cell."
    )


def _comments(source: str) -> dict[int, tuple[bool, str]]:
    """Line number -> (stands alone and indented, text without the hash) of every comment."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: (token.line[: token.start[1]].isspace(), token.string.lstrip("#").strip())
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _comment_of(statement: ast.stmt, last: int, comments: dict[int, tuple[bool, str]]) -> str:
    """All comment text that belongs to a statement: on its lines, and on indented lines right below."""
    parts = [comments[line][1] for line in range(statement.lineno, last + 1) if line in comments]
    line = last + 1
    while parts and line in comments and comments[line][0]:
        parts.append(comments[line][1])
        line += 1
    return " ".join(parts)


def _declared(name: str, default: Any, comment: str, where: str) -> Parameter:
    """One parameter from its literal and its comment, checked against each other."""
    kind, item, optional, rest = _types(default, comment)
    match = _CHOICES.search(rest)
    if match is None and re.search(r"\bone of:", rest):
        raise ParameterError(
            f'{where}: the choices of {name!r} must be literals such as # one of: "a", "b"; got # {comment}'
        )
    choices = _choices(match.group(0), item if kind == "list" else kind) if match else ()
    interval = _interval(rest.replace(match.group(0), "") if match else rest)
    parameter = Parameter(name, default, kind, item, optional, choices, interval, comment)
    try:
        parameter.check(default)
    except ParameterError as error:
        raise ParameterError(f"{where}: the value of {name!r} contradicts its comment. {error}") from error
    return parameter


def _types(default: Any, comment: str) -> tuple[Kind, Kind, bool, str]:
    """Kind, element kind, optional and the rest of the comment; the comment outranks the literal."""
    kind, item = _kind_of(default), _item_of(default)
    match = _TYPE.match(comment)
    if match is None:
        return kind, item, default is None, comment
    if match["list"]:
        kind, named = "list", match["item"] or (match["items"] or "").removesuffix("s")
        if named in get_args(Kind):
            item = cast(Kind, named)
    else:
        kind = cast(Kind, match["plain"])
    return kind, item, bool(match["optional"]) or default is None, comment[match.end() :].strip()


def _kind_of(value: Any) -> Kind:
    """The kind of a literal."""
    return cast(Kind, type(value).__name__) if type(value).__name__ in get_args(Kind) else "any"


def _item_of(value: Any) -> Kind:
    """The common kind of a list's elements; ints among floats count as floats."""
    if not isinstance(value, list) or not value:
        return "any"
    kinds = {_kind_of(element) for element in value}
    if kinds == {"int", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "any"


def _choices(clause: str, kind: Kind) -> tuple[Any, ...]:
    """The literals of a ``one of:`` clause; ints become floats where floats are declared."""
    values = [ast.literal_eval(text) for text in re.findall(_LITERAL, clause.split("one of", 1)[1])]
    return tuple(float(v) if kind == "float" and isinstance(v, int) else v for v in values)


def _interval(text: str) -> Interval | None:
    """The range that a comment states: ``in [a, b)`` anywhere, or comparisons before the first colon."""
    match = _INTERVAL.search(text)
    if match:
        ends = float(match["low"]), float(match["high"])
        return Interval(*ends, low_open=match["open"] == "(", high_open=match["close"] == ")")
    head = re.split(r"[:;]", text, maxsplit=1)[0]
    ends_found: dict[str, Any] = {}
    for found in _COMPARISON.finditer(head):
        end = "low" if found["sign"].startswith(">") else "high"
        ends_found[end] = float(found["limit"])
        ends_found[f"{end}_open"] = "=" not in found["sign"]
    return Interval(**ends_found) if ends_found else None
