"""Privacy budgets, the mechanisms that spend them, and audits that try to refute them.

Every mechanism states its neighbouring relation and what is public. Samplers draw ordinary floating-point noise: an
adversary who sees all bits of a release can exploit how floats are spaced (Mironov 2012); round releases to a public
grid coarser than the noise with `round_to_grid` where that matters.
"""

from trustlib.privacy.audit import AuditResult, audit_epsilon, clopper_pearson, exact_epsilon
from trustlib.privacy.budgets import (
    ZCDP,
    ApproxDP,
    Budget,
    GaussianDP,
    PersonalizedDP,
    PrivacyBudget,
    PureDP,
    budget_from_dict,
    budget_to_dict,
)
from trustlib.privacy.conversions import (
    bounded_range_to_zcdp,
    gdp_delta,
    gdp_epsilon,
    gdp_mu,
    gdp_to_zcdp,
    pure_delta,
    pure_epsilon,
    pure_to_gdp,
    pure_to_zcdp,
    zcdp_delta,
    zcdp_epsilon,
    zcdp_rho,
)
from trustlib.privacy.exponential import (
    exponential_log_probabilities,
    exponential_mechanism,
    exponential_mechanism_probabilities,
)
from trustlib.privacy.gaussian import gaussian_sigma, sample_gaussian
from trustlib.privacy.laplace import round_to_grid, sample_l2_laplace, sample_laplace
from trustlib.privacy.ledger import BudgetExceeded, Entry, PrivacyLedger, Relation, compose, exceeds

__all__ = [
    "ZCDP",  # zero-concentrated DP
    "ApproxDP",  # (epsilon, delta)-DP
    "AuditResult",  # what an audit found
    "Budget",  # any of the guarantees
    "BudgetExceeded",  # a release beyond the limit of a ledger
    "Entry",  # one release in a ledger
    "GaussianDP",  # Gaussian DP
    "PersonalizedDP",  # one pure level per record
    "PrivacyBudget",  # what all guarantees offer
    "PrivacyLedger",  # releases and their total
    "PureDP",  # pure DP
    "Relation",  # which data sets are neighbours
    "audit_epsilon",  # lower confidence bound on epsilon
    "bounded_range_to_zcdp",  # exponential mechanism to zCDP
    "budget_from_dict",  # read a budget
    "budget_to_dict",  # write a budget
    "clopper_pearson",  # exact binomial interval
    "compose",  # total of several releases
    "exact_epsilon",  # exact epsilon of a finite mechanism
    "exceeds",  # whether a total passes a limit
    "exponential_log_probabilities",  # selection log-probabilities
    "exponential_mechanism",  # private selection
    "exponential_mechanism_probabilities",  # selection probabilities
    "gaussian_sigma",  # calibration of Gaussian noise
    "gdp_delta",  # delta of Gaussian DP
    "gdp_epsilon",  # epsilon of Gaussian DP
    "gdp_mu",  # Gaussian level for (epsilon, delta)
    "gdp_to_zcdp",  # Gaussian DP to zCDP
    "pure_delta",  # delta at which a pure guarantee holds at a smaller epsilon
    "pure_epsilon",  # its inverse
    "pure_to_gdp",  # pure to Gaussian DP
    "pure_to_zcdp",  # pure to zCDP
    "round_to_grid",  # round a release to a public grid
    "sample_gaussian",  # Gaussian noise
    "sample_l2_laplace",  # spherical Laplace noise
    "sample_laplace",  # independent Laplace noise
    "zcdp_delta",  # delta of zCDP
    "zcdp_epsilon",  # epsilon of zCDP
    "zcdp_rho",  # zCDP level for (epsilon, delta)
]
