"""Finding a book, its notebooks, its profiles."""

from __future__ import annotations

import pytest

from trustlib.runs import ParameterError, Project, ProjectError


def write_profile(project: Project, text: str) -> None:
    (project.root / "notebooks/profiles/cpu.yml").write_text(text)


def test_a_project_is_found_from_any_folder_inside(project):
    assert Project.find(project.root / "notebooks" / "profiles").root == project.root


def test_outside_a_project_the_error_says_what_makes_one(tmp_path_factory):
    with pytest.raises(ProjectError, match=r"not inside a book.*_config\.yml and notebooks/"):
        Project.find(tmp_path_factory.mktemp("elsewhere"))


def test_notebooks_are_listed_and_misspelt_ones_corrected(project):
    assert project.notebooks() == ["first", "second"]
    with pytest.raises(ProjectError, match=r"'frist'\. Did you mean 'first'\? Notebooks: first, second"):
        project.notebook("frist")


def test_a_file_that_is_no_notebook_is_refused(project):
    (project.root / "notebooks/first.ipynb").write_text("{")
    with pytest.raises(ProjectError, match=r"first\.ipynb is not a notebook"):
        project.read("first")


def test_values_come_from_the_cell_then_the_profile_then_the_call(project):
    write_profile(project, "first: {seed: 5, bounds: tight}\nsecond:\n")
    settings = project.settings("first", profile="cpu", overrides={"seed": 7})
    assert settings.injected == {"seed": 7, "bounds": "tight"}
    assert project.settings("first").parameters == {"seed": 3, "bounds": "paper"}
    assert project.settings("first").injected == {}
    assert project.settings("second", profile="cpu").parameters == {"seed": 3, "bounds": "paper"}


def test_a_profile_parameter_takes_the_profiles_name(project_of):
    project = project_of({"first": [("parameters", 'profile = "quick"  # name of the profile')]})
    write_profile(project, "first: {}")
    assert project.settings("first", profile="cpu").parameters == {"profile": "cpu"}
    assert project.settings("first").injected == {}


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("second: {}", ProjectError, r"'cpu' says nothing about 'first'.*`first: \{\}`"),
        ("first: {sed: 5}", ParameterError, r"'sed' \(from profile 'cpu'\); did you mean 'seed'"),
        ("first: {seed: x}", ParameterError, r"must be int.*from profile 'cpu'"),
        ("first: 5", ParameterError, "block of 'first' must map parameters"),
        ("[1]", ProjectError, "must map notebook names to parameters"),
    ],
)
def test_bad_profiles_are_refused(project, text, error, match):
    write_profile(project, text)
    with pytest.raises(error, match=match):
        project.settings("first", profile="cpu")


@pytest.mark.parametrize("profile", ["gpu", "../profiles/cpu"])
def test_unknown_profiles_list_the_known_ones(project, profile):
    write_profile(project, "first: {}")
    with pytest.raises(ProjectError, match=r"There is no profile.*Profiles: quick, cpu"):
        project.settings("first", profile=profile)
