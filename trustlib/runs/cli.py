"""The ``trustlib`` command. Exit codes: 0 done, 1 something failed, 2 the call was wrong, 130 interrupted."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from trustlib.runs.errors import ExecutionFailed, ParameterError, ProjectError, RenderingFailed

if TYPE_CHECKING:
    from trustlib.runs.book import Book
    from trustlib.runs.report import Chapter

__all__ = ["app", "main"]

app = typer.Typer(
    name="trustlib",
    help="Run the notebooks of the book with other values, build the book, look after its data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(no_args_is_help=True, help="List and fetch the data sets that the notebooks use.")
app.add_typer(data_app, name="data")

Profile = Annotated[str, typer.Option("--profile", help="quick, cpu, gpu or paper.", metavar="PROFILE")]


def main() -> None:
    """Entry point of the command."""
    app()


class PairedCommand(TyperCommand):
    """A command whose ``-p`` takes a name and a value, written ``-p name value`` or ``-p name=value``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join each pair into the one word that the option parser can take."""
        return super().parse_args(ctx, join_pairs(args))


def join_pairs(arguments: list[str]) -> list[str]:
    """Command line words with every ``-p name value`` written as ``-p name=value``.

    Example:
        >>> join_pairs(["dppl", "-p", "epsilon", "-0.5", "-p", "seed=1"])
        ['dppl', '-p', 'epsilon=-0.5', '-p', 'seed=1']
    """
    joined: list[str] = []
    words = iter(arguments)
    for word in words:
        joined.append(word)
        if word in ("-p", "--parameter"):
            name = next(words, None)
            if name is not None and re.match(r"\w+=", name) is None:
                value = next(words, None)
                name = name if value is None else f"{name}={value}"
            joined += [] if name is None else [name]
    return joined


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn the errors that a person can do something about into a message and an exit code."""
    try:
        yield
    except (ParameterError, ProjectError) as error:
        raise _failure(error, 2) from error
    except (ExecutionFailed, RenderingFailed) as error:
        raise _failure(error, 1) from error
    except KeyboardInterrupt as error:
        say("interrupted")
        raise typer.Exit(130) from error


def _failure(error: Exception, code: int) -> typer.Exit:
    """Say on stderr what went wrong; returns what ends the command."""
    typer.secho(f"error: {error}", err=True, fg="red")
    return typer.Exit(code)


def say(message: str) -> None:
    """A line for people, on stderr."""
    typer.echo(message, err=True)


@app.command(cls=PairedCommand)
def run(
    name: Annotated[str, typer.Argument(help="A notebook of notebooks/, without .ipynb.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help="Set one parameter; repeatable."),
    ] = None,
    profile: Profile = "quick",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The executed notebook; runs/NAME.ipynb by default.")
    ] = None,
) -> None:
    """Execute one notebook with other values and write it with its record."""
    from trustlib.runs.execution import run_notebook
    from trustlib.runs.project import Project

    with explained():
        project = Project.find()
        settings = project.settings(
            name, profile=profile, overrides=_overrides(project, name, parameter or [])
        )
        suffix = "" if profile == "quick" else f".{profile}"
        target = out or project.root / "runs" / f"{name}{suffix}.ipynb"
        done = run_notebook(project, name, settings, out=target)
        typer.echo(f"{done.path}  {_cost(done.record)}")


def _overrides(project: Any, name: str, pairs: list[str]) -> dict[str, Any]:
    """The values of ``-p``, read as the types that the notebook declares."""
    from trustlib.runs.parameters import check_values, parse_value

    declared = project.declared(name)
    values = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator:
            raise ParameterError(f"-p {key} lacks a value; write -p {key} VALUE.")
        if key not in declared:
            check_values({key: text}, declared, origin="the command line")
        values[key] = parse_value(text, declared[key])
    return values


@app.command()
def params(
    name: Annotated[str, typer.Argument(help="A notebook of notebooks/, without .ipynb.")],
    profile: Profile = "quick",
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print a file for `papermill -f`, nothing else.")
    ] = False,
) -> None:
    """Show a notebook's parameters: value at the profile, type, choices, meaning."""
    from trustlib.runs.project import Project

    with explained():
        project = Project.find()
        settings = project.settings(name, profile=profile)
        if as_yaml:
            import yaml

            typer.echo(yaml.safe_dump(settings.parameters, sort_keys=False).rstrip())
            return
        for key, declared in project.declared(name).items():
            typer.echo(f"{key} = {settings.parameters[key]!r}  # {declared.doc or declared.type_name}")


@app.command()
def book(
    profile: Profile = "quick",
    only: Annotated[str | None, typer.Option(help="Execute no other notebook.", metavar="NAME")] = None,
    force: Annotated[
        str | None, typer.Option(help="Execute this notebook although nothing changed.", metavar="NAME")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep results under book/results/PROFILE/.")
    ] = False,
) -> None:
    """Execute the notebooks that changed, then render the book into _build/html."""
    from trustlib.runs.book import build_book
    from trustlib.runs.project import Project

    with explained():
        made = build_book(Project.find(), profile=profile, only=only, force=force, record=record, say=say)
        _print_book(made)


def _print_book(made: Book) -> None:
    """One line per chapter, then where the pages are."""
    width = max((len(chapter.name) for chapter in made.chapters), default=0)
    for chapter in made.chapters:
        typer.echo(f"{chapter.name:<{width}}  {_chapter_line(chapter)}")
    for path in made.results:
        typer.echo(f"recorded  {path}")
    state = "rendered" if made.rendered else "up to date"
    typer.echo(f"book {state}: {made.html}")


def _chapter_line(chapter: Chapter) -> str:
    """Cost and verdicts of one chapter."""
    if chapter.record is None:
        return chapter.state
    verdicts = ", ".join(f"{count} {word}" for word, count in chapter.verdicts.items()) or "no claims"
    return f"{_cost(chapter.record)}  {verdicts}  ({chapter.state})"


def _cost(record: dict[str, Any]) -> str:
    """Time and memory of an execution."""
    return f"{record['seconds']:6.1f} s  {record['memory']['peak_bytes'] / 2**20:6.0f} MiB"


@app.command()
def doctor() -> None:
    """Look at the machine and say what is missing, with the remedy."""
    from trustlib.runs.doctor import examine

    missing = 0
    for finding in examine():
        missing += finding.state == "missing"
        colour = {"ok": "green", "absent": "yellow", "missing": "red"}[finding.state]
        typer.echo(f"{typer.style(f'{finding.state:<8}', fg=colour)} {finding.subject:<20} {finding.detail}")
        if finding.remedy:
            typer.echo(f"{'':29} -> {finding.remedy}")
    if missing:
        typer.echo(f"{missing} required things are missing.", err=True)
        raise typer.Exit(1)


@data_app.command("list")
def data_list() -> None:
    """Show every data set, where it is, and under which terms it may be used."""
    from trustlib import data

    for name in data.available():
        found, spec = data.status(name), data.dataset(name)
        typer.echo(f"{name}: {spec.title} ({spec.size})")
        typer.echo(f"    {found.state}: {found.path or f'trustlib data fetch {name}'}")
        typer.echo(f"    {spec.licence}")


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="A data set, as `trustlib data list` calls it.")],
) -> None:
    """Fetch a data set into the user's cache and check it against its pinned SHA-256."""
    from trustlib import data

    try:
        typer.echo(data.fetch(name))
    except data.UnknownDatasetError as error:
        raise _failure(error, 2) from error
    except (data.DataNotFoundError, data.ChecksumError) as error:
        raise _failure(error, 1) from error
