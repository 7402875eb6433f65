"""Cards: a verdict with its evidence as HTML, LaTeX and plain text."""

from __future__ import annotations

import html
from importlib import resources
from typing import TYPE_CHECKING

from trustlib.claims.interval_plot import plot_svg

if TYPE_CHECKING:
    from trustlib.claims.book import Claim, Part
    from trustlib.claims.intervals import Interval
    from trustlib.claims.rules import Verdict
    from trustlib.claims.verdicts import ClaimResult, ControlResult, PartResult

# one shape per verdict, drawn in the text colour: told apart without colour and without fonts
_SHAPES: dict[Verdict, str] = {
    "supported": '<circle cx="8" cy="8" r="6.8"/><path d="M4.6 8.3l2.4 2.5 4.4-5.2"/>',
    "not supported": '<path d="M1.5 1.5h13v13h-13zM5 5l6 6M11 5l-6 6"/>',
    "inconclusive": '<path d="M8 .8l7.2 7.2-7.2 7.2L.8 8zM5.2 8h5.6"/>',
    "not tested": '<circle cx="8" cy="8" r="6.5" stroke-dasharray="2 2"/>',
}
_SVG = '<svg viewBox="0 0 16 16" width="15" height="15" fill="none" stroke="currentColor" stroke-width="1.7" '


def number(value: float) -> str:
    """Four significant digits, with a real minus sign."""
    return f"{value:.4g}".replace("-", "−")


def span(interval: Interval) -> str:
    """An interval as ``0.98 to 1.02``, or as one number where it has no width."""
    low, high = number(interval.low), number(interval.high)
    return low if low == high else f"{low} to {high}"


def verdict_html(verdict: Verdict) -> str:
    """The word with its shape."""
    shape = f'{_SVG}aria-hidden="true">{_SHAPES[verdict]}</svg>'
    return f'<span class="tl-verdict tl-{slug(verdict)}">{shape} {verdict}</span>'


def slug(verdict: Verdict) -> str:
    """The verdict as a class name."""
    return verdict.replace(" ", "-")


def style(name: str) -> str:
    """A style sheet of this package."""
    return resources.files("trustlib.claims").joinpath(f"assets/{name}.css").read_text("utf-8")


def html_card(result: ClaimResult) -> str:
    """The card of a claim as self-contained HTML.

    Args:
        result: what `check` or `not_tested` returned.

    Returns:
        One ``div`` with its own style, no script and nothing to load; colours follow the page.
    """
    claim = result.claim
    origin = "" if claim.origin == "paper" else " (our own claim)"
    lines = [
        f'<div class="tl-claim tl-is-{slug(result.verdict)}" role="group" '
        f'aria-label="Claim {claim.id}: {result.verdict}">',
        f"<style>{style('verdict')}{style('card')}</style>",
        f'<p class="tl-head"><strong>{claim.id}</strong>{origin} {verdict_html(result.verdict)}</p>',
        f'<p class="tl-statement">{html.escape(claim.statement)}</p>',
        f'<p class="tl-source">Source: {html.escape(claim.source)}.'
        f"<br>Reported: {html.escape(reported(claim))}</p>",
    ]
    if result.reason:
        lines.append(f'<p class="tl-reason">{html.escape(result.reason)}</p>')
    if result.parts:
        lines.append(_table(result))
    if claim.note:
        lines.append(f'<p class="tl-note">{html.escape(claim.note)}</p>')
    return "\n".join([*lines, "</div>"])


def reported(claim: Claim) -> str:
    """What the authors report, or a plain statement that there is nothing."""
    value = claim.reported
    if value is None:
        return "no number" if claim.origin == "paper" else "nothing, the claim is ours"
    return number(value) if isinstance(value, int | float) else value


def _table(result: ClaimResult) -> str:
    """Parts and their controls as a table with header cells for rows and columns."""
    heads = ("Statistic", "Estimate", "Interval", "n", "Rule", "Outcome")
    rows = "\n".join(_rows(part) for part in result.parts)
    return (
        f'<div class="tl-scroll"><table aria-label="Evidence for claim {result.claim.id}"><thead><tr>'
        + "".join(f'<th scope="col">{h}</th>' for h in heads)
        + f"</tr></thead><tbody>\n{rows}\n</tbody></table></div>"
    )


