"""Privacy budgets, the mechanisms that spend them, and audits that try to refute them.

Every mechanism states its neighbouring relation and what is public. Samplers draw ordinary floating-point noise: an
adversary who sees all bits of a release can exploit how floats are spaced (Mironov 2012); round releases to a public
grid far coarser than that with `round_to_grid` where it matters.

Conversions are named ``X_to_Y`` (having X implies Y), ``X_for_Y`` (the largest X that implies Y: for calibration) and
``X_epsilon``, ``X_delta`` (what X gives as (epsilon, delta)). None of them changes the neighbouring relation; `group`
does. "Tight" is the smallest value that holds for every mechanism with the guarantee; what is missing does not exist.

=====================  ================  ==============  =========================
from                   to zCDP           to Gaussian DP  to (epsilon, delta)
=====================  ================  ==============  =========================
pure DP                tight             tight           tight
pure, bounded range    bound, eps^2 / 8  as pure         as pure
zCDP                                     none            bound, best Renyi order
Gaussian DP            tight                             tight
(epsilon, delta > 0)   none              none            tight, at a larger delta
=====================  ================  ==============  =========================
"""

from trustlib.privacy.audit import AuditResult, audit_epsilon, clopper_pearson
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
from trustlib.privacy.composition import (
    compose,
    compose_approx,
    compose_gdp,
    compose_zcdp,
    in_parallel,
)
from trustlib.privacy.concentrated_dp import zcdp_delta, zcdp_epsilon, zcdp_for_approx
from trustlib.privacy.exponential import (
    exponential_log_probabilities,
    exponential_mechanism,
    exponential_mechanism_probabilities,
)
from trustlib.privacy.finite import (
    exact_delta_from_probabilities,
    exact_epsilon_from_log_probabilities,
    exact_epsilon_from_probabilities,
)
from trustlib.privacy.gaussian import gaussian_sigma, sample_gaussian
from trustlib.privacy.gaussian_dp import gdp_delta, gdp_epsilon, gdp_for_approx, gdp_for_zcdp, gdp_to_zcdp
from trustlib.privacy.group_privacy import group
from trustlib.privacy.laplace import round_to_grid, sample_l2_laplace, sample_laplace
from trustlib.privacy.ledger import BudgetExceeded, Entry, Parts, PrivacyLedger, Relation
from trustlib.privacy.limits import exceeds
from trustlib.privacy.pure_dp import (
    bounded_range_for_zcdp,
    bounded_range_to_zcdp,
    pure_delta,
    pure_epsilon,
    pure_for_approx,
    pure_for_gdp,
    pure_for_zcdp,
    pure_to_gdp,
    pure_to_zcdp,
)

__all__ = [
    "ZCDP",  # zero-concentrated DP
    "ApproxDP",  # (epsilon, delta)-DP
    "AuditResult",  # what an audit found
    "Budget",  # any of the guarantees
    "BudgetExceeded",  # a release beyond the limit of a ledger
    "Entry",  # one release in a ledger
    "GaussianDP",  # Gaussian DP
    "Parts",  # why neighbours agree on the parts of the data
    "PersonalizedDP",  # one pure level per record
    "PrivacyBudget",  # what all guarantees offer
    "PrivacyLedger",  # releases and their total
    "PureDP",  # pure DP
    "Relation",  # which data sets are neighbours
    "audit_epsilon",  # lower confidence bound on epsilon
    "bounded_range_for_zcdp",  # level of an exponential mechanism for a zCDP budget
    "bounded_range_to_zcdp",  # exponential mechanism to zCDP
    "budget_from_dict",  # read a budget
    "budget_to_dict",  # write a budget
    "clopper_pearson",  # exact binomial interval
    "compose",  # total of several releases in their common currency
    "compose_approx",  # total as (epsilon, delta) by the best route
    "compose_gdp",  # total as Gaussian DP
    "compose_zcdp",  # total as zCDP
    "exact_delta_from_probabilities",  # exact delta of a finite mechanism
    "exact_epsilon_from_log_probabilities",  # exact epsilon where probabilities underflow
    "exact_epsilon_from_probabilities",  # exact epsilon of a finite mechanism
    "exceeds",  # whether releases pass a limit
    "exponential_log_probabilities",  # selection log-probabilities
    "exponential_mechanism",  # private selection
    "exponential_mechanism_probabilities",  # selection probabilities
    "gaussian_sigma",  # calibration of Gaussian noise
    "gdp_delta",  # delta of Gaussian DP
    "gdp_epsilon",  # epsilon of Gaussian DP
    "gdp_for_approx",  # Gaussian level for (epsilon, delta)
    "gdp_for_zcdp",  # Gaussian level for a zCDP budget
    "gdp_to_zcdp",  # Gaussian DP to zCDP
    "group",  # guarantee for several records at once
    "in_parallel",  # guarantee over disjoint parts
    "pure_delta",  # delta at which a pure guarantee holds at a smaller epsilon
    "pure_epsilon",  # its inverse
    "pure_for_approx",  # pure level for (epsilon, delta)
    "pure_for_gdp",  # pure level for Gaussian DP
    "pure_for_zcdp",  # pure level for zCDP
    "pure_to_gdp",  # pure to Gaussian DP
    "pure_to_zcdp",  # pure to zCDP
    "round_to_grid",  # round a release to a public grid
    "sample_gaussian",  # Gaussian noise
    "sample_l2_laplace",  # spherical Laplace noise
    "sample_laplace",  # independent Laplace noise
    "zcdp_delta",  # delta of zCDP
    "zcdp_epsilon",  # epsilon of zCDP
    "zcdp_for_approx",  # zCDP level for (epsilon, delta)
]
