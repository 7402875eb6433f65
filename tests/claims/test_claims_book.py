"""The claims file: typed content, where it is found, and errors that name claim, field, value and choices."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from trustlib.claims import ClaimsFileError, IntervalSpec, Rule, load_claims


def test_content_is_typed(path):
    book = load_claims(path)
    assert [c.id for c in book] == ["toy-1", "toy-2", "toy-3", "game-1"]
    assert len(book) == 4
    claim = book["toy-1"]
    assert claim.profiles == ("quick", "cpu")  # in the order of growing cost, whatever the file says
    assert claim.part("gain").rule == Rule("above", (0.0,))
    assert claim.part("gain").interval == IntervalSpec("t", level=0.95)
    assert claim.part("gain").rule_words() == "whole interval above 0"
    assert claim.part("loss_ratio").rule_words() == "every value at most 1"
    assert book["toy-2"].parts[0].rule_words() == "at least 2 of 3"
    assert book["toy-2"].parts[0].otherwise == "inconclusive"
    assert book["toy-3"].parts == ()
    assert [c.id for c in book.of("game")] == ["game-1"]
    assert book.of("nobody") == ()
    assert "toy-3" in book
    assert "toy-4" not in book


def test_the_book_own_file_is_valid_and_complete_for_pdp_op(root):
    book = load_claims(root / "book/claims.yml")
    assert [c.id for c in book.of("pdp_op")] == [f"pdp_op-{n}" for n in range(1, 10)]
    assert {c.id for c in book.of("pdp_op") if c.status != "tested"} == {"pdp_op-8"}
    for claim in book:
        for part in claim.parts:
            assert any(c.part == part.name for c in claim.controls), f"{claim.id}: {part.name} has no control"


def test_digest_follows_rules_and_ignores_words(content, write):
    before = load_claims(write(content, "a.yml"))["toy-1"].rules
    content["claims"][0]["statement"] = content["claims"][0]["parts"][0]["statistic"] = "Said better."
    assert load_claims(write(content, "b.yml"))["toy-1"].rules == before
    changes = [("rule", {"above": 0.1}), ("interval", {"method": "t", "level": 0.9}), ("name", "gain_")]
    for number, (field, value) in enumerate(changes):
        spoiled = {**content["claims"][0]["parts"][0], field: value}
        claim = {**content["claims"][0], "parts": [spoiled, content["claims"][0]["parts"][1]]}
        claim["controls"] = [{**claim["controls"][0], "part": spoiled["name"]}, claim["controls"][1]]
        assert load_claims(write({"claims": [claim]}, f"{number}.yml"))["toy-1"].rules != before


def test_a_changed_file_is_read_again(content, write):
    file = write(content)
    assert len(load_claims(file)) == 4
    content["claims"].pop()
    write(content)
    assert len(load_claims(file)) == 3


def test_search_order(content, write, tmp_path, monkeypatch, root):
    monkeypatch.delenv("TRUSTLIB_CLAIMS", raising=False)
    inner = tmp_path / "project/notebooks/deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert load_claims().path == root / "book/claims.yml"  # the checkout that is installed from
    (tmp_path / "project/book").mkdir()
    near = shutil.copy(write(content), tmp_path / "project/book/claims.yml")
    assert load_claims().path == near  # the nearest above the current folder
    other = write({"claims": []}, "other.yml")
    monkeypatch.setenv("TRUSTLIB_CLAIMS", str(other))
    assert load_claims().path == other  # the environment
    assert load_claims(near).path == near  # the argument


def test_an_installed_copy_brings_its_own_claims(path, root, tmp_path):
    # as in a wheel: the package alone, with the claims beside its modules
    site = tmp_path / "site"
    shutil.copytree(
        root / "trustlib/claims", site / "trustlib/claims", ignore=shutil.ignore_patterns("__pycache__")
    )
    (site / "trustlib/__init__.py").write_text("")
    shutil.copy(path, site / "trustlib/claims/claims.yml")
    code = "from trustlib.claims import load_claims; print(load_claims().path, len(load_claims()))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=site,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [str(site / "trustlib/claims/claims.yml"), "4"]


def test_a_named_file_that_is_missing(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"path names the claims file .*nowhere\.yml"):
        load_claims(tmp_path / "nowhere.yml")
    monkeypatch.setenv("TRUSTLIB_CLAIMS", str(tmp_path / "nowhere.yml"))
    with pytest.raises(FileNotFoundError, match="TRUSTLIB_CLAIMS names the claims file"):
        load_claims()


def test_an_unknown_claim_names_neighbours(path):
    with pytest.raises(ValueError, match=r"claim 'toy-7' is not in .*known: toy-1, toy-2, toy-3"):
        load_claims(path)["toy-7"]
    with pytest.raises(ValueError, match="did you mean game-1"):
        load_claims(path)["games-1"]


def spoil(content, where, value):
    *way, last = where
    item = content["claims"]
    for step in way:
        item = item[step]
    if value is None:
        del item[last]
    else:
        item[last] = value


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ((0, "parts", 0, "rule"), {"abvoe": 1},
         r"claim toy-1, field parts\[0\].rule.abvoe: unknown key, did you mean above\? allowed: above"),
        ((0, "parts", 0, "rule"), {"above": 1, "below": 2}, r"parts\[0\].rule: got .* exactly one of these"),
        ((0, "parts", 0, "rule"), {}, r"parts\[0\].rule: got {}, exactly one of these"),
        ((0, "parts", 0, "rule"), {"above": "one"}, r"rule.above: got 'one' \(str\), allowed: number"),
        ((0, "parts", 0, "rule"), {"within": [2, 1]}, r"rule.within: got \[2, 1\], .* the smaller first"),
        ((0, "parts", 0, "rule"), {"within": [1]}, r"rule.within: got \[1\]"),
        ((0, "parts", 0, "interval", "method"), "bootstrp",
         r"interval.method: got 'bootstrp', did you mean bootstrap\? allowed: t, bootstrap, replicates"),
        ((0, "parts", 0, "interval"), {"method": "t"}, r"interval.level: is missing; method t needs it"),
        ((0, "parts", 0, "interval"), {"method": "t", "level": 95}, r"interval.level: got 95"),
        ((0, "parts", 0, "interval"), {"method": "exact", "level": 0.9},
         r"interval.level: got 0.9, allowed with method exact: nothing else"),
        ((0, "parts", 0, "otherwise"), "inconclusive", r"otherwise: only goes with method count or exact"),
        ((0, "parts", 1, "name"), "gain", "field parts: the name gain stands twice"),
        ((0, "controls", 1, "name"), "shuffled", "field controls: the name shuffled stands twice"),
        ((0, "controls", 0, "part"), "gains",
         r"controls\[0\].part: got 'gains', did you mean gain\? allowed: gain, loss_ratio"),
        ((0, "controls", 0, "must"), "pass", r"controls\[0\].must: got 'pass', allowed: fail"),
        ((0, "controls"), None, "claim toy-1, field controls: is missing"),
        ((0, "reported"), None, "claim toy-1, field reported: is missing"),
        ((0, "origin"), "authors", "field origin: got 'authors', allowed: paper, ours"),
        ((0, "profiles"), ["laptop"], r"profiles\[0\]: got 'laptop', allowed: quick, cpu, gpu, paper"),
        ((0, "reason"), "none", "field reason: does not go with this status"),
        ((1, "reason"), None, "claim toy-2, field reason: is missing"),
        ((1, "profiles"), ["quick"], r"claim toy-2, field profiles\[0\]: got 'quick', allowed: gpu, paper"),
        ((2, "profiles"), ["quick"], "claim toy-3, field profiles: does not go with this status"),
        ((0, "paper"), "toys", "claim toy-1, field paper: got 'toys', allowed: the id's first part"),
        ((3, "id"), "game-one", r"claim game-one, field id: got 'game-one'"),
        ((3, "id"), "toy-1", "claim toy-1, field id: stands 2 times"),
        ((3, "statement"), " ", r"claim game-1, field statement: got ' '"),
        ((3, "id"), None, "claim number 4, field id: is missing"),
    ],
)  # fmt: skip
def test_errors_name_file_claim_field_value_and_choices(content, write, where, value, message):
    spoil(content, where, value)
    file = write(content)
    with pytest.raises(ClaimsFileError, match=message) as caught:
        load_claims(file)
    assert all(line.startswith(f"{file}: ") for line in str(caught.value).splitlines())


def test_all_problems_are_listed_at_once(content, write):
    spoil(content, (0, "origin"), "authors")
    spoil(content, (3, "status"), "done")
    with pytest.raises(ClaimsFileError, match=r"toy-1, field origin(.|\n)*game-1, field status"):
        load_claims(write(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claims: [", "not readable as YAML"),
        ("claims: []\nclaims: []", "the key 'claims' stands twice"),
        ("[]", r"the entry itself: got \[\] \(list\), allowed: object"),
        ("", r"got None \(NoneType\), allowed: object"),
        ("claim: []", "field claim: unknown key, did you mean claims"),
        ("claims: [7]", r"claim number 1, the entry itself: got 7 \(int\), allowed: object"),
    ],
)
def test_files_that_are_no_claims_file(tmp_path, text, message):
    file = tmp_path / "claims.yml"
    file.write_text(text)
    with pytest.raises(ClaimsFileError, match=message):
        load_claims(file)