def _rows(result: PartResult) -> str:
    """The row of a part, the rows of its controls, and the plot of both."""
    part = result.part
    first = (
        f'<tr class="tl-part"><th scope="row"><code>{part.name}</code> {html.escape(part.statistic)}</th>'
        f'{_cells(result.interval, part)}<td class="tl-rule">{html.escape(part.rule_words())}</td>'
        f"<td>{verdict_html(result.verdict)}</td></tr>"
    )
    method = html.escape(f"{part.interval.words()} over {part.unit}. {why(result)}".strip())
    plot = (
        f'<tr class="tl-plot"><td colspan="6">{plot_svg(result)}'
        f'<span class="tl-method">{method}</span></td></tr>'
    )
    return "\n".join([first, *(_control_row(c, part) for c in result.controls), plot])


def why(result: PartResult) -> str:
    """Why a part is inconclusive, in a sentence; an empty text for any other verdict."""
    if result.verdict != "inconclusive":
        return ""
    if result.part.interval.method in ("count", "exact"):
        return "The rule is missed, which by its terms refutes nothing."
    return "The interval reaches across the threshold: these data decide neither way."


def _control_row(result: ControlResult, part: Part) -> str:
    """The row of a control, which says in words whether it failed."""
    kind, word = ("ok", "failed as it must") if result.failed else ("alarm", "did not fail")
    return (
        f'<tr class="tl-control"><th scope="row">Control <code>{result.control.name}</code> '
        f"{html.escape(result.control.statement)}</th>{_cells(result.interval, part)}"
        f'<td class="tl-rule">must fail</td><td class="tl-{kind}">{word}</td></tr>'
    )


def _cells(interval: Interval, part: Part) -> str:
    """Estimate, interval and n; the unit is the tooltip of n and stands below the plot. A count has no interval."""
    counted = part.interval.method == "count"
    estimate = f"{number(interval.estimate)} of {interval.n}" if counted else number(interval.estimate)
    return (
        f"<td>{estimate}</td><td>{'–' if counted else span(interval)}</td>"
        f'<td title="{html.escape(part.unit)}">{interval.n}</td>'
    )


def text_card(result: ClaimResult) -> str:
    """The card as plain text."""
    claim = result.claim
    lines = [f"{claim.id}: {result.verdict.upper()}", f"  {claim.statement}"]
    lines += [f"  source: {claim.source}", f"  reported: {reported(claim)}"]
    lines += [f"  {result.reason}"] if result.reason else []
    for part in result.parts:
        lines.append(
            f"  {part.part.name} = {_brackets(part.interval)} ({part.part.interval.words()}, "
            f"n = {part.interval.n} {part.part.unit}), rule: {part.part.rule_words()} -> {part.verdict}"
        )
        for c in part.controls:
            word = "failed as it must" if c.failed else "DID NOT FAIL"
            lines.append(
                f"    control {c.control.name} = {_brackets(c.interval)} (n = {c.interval.n}): {word}"
            )
    return "\n".join(lines)


def _brackets(interval: Interval) -> str:
    """An estimate with its interval as ``1.2 [1.1, 1.3]``."""
    return f"{interval.estimate:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def latex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_LATEX.get(c, c) for c in text)


def latex_card(result: ClaimResult) -> str:
    """The card as LaTeX that needs no package."""
    claim = result.claim
    lines = [
        r"\begin{quote}",
        rf"\noindent\textbf{{{latex(claim.id)}}} \fbox{{{result.verdict}}} {latex(claim.statement)}",
        "",
        rf"\emph{{Source:}} {latex(claim.source)}. \emph{{Reported:}} {latex(reported(claim))}.",
    ]
    lines += ["", latex(result.reason)] if result.reason else []
    if result.parts:
        lines += [r"\begin{itemize}", *(_latex_item(p) for p in result.parts), r"\end{itemize}"]
    return "\n".join([*lines, r"\end{quote}"])


def _latex_item(result: PartResult) -> str:
    """One part with its controls."""
    part, found = result.part, result.interval
    text = (
        f"{part.name}: {_brackets(found)}, {part.interval.words()}, "
        f"n = {found.n} {part.unit}; rule: {part.rule_words()}: {result.verdict}."
    )
    for c in result.controls:
        word = "failed as it must" if c.failed else "did not fail"
        text += f" Control {c.control.name}: {c.interval.estimate:.4g}, {word}."
    return rf"\item {latex(text)}"
