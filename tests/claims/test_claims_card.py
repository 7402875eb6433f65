"""Cards: every number and word is there, in HTML, LaTeX and text, without colour, script or network."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest

from trustlib.claims import MIME, VERDICTS, check, not_tested

VOID = {"br", "path", "circle", "line", "meta", "option"}


class Tags(HTMLParser):
    """Collects the text, and checks that what is opened is closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.text = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)

    def words(self):
        return " ".join(" ".join(self.text).split())


def html_of(result):
    return Tags(result._repr_mimebundle_()["text/html"])


def results(path):
    """One result per verdict."""
    gains = [0.1, 0.12, 0.11], [-0.1, -0.12, -0.11], [-0.1, 0.2, 0.0]
    return [*(decide(path, gain) for gain in gains), not_tested("toy-3", path=path)]


def decide(path, gain, *, shuffled=(0.0, 0.1, -0.1)):
    """toy-1 with this gain and control."""
    nulls = {"shuffled": shuffled, "broken": 2}
    return check("toy-1", {"gain": gain, "loss_ratio": 0.5}, controls=nulls, path=path)


def test_html_shows_statement_source_numbers_rules_and_controls(toy):
    text = html_of(toy).words()
    for piece in (
        "toy-1", "supported", "The method is better & <faster>, and sound.",
        "Source: Somebody 2024, Table 1.",
        "Reported: 1.5", "gain Accuracy of the method minus that of the baseline", "0.11",
        "0.08516 to 0.1348",
        "whole interval above 0", "95 % t interval over seeds", "every value at most 1",
        "Control shuffled Labels shuffled", "Control broken Half the noise", "failed as it must",
        "Better means larger.",
    ):  # fmt: skip
        assert piece in text, piece
    assert "did not fail" not in text


def test_a_control_that_did_not_fail_is_said_in_words(path):
    found = decide(path, [0.1, 0.12, 0.11], shuffled=[0.1, 0.11, 0.1])
    bundle = found._repr_mimebundle_()
    assert "did not fail" in html_of(found).words()
    assert "The control shuffled came out supported too" in html_of(found).words()
    assert "DID NOT FAIL" in bundle["text/plain"]
    assert "did not fail" in bundle["text/latex"]


def test_verdict_is_told_by_word_and_by_shape(path):
    shapes = set()
    for result, verdict in zip(results(path), VERDICTS, strict=True):
        page = result._repr_mimebundle_()["text/html"]
        assert f'aria-label="Claim {result.claim.id}: {verdict}"' in page
        head = page.split("tl-head", 1)[1].split("</p>", 1)[0]
        assert verdict in head
        shapes.add(head.split("<svg", 1)[1].split("</svg>", 1)[0])
    assert len(shapes) == 4


def test_html_is_accessible_and_self_contained(toy):
    tags = html_of(toy)
    heads = [attrs.get("scope") for tag, attrs in tags.seen if tag == "th"]
    assert heads.count("col") == 6
    assert heads.count("row") == 4  # two parts, two controls
    for tag, attrs in tags.seen:
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or attrs["aria-label"]
        assert not {"src", "href", "onclick"} & set(attrs)
        assert tag != "script"
    page = toy._repr_mimebundle_()["text/html"]
    assert "url(" not in page
    assert "@import" not in page


def test_plot_places_interval_and_border_in_order(path):
    # one gain below the border 0, one above: the filled dot is left or right of the dashed line
    def dot_and_border(gain):
        found = decide(path, gain, shuffled=[-1, 1])
        tags = [t for t in html_of(found).seen if t[0] in ("path", "circle")]
        border = next(a["d"] for t, a in tags if a.get("stroke-dasharray") == "3 3")
        dot = next(a["cx"] for t, a in tags if t == "circle" and a.get("fill") == "currentColor")
        return float(dot), float(border[1:].split()[0])

    dot, border = dot_and_border([0.5, 0.6])
    assert dot > border
    dot, border = dot_and_border([-0.5, -0.6])
    assert dot < border


