"""The top floor: runs notebooks, records how, builds the book. Knows no paper, only notebooks and records.

``trustlib`` on the command line is :mod:`trustlib.runs.cli`; everything it does is callable from here.
"""

from trustlib.runs.declarations import Interval, Parameter, parse_declarations
from trustlib.runs.errors import ExecutionFailed, ParameterError, ProjectError, RenderingFailed
from trustlib.runs.parameters import check_parameters, check_values, parse_value, read_parameters
from trustlib.runs.project import Project, Settings

__all__ = [
    "ExecutionFailed",  # a notebook stopped at an error
    "Interval",  # a range of numbers
    "Parameter",  # one line of a parameters cell
    "ParameterError",  # a parameter is declared or given in a way that cannot work
    "Project",  # a book's folder
    "ProjectError",  # no such book, notebook or profile
    "RenderingFailed",  # the book does not render without warnings
    "Settings",  # profile and values of one execution
    "check_parameters",  # inside a notebook: refuse parameters that it does not allow
    "check_values",  # refuse values that a notebook does not declare
    "parse_declarations",  # what the source of a parameters cell declares
    "parse_value",  # a value typed on the command line
    "read_parameters",  # what a notebook declares
]
