"""Records: collected from notebooks, audited against the claims file, stored and read back."""

from __future__ import annotations

import copy
import json

import nbformat
import pytest

from trustlib.claims import (
    ClaimsFileError,
    audit_coverage,
    check,
    collect,
    load_claims,
    load_results,
    not_tested,
    results_record,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nbformat")

RUN = {"name": "toy", "profile": "cpu", "seconds": 1.0}


def notebook_of(results):
    cells = [nbformat.v4.new_markdown_cell("# Title")]
    for result in results:
        outputs = [
            nbformat.v4.new_output("stream", text="noise"),
            nbformat.v4.new_output("display_data", data=result._repr_mimebundle_()),
        ]
        cells.append(nbformat.v4.new_code_cell("claims.check(...)", outputs=outputs))
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture
def both(toy, path):
    """toy-1 checked, toy-3 shown."""
    return [toy, not_tested("toy-3", path=path)]


@pytest.fixture
def records(both):
    return collect(notebook_of(both))


def test_collect_reads_nbformat_parsed_json_and_files_alike(both, tmp_path):
    notebook = notebook_of(both)
    file = tmp_path / "toy.ipynb"
    nbformat.write(notebook, file)
    expected = [r.to_record() for r in both]
    assert collect(notebook) == expected
    assert collect(json.loads(file.read_text())) == expected
    assert collect(file) == expected
    assert collect(nbformat.v4.new_notebook()) == []


def test_record_by_hand(records):
    [first, second] = records
    assert first["id"] == "toy-1"
    assert first["verdict"] == "supported"
    part = first["parts"][1]
    assert {k: v for k, v in part.items() if k not in ("statistic", "controls")} == {
        "name": "loss_ratio", "unit": "settings", "interval": {"method": "exact"}, "rule": {"at_most": 1.0},
        "estimate": 0.9, "low": 0.2, "high": 0.9, "n": 2, "verdict": "supported",
    }  # fmt: skip
    assert part["controls"][0]["failed"] is True
    assert (second["verdict"], second["parts"]) == ("not tested", [])


def test_an_output_that_only_calls_itself_a_claim(both):
    notebook = notebook_of(both)
    data = notebook.cells[1].outputs[1]["data"]
    data["application/vnd.trustlib.claim+json"]["verdict"] = "proved"
    with pytest.raises(
        ClaimsFileError, match=r"notebook, cell 2: field verdict: got 'proved', allowed: supported"
    ):
        collect(notebook)


def test_complete_coverage_has_no_problems(records, path):
    assert audit_coverage(load_claims(path), "toy", records) == []
    assert audit_coverage(load_claims(path), "toy", records, profile="quick") == []


def test_missing_unknown_foreign_and_repeated_claims(records, path, content, write):
    book = load_claims(path)
    assert audit_coverage(book, "toy", records[1:]) == [
        "toy-1 is listed in " + "/".join(path.parts[-2:]) + ", but toy never checks it"
    ]
    [problem] = audit_coverage(book, "toy", [*records, records[0]])
    assert problem == "toy-1 is checked 2 times in toy: keep one check"
    [problem] = audit_coverage(book, "game", [*records[:1], {**records[0], "id": "game-1", "paper": "game"}])[
        :1
    ]
    assert problem == "toy-1 is checked in game, but belongs to toy"
    smaller = load_claims(write({"claims": content["claims"][1:]}, "smaller.yml"))
    problems = audit_coverage(smaller, "toy", records)
    assert problems == [
        "toy-1 is checked in toy, but " + "/".join(smaller.path.parts[-2:]) + " does not list it"
    ]


def test_a_gpu_claim_is_due_where_the_file_promises_it(records, path):
    book = load_claims(path)
    assert audit_coverage(book, "toy", records, profile="cpu") == []
    [problem] = audit_coverage(book, "toy", records, profile="gpu")
    assert problem.startswith("toy-2 is listed in")
    shown = [*records, not_tested("toy-2", "No GPU.", path=path).to_record()]
    [problem] = audit_coverage(book, "toy", shown, profile="gpu")
    assert "toy-2 is shown as not tested" in problem
    assert "promises a decision at gpu" in problem
    decided = [*records, check("toy-2", [1, 1, 1], controls=[0, 0, 0], path=path).to_record()]
    assert audit_coverage(book, "toy", decided, profile="gpu") == []


def test_results_of_an_earlier_rule_are_found(records, content, write):
    content["claims"][0]["parts"][0]["rule"] = {"above": 0.05}
    [problem] = audit_coverage(load_claims(write(content, "stricter.yml")), "toy", records)
    assert problem.startswith("toy-1 was decided by rules that")
    assert problem.endswith("no longer holds: run toy again")


def test_store_and_load(records, tmp_path):
    content = results_record(reversed(records), paper="toy", profile="cpu", run=RUN)
    assert list(content) == ["paper", "profile", "run", "claims"]
    assert [r["id"] for r in content["claims"]] == ["toy-1", "toy-3"]
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/toy.json").write_text(json.dumps(content))
    assert load_results(tmp_path) == {"cpu": {r["id"]: r for r in records}}
    assert load_results(tmp_path / "nowhere") == {}


def test_ids_are_sorted_by_number_not_by_letters(records):
    many = [{**records[0], "id": f"toy-{n}"} for n in (10, 2, 1)]
    content = results_record(many, paper="toy", profile="cpu", run=RUN)
    assert [r["id"] for r in content["claims"]] == ["toy-1", "toy-2", "toy-10"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("claims"), "field claims or run: is missing"),
        (lambda c: c.pop("run"), "field claims or run: is missing"),
        (lambda c: c.update(paper="other"), "field paper: got 'other', allowed: toy"),
        (lambda c: c.update(profile="gpu"), "field profile: got 'gpu', allowed: cpu"),
        (lambda c: c["claims"].append(c["claims"][0]), "claim toy-1, field id: stands twice"),
        (
            lambda c: c["claims"][0].update(verdict="yes"),
            r"claims\[0\], field verdict: got 'yes', allowed: supp",
        ),
        (
            lambda c: c["claims"][0].update(paper="other"),
            r"claims\[0\], field paper: got 'other', allowed: toy",
        ),
        (lambda c: c["claims"][0].pop("rules"), r"claims\[0\], field rules: is missing"),
        (
            lambda c: c["claims"][0]["parts"][0].update(low="0"),
            r"parts\[0\].low: got '0' \(str\), allowed: number",
        ),
        (
            lambda c: c["claims"][0]["parts"][0]["controls"][0].pop("failed"),
            r"controls\[0\].failed: is missing",
        ),
    ],
)
def test_a_spoiled_results_file_is_refused_by_name(records, tmp_path, change, message):
    content = copy.deepcopy(results_record(records, paper="toy", profile="cpu", run=RUN))
    change(content)
    (tmp_path / "cpu").mkdir()
    file = tmp_path / "cpu/toy.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ClaimsFileError, match=message) as caught:
        load_results(tmp_path)
    assert str(caught.value).startswith(str(file))


def test_files_in_the_wrong_place_or_cut_short(tmp_path):
    (tmp_path / "laptop").mkdir()
    (tmp_path / "laptop/toy.json").write_text("{}")
    with pytest.raises(ClaimsFileError, match="profile 'laptop' is unknown, allowed: quick, cpu, gpu, paper"):
        load_results(tmp_path)
    (tmp_path / "laptop/toy.json").write_text('{"claims": [')
    with pytest.raises(ClaimsFileError, match="not readable as JSON"):
        load_results(tmp_path)


def test_storing_refuses_what_loading_would(records):
    with pytest.raises(ClaimsFileError, match="profile 'huge' is unknown"):
        results_record(records, paper="toy", profile="huge", run=RUN)
    with pytest.raises(ClaimsFileError, match="field paper: got 'toy', allowed: game"):
        results_record(records, paper="game", profile="cpu", run=RUN)
    with pytest.raises(ClaimsFileError, match="stands twice"):
        results_record([*records, records[0]], paper="toy", profile="cpu", run=RUN)