@pytest.mark.parametrize("samples", [[1e-12, 2e-12], [3.0, 3.0], [-1e9, 1e9], [1e-3, 1e5]])
def test_plot_coordinates_are_finite_and_inside(path, samples):
    found = decide(path, samples, shuffled=[0, 0])
    page = found._repr_mimebundle_()["text/html"]
    assert "nan" not in page
    assert "inf," not in page
    assert all(0 <= float(a["cx"]) <= 600 for t, a in Tags(page).seen if t == "circle")


def test_log_scale_says_so(root):
    samples = {"ratio_to_prediction": [1.0, 1.0], "gain": [1500, 1600]}
    nulls = {"unsquared_prediction": [43, 44], "equal_epsilon": [1, 1]}
    found = check("pdp_op-3", samples, controls=nulls, path=root / "book/claims.yml")
    labels = [a["aria-label"] for t, a in html_of(found).seen if t == "svg" and "aria-label" in a]
    assert all("log scale" in label for label in labels)


def test_text_and_latex_carry_the_same_numbers(toy):
    bundle = toy._repr_mimebundle_()
    assert bundle["text/plain"] == str(toy)
    assert "toy-1: SUPPORTED" in bundle["text/plain"]
    assert "gain = 0.11 [0.08516, 0.1348] (95 % t interval, n = 3 seeds)" in bundle["text/plain"]
    latex = bundle["text/latex"]
    assert r"\fbox{supported}" in latex
    assert r"better \& <faster>" in latex
    assert r"loss\_ratio: 0.9 [0.2, 0.9]" in latex
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\begin{") == latex.count(r"\end{")


def test_latex_prints_special_characters_as_they_stand(content, write):
    content["claims"][2]["statement"] = "100 % of {x_1, x^2} \\ cost $3 ~ #1 & more"
    latex = not_tested("toy-3", path=write(content))._repr_mimebundle_()["text/latex"]
    expected = (
        r"100 \% of \{x\_1, x\textasciicircum{}2\} \textbackslash{} cost \$3 \textasciitilde{} \#1 \& more"
    )
    assert expected in latex


def test_not_tested_gives_its_reason_everywhere(path):
    bundle = not_tested("toy-3", path=path)._repr_mimebundle_()
    for kind in ("text/html", "text/plain", "text/latex"):
        assert "Priority is no experiment." in bundle[kind]
        assert "no number" in bundle[kind]
    assert "<table" not in bundle["text/html"]


def test_our_own_claim_says_so(path):
    text = html_of(check("toy-2", [1, 1, 0], controls=[0, 0, 1], path=path)).words()
    assert "our own claim" in text
    assert "nothing, the claim is ours" in text


@pytest.mark.filterwarnings("ignore::DeprecationWarning:nbformat")
def test_the_bundle_is_a_valid_notebook_output(toy, path):
    for result in (toy, *results(path)):
        bundle = result._repr_mimebundle_()
        json.dumps(bundle, allow_nan=False)
        output = nbformat.v4.new_output("display_data", data=bundle)
        cell = nbformat.v4.new_code_cell("claims.check(...)", outputs=[output])
        nbformat.validate(nbformat.v4.new_notebook(cells=[cell]))
        assert bundle[MIME]["verdict"] == result.verdict


def test_ipython_shows_the_card(toy):
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(toy)
    assert {"text/html", "text/latex", "text/plain", MIME} <= set(data)


def test_numbers_are_those_of_the_result(path):
    rng = np.random.default_rng(5)
    found = decide(path, rng.normal(5, 1, 30), shuffled=rng.normal(0, 1, 30))
    record = found.to_record()["parts"][0]
    inside = found.part("gain").interval
    assert (record["estimate"], record["low"], record["high"]) == (inside.estimate, inside.low, inside.high)
    assert f"{inside.low:.4g} to {inside.high:.4g}" in html_of(found).words()


def test_a_count_reads_as_a_count_and_has_no_interval(path):
    page = html_of(check("toy-2", [1, 0, 0], controls=[0, 0, 0], path=path)).words()
    assert "1 of 3 –" in page
    assert "0 of 3 –" in page
    assert "The rule is missed, which by its terms refutes nothing." in page


def test_an_inconclusive_part_says_why(path):
    supported, refuted, open_ = (html_of(result).words() for result in results(path)[:3])
    reason = "The interval reaches across the threshold"
    assert reason in open_
    assert reason not in supported + refuted
