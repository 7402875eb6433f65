"""The top floor: runs notebooks, records how, builds the book. Knows no paper, only notebooks and records.

``trustlib`` on the command line is ``trustlib.runs.cli``; everything it does is callable from here.
"""

from trustlib.runs.book import Book, build_book
from trustlib.runs.declarations import Interval, Parameter, parse_declarations
from trustlib.runs.errors import ExecutionFailed, ParameterError, ProjectError, RenderingFailed
from trustlib.runs.execution import Execution, run_notebook
from trustlib.runs.parameters import check_parameters, check_values, parse_value, read_parameters
from trustlib.runs.project import Project, Settings
from trustlib.runs.report import Chapter

__all__ = [
    "Book",  # a finished build
    "Chapter",  # one notebook in one build
    "Execution",  # a notebook that ran to its end
    "ExecutionFailed",  # a notebook stopped at an error
    "Interval",  # a range of numbers
    "Parameter",  # one line of a parameters cell
    "ParameterError",  # a parameter is declared or given in a way that cannot work
    "Project",  # a book's folder
    "ProjectError",  # no such book, notebook or profile
    "RenderingFailed",  # the book does not render without warnings
    "Settings",  # profile and values of one execution
    "build_book",  # execute what changed, render the book
    "check_parameters",  # inside a notebook: refuse parameters that it does not allow
    "check_values",  # refuse values that a notebook does not declare
    "parse_declarations",  # what the source of a parameters cell declares
    "parse_value",  # a value typed on the command line
    "read_parameters",  # what a notebook declares
    "run_notebook",  # execute one notebook with its record
]
