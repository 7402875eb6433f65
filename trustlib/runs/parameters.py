"""The values a notebook runs with: defaults of its cell, then a profile's block, then single values.

Everything is checked before a kernel starts. The same check is available inside a notebook that plain
papermill runs: ``check_parameters``.
"""

from __future__ import annotations

import ast
import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import yaml

from trustlib.runs.declarations import Kind, Parameter, parse_declarations
from trustlib.runs.errors import ParameterError

__all__ = ["check_parameters", "check_values", "load_yaml", "parse_value", "read_parameters", "seeds_of"]

_INJECTED = "# Parameters\n"  # the first line of the cell that papermill injects


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads ``1e-3`` as a number, as YAML 1.2 and everybody expects."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d[\d_]*(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load_yaml(text: str) -> Any:
    """The value of a YAML text, from safe tags only.

    Example:
        >>> load_yaml("[0.1, 1e-3, paper]")
        [0.1, 0.001, 'paper']
    """
    return yaml.load(text, Loader=_Loader)


def read_parameters(notebook: Mapping[str, Any], *, name: str = "the notebook") -> dict[str, Parameter]:
    """What the cell tagged ``parameters`` declares.

    Args:
        notebook: the notebook as nbformat reads it.
        name: how error messages call it.

    Returns:
        Parameters by name, in the order of the cell; empty if no cell is tagged.

    Raises:
        ParameterError: two cells are tagged, or the cell does more than assign literals.

    Example:
        >>> cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "seed = 0  # int"}
        >>> read_parameters({"cells": [cell]})["seed"].type_name
        'int'
    """
    tagged = [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", [])
    ]
    if len(tagged) > 1:
        raise ParameterError(f"{name} has {len(tagged)} cells tagged 'parameters'; keep one.")
    if not tagged:
        return {}
    return parse_declarations(tagged[0]["source"], where=f"The parameters cell of {name}")


def check_values(
    values: Mapping[str, Any], declared: Mapping[str, Parameter], *, origin: str = "the call"
) -> dict[str, Any]:
    """The values to inject, each of the declared type, range and choices.

    Args:
        values: value by parameter name.
        declared: what the notebook declares.
        origin: where the values come from, for messages.

    Raises:
        ParameterError: a name is not declared, or a value is refused by its declaration.

    Example:
        >>> declared = parse_declarations("epsilon = 0.5")
        >>> check_values({"epsilon": 1}, declared)
        {'epsilon': 1.0}
        >>> check_values({"epsilom": 1}, declared)
        Traceback (most recent call last):
        trustlib.runs.errors.ParameterError: No parameter is called 'epsilom' ... did you mean 'epsilon'? ...
    """
    checked = {}
    for name, value in values.items():
        if name not in declared:
            raise ParameterError(_unknown(name, declared, origin))
        try:
            checked[name] = declared[name].check(value)
        except ParameterError as error:
            raise ParameterError(f"{error} (from {origin})") from error
    return checked


def _unknown(name: str, declared: Iterable[str], origin: str) -> str:
    """The message for a name that is not declared, with the nearest one."""
    known = list(declared)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" did you mean {close[0]!r}?" if close else ""
    listed = ", ".join(known) or "none, the notebook has no cell tagged 'parameters'"
    return f"No parameter is called {name!r} (from {origin});{hint} Parameters: {listed}."


def parse_value(text: str, parameter: Parameter) -> Any:
    """The value that a person typed on the command line, read as the declared type.

    Text stays text for a ``str`` parameter; otherwise numbers, ``true``, ``null``, JSON and YAML are read.
    A list may be written without its brackets.

    Raises:
        ParameterError: the text does not read as the type, or the value is out of range or choices.

    Example:
        >>> parse_value("0.1,1e-3", Parameter("levels", [1.0], "list", "float"))
        [0.1, 0.001]
        >>> parse_value("007", Parameter("tag", "a", "str"))
        '007'
    """
    stripped = text.strip()
    if parameter.optional and stripped in ("None", "null", "none"):
        return None
    if parameter.kind == "list" and not stripped.startswith("["):
        stripped = f"[{stripped}]"
    try:
        return parameter.check(_read(stripped, parameter.kind))
    except (ValueError, yaml.YAMLError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(
            f"Parameter {parameter.name!r} must be {parameter.type_name}, cannot read {text!r} as that."
        ) from error


def _read(text: str, kind: Kind) -> Any:
    """Text as a value; numbers are read by Python, so that 1e-3 and 1_000 mean what they say."""
    if kind == "str":
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
        return text[1:-1] if quoted else text
    if kind == "bool":
        return {"true": True, "false": False, "yes": True, "no": False}.get(text.lower(), text)
    if kind in ("int", "float"):
        try:
            return int(text)
        except ValueError:
            return float(text)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return load_yaml(text)


def seeds_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that seed random numbers: ``seed``, ``seeds``, and names that end in one of them.

    Example:
        >>> seeds_of({"seed": 0, "data_seed": 3, "n_seeds": 5, "epsilon": 1.0})
        {'seed': 0, 'data_seed': 3, 'n_seeds': 5}
    """
    return {name: value for name, value in parameters.items() if re.search(r"(^|_)seeds?$", name)}


def check_parameters(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse, inside a running notebook, parameters that its own parameters cell does not allow.

    ``trustlib run`` checks before a kernel starts. For plain papermill, or a reader who edits the cell, call
    ``check_parameters(globals())`` in the first cell after the parameters. The kernel's input history holds
    the parameters cell (the first executed cell that only assigns literals, in its latest version) and the
    cell that papermill injected; types, ranges, choices and unknown names are checked against the former.

    Args:
        namespace: ``globals()`` of the notebook.

    Returns:
        Parameter values by name, as the notebook now uses them.

    Raises:
        ParameterError: a value is not allowed, an injected name is not declared, or no parameters cell was
            executed.

    Example:
        >>> cell = 'bounds = "paper"  # one of: "paper", "tight"'
        >>> check_parameters({"In": ["", cell, "check_parameters(globals())"], "bounds": "tight"})
        {'bounds': 'tight'}
    """
    declared: dict[str, Parameter] = {}
    injected: dict[str, Any] = {}
    for source in cast(Iterable[str], namespace.get("In", [])):
        if source.startswith(_INJECTED):
            injected = _assigned(source)
        elif (found := _try_declarations(source)) and (not declared or found.keys() == declared.keys()):
            declared = found
    if not declared:
        raise ParameterError(
            "check_parameters found no executed cell that assigns only literals. Run the cell tagged "
            "'parameters' first, and pass globals() of the notebook."
        )
    check_values(injected, declared, origin="the injected cell")
    current = {name: namespace[name] for name in declared if name in namespace}
    return check_values(current, declared, origin="the notebook")


def _try_declarations(source: str) -> dict[str, Parameter]:
    """Declarations of a cell, empty if the cell is not a parameters cell."""
    try:
        return parse_declarations(source)
    except ParameterError:
        return {}


def _assigned(source: str) -> dict[str, Any]:
    """Name -> value of the cell that papermill wrote, with its calls such as ``float('inf')`` read too."""
    values = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = _injected_value(statement.value)
    return values


def _injected_value(node: ast.expr) -> Any:
    """A literal, or one of the three floats that have none."""
    special = {"float('nan')": math.nan, "float('inf')": math.inf, "float('-inf')": -math.inf}
    text = ast.unparse(node)
    return special[text] if text in special else ast.literal_eval(node)
