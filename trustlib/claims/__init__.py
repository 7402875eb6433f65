"""Claims and verdicts: rules fixed before the run, intervals, controls that must fail, four words.

`check` decides a claim of ``book/claims.yml`` from samples over the unit that varies and shows a card;
`collect`, `audit_coverage`, `results_record` and `load_results` carry the outcomes from executed notebooks to
stored reference runs; `ledger` and `ledger_html` put them side by side.
"""

from trustlib.claims.book import PROFILES, Claim, ClaimBook, Control, Part, load_claims
from trustlib.claims.intervals import Interval, IntervalSpec, interval
from trustlib.claims.ledger import LedgerRow, ledger, ledger_html, ledger_markdown
from trustlib.claims.records import audit_coverage, collect, load_results, results_record
from trustlib.claims.rules import VERDICTS, Rule, Verdict
from trustlib.claims.validation import ClaimsFileError
from trustlib.claims.verdicts import (
    MIME,
    ClaimResult,
    ControlResult,
    PartResult,
    check,
    not_tested,
)

__all__ = [
    "MIME",  # mime type of the machine-readable record in a notebook output
    "PROFILES",  # quick, cpu, gpu, paper
    "VERDICTS",  # the four words
    "Claim",  # one claim as written in the claims file
    "ClaimBook",  # all claims of one file
    "ClaimResult",  # the outcome of one claim in one run
    "ClaimsFileError",  # a claims or results file that cannot be used
    "Control",  # samples where the effect is absent: must fail
    "ControlResult",  # the outcome of one control
    "Interval",  # an estimate and the range that the data leave for it
    "IntervalSpec",  # how an interval is formed
    "LedgerRow",  # one claim with its outcomes at every profile
    "Part",  # one statistic of a claim with its rule
    "PartResult",  # the outcome of one part
    "Rule",  # the region in which the whole interval must lie
    "Verdict",  # type of the four words
    "audit_coverage",  # checked but unknown, listed but never checked
    "check",  # decide a claim
    "collect",  # the records in an executed notebook
    "interval",  # the interval of a statistic from its samples
    "ledger",  # all claims with stored and current results
    "ledger_html",  # the ledger as a page with filters
    "ledger_markdown",  # the ledger as a Markdown table
    "load_claims",  # read and validate a claims file
    "load_results",  # read the stored reference runs
    "not_tested",  # the card of a claim that this run does not decide
    "results_record",  # the content of a stored reference run
]
