"""A book's folder: where its notebooks, profiles and build products are."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trustlib.runs.declarations import Parameter
from trustlib.runs.errors import ParameterError, ProjectError
from trustlib.runs.parameters import check_values, load_yaml, read_parameters

__all__ = ["Project", "Settings"]

QUICK = "quick"  # the profile that stands in the notebooks themselves


@dataclass(frozen=True)
class Settings:
    """What one execution of a notebook is asked for.

    Args:
        profile: name of the profile.
        injected: values that papermill writes below the parameters cell: the profile's, then single ones.
        parameters: all values, the cell's defaults included.
    """

    profile: str
    injected: dict[str, Any]
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Project:
    """A folder with ``_config.yml`` and ``notebooks/``, and the library whose sources its results depend on.

    Args:
        root: the folder.
        library: the package folder of trustlib.
    """

    root: Path
    library: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The project that a folder lies in.

        Args:
            start: where to look, then in its parents; the working directory by default.

        Raises:
            ProjectError: no parent is a project.
        """
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / "_config.yml").is_file() and (folder / "notebooks").is_dir():
                return cls(folder, Path(__file__).resolve().parent.parent)
        raise ProjectError(
            f"{here} is not inside a book: neither it nor a parent has _config.yml and notebooks/. "
            "Change into a checkout of the repository first."
        )

    @property
    def build(self) -> Path:
        """The git-ignored folder of everything that is made."""
        return self.root / "_build"

    def notebooks(self) -> list[str]:
        """Names of all notebooks, sorted."""
        return sorted(path.stem for path in (self.root / "notebooks").glob("*.ipynb"))

    def notebook(self, name: str) -> Path:
        """The file of one notebook.

        Raises:
            ProjectError: there is none of that name; lists those there are.
        """
        path = self.root / "notebooks" / f"{name}.ipynb"
        if not path.is_file():
            known = self.notebooks()
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ProjectError(
                f"There is no notebook {name!r}.{hint} Notebooks: {', '.join(known) or 'none yet'}."
            )
        return path

    def read(self, name: str) -> Any:
        """One notebook as an nbformat node, version 4.

        Raises:
            ProjectError: there is none of that name, or the file is not a notebook.
        """
        import nbformat

        path = self.notebook(name)
        try:
            return nbformat.read(path, as_version=4)
        except (ValueError, nbformat.reader.NotJSONError) as error:
            raise ProjectError(f"{path} is not a notebook: {error}") from error

    def declared(self, name: str) -> dict[str, Parameter]:
        """The parameters that a notebook declares."""
        return read_parameters(self.read(name), name=name)

    def settings(
        self, name: str, *, profile: str = QUICK, overrides: dict[str, Any] | None = None
    ) -> Settings:
        """The checked values one notebook runs with: its defaults, the profile's block, then the overrides.

        A notebook that declares a parameter called ``profile`` gets the profile's name in it.

        Raises:
            ProjectError: the notebook or the profile does not exist.
            ParameterError: a value is refused by the notebook's declarations.
        """
        declared = self.declared(name)
        injected = dict(self.profile_block(name, profile))
        if profile != QUICK and "profile" in declared:
            injected.setdefault("profile", profile)
        injected = check_values(injected, declared, origin=f"profile {profile!r}")
        injected |= check_values(overrides or {}, declared, origin=f"the call for {name}")
        parameters = {key: parameter.check(parameter.default) for key, parameter in declared.items()}
        return Settings(profile, injected, parameters | injected)

    def profiles(self) -> list[str]:
        """Names of all profiles: ``quick`` and the files of ``notebooks/profiles``."""
        return [QUICK, *sorted(path.stem for path in (self.root / "notebooks/profiles").glob("*.yml"))]

    def profile_block(self, name: str, profile: str) -> dict[str, Any]:
        """What a profile says about one notebook; ``quick`` says nothing, the notebook holds its values.

        Raises:
            ProjectError: the profile does not exist or has no block for the notebook (an empty block,
                ``name: {}``, says that the defaults are meant).
        """
        if profile == QUICK:
            return {}
        path = self.root / "notebooks/profiles" / f"{profile}.yml"
        if not re.fullmatch(r"[\w-]+", profile) or not path.is_file():
            raise ProjectError(f"There is no profile {profile!r}. Profiles: {', '.join(self.profiles())}.")
        blocks = load_yaml(path.read_text()) or {}
        if not isinstance(blocks, dict):
            raise ProjectError(f"{path} must map notebook names to parameters, got {type(blocks).__name__}.")
        if name not in blocks:
            raise ProjectError(
                f"Profile {profile!r} says nothing about {name!r}. Add a block to {path} "
                f"(`{name}: {{}}` if the defaults are meant), or use another profile."
            )
        block = blocks[name] or {}
        if not isinstance(block, dict):
            raise ParameterError(
                f"{path}: the block of {name!r} must map parameters to values, got {block!r}."
            )
        return block
