"""The ledger: merging, which verdict counts, and a page that works with and without scripts."""

from __future__ import annotations

import pytest

from trustlib.claims import check, ledger, ledger_html, ledger_markdown, load_claims, not_tested

CONTROLS = {"shuffled": [-0.01, 0.0, 0.01], "broken": [0.4, 1.8]}


def link(paper):
    return f"../notebooks/{paper}.html?a=1&b=2"


def record(path, gain, controls=CONTROLS):
    return check("toy-1", {"gain": gain, "loss_ratio": 0.5}, controls=controls, path=path).to_record()


@pytest.fixture
def results(path):
    """quick: supported; cpu: not supported; paper: not tested."""
    return {
        "quick": {"toy-1": record(path, [0.1, 0.12, 0.11])},
        "cpu": {"toy-1": record(path, [-0.1, -0.12, -0.11])},
        "paper": {"toy-1": not_tested("toy-1", "no weights", path=path).to_record()},
    }


def test_the_largest_profile_that_decided_counts(path, results):
    rows = ledger(load_claims(path), results)
    assert [r.claim.id for r in rows] == ["toy-1", "toy-2", "toy-3", "game-1"]
    assert (rows[0].verdict, rows[0].profile) == ("not supported", "cpu")
    assert list(rows[0].records) == ["quick", "cpu", "paper"]
    assert [(r.verdict, r.profile) for r in rows[1:]] == [("not tested", None)] * 3


def test_the_run_at_hand_takes_the_place_of_the_stored_one(path, results):
    fresh = record(path, [0.1, 0.13, 0.12])
    rows = ledger(load_claims(path), results, current=[fresh], profile="cpu")
    assert rows[0].records["cpu"] == fresh
    assert rows[0].verdict == "supported"
    assert results["cpu"]["toy-1"]["verdict"] == "not supported"  # the input is left alone


def test_a_result_of_an_earlier_rule_is_shown_but_does_not_count(content, write, results):
    content["claims"][0]["parts"][0]["rule"] = {"above": 0.05}
    book = load_claims(write(content, "stricter.yml"))
    rows = ledger(book, results)
    assert rows[0].outdated == ("quick", "cpu", "paper")
    assert (rows[0].verdict, rows[0].profile) == ("not tested", None)
    assert ledger_html(rows, link=link).count("decided by an earlier rule") == 3
    assert "not supported (by an earlier rule)" in ledger_markdown(rows, link=link)


def test_results_of_unlisted_claims_and_runs_without_profile_are_refused(path, results, write, content):
    smaller = load_claims(write({"claims": content["claims"][1:]}, "smaller.yml"))
    with pytest.raises(ValueError, match=r"result at quick for toy-1, which .*smaller.yml does not list"):
        ledger(smaller, results)
    with pytest.raises(ValueError, match="profile of the current records is None, allowed: quick"):
        ledger(load_claims(path), {}, current=results["cpu"].values())


def test_html_has_every_claim_with_numbers_links_and_filter_keys(path, results):
    page = ledger_html(ledger(load_claims(path), results), link=link)
    assert page.count("<tr id=") == 4
    assert '<tr id="claim-toy-1" data-paper="toy" data-verdict="not supported" data-origin="paper">' in page
    assert '<tr id="claim-toy-2" data-paper="toy" data-verdict="not tested" data-origin="ours">' in page
    assert 'href="../notebooks/toy.html?a=1&amp;b=2"' in page
    assert "The method is better &amp; &lt;faster&gt;" in page
    # half width t_{0.975, 2} * s / sqrt(3) = 4.3027 * 0.01 / 1.7321 = 0.02484 around -0.11
    assert "gain −0.11 [−0.1348, −0.08516]" in page
    assert "The weights need 40 GB." in page
    for head in ("Claim", "Reported", "quick", "cpu", "gpu", "paper", "Verdict"):
        assert f'<th scope="col">{head}</th>' in page
    assert "http" not in page


def test_paper_column_only_where_somebody_ran_it(path, results):
    del results["paper"]
    page = ledger_html(ledger(load_claims(path), results), link=link)
    assert '<th scope="col">gpu</th>' in page
    assert '<th scope="col">paper</th>' not in page


def test_a_control_that_did_not_fail_stands_in_the_ledger(path):
    passed = record(path, [0.1, 0.1, 0.1], controls={**CONTROLS, "broken": 0.5})
    rows = ledger(load_claims(path), {"quick": {"toy-1": passed}})
    for text in (ledger_html(rows, link=link), ledger_markdown(rows, link=link)):
        assert "control broken did not fail" in text


def test_markdown_is_one_line_per_claim(content, write, results):
    content["claims"][0]["statement"] = "a | b\nc"
    lines = ledger_markdown(ledger(load_claims(write(content)), results), link=link).splitlines()
    assert len(lines) == 2 + 4
    assert r"a \| b c" in lines[2]
    assert lines[2].count(" | ") == lines[0].count(" | ")
    assert lines[2].endswith("| not supported (at cpu) |")


@pytest.mark.browser
def test_filters_in_a_browser_without_network(browser, path, results, tmp_path):
    file = tmp_path / "ledger.html"
    body = ledger_html(ledger(load_claims(path), results), link=link)
    file.write_text(f"<!doctype html><meta charset='utf-8'><title>Ledger</title>{body}", "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    shown = page.locator("tbody tr:visible")
    assert shown.count() == 4
    page.select_option("select[name=verdict]", "not tested")
    assert shown.count() == 3
    page.select_option("select[name=paper]", "toy")
    assert page.locator("output").inner_text() == "2 of 4 claims"
    page.select_option("select[name=origin]", "ours")
    assert shown.first.get_attribute("id") == "claim-toy-2"
    quiet = browser.new_context(java_script_enabled=False).new_page()
    quiet.goto(file.as_uri())
    assert quiet.locator("tbody tr:visible").count() == 4
    assert not quiet.locator("form").is_visible()
