"""Personalised differential privacy for ridge regression by output perturbation (Acharya et al. 2024).

`PersonalizedRidge` gives every person exactly the level they asked for; the other estimators are what it is compared
with. Losses over the noise are exact (`loss_moments`), so comparisons need no simulation. Everything protects the
values of one record under substitution; who takes part and all levels are public.
"""

from trustlib.pdp_op import evidence
from trustlib.pdp_op.audit import (
    CornerLosses,
    Fault,
    audit_ridge,
    corner_losses,
    largest_step,
    personal_report,
    privacy_loss,
    removal_loss,
)
from trustlib.pdp_op.calibration import (
    Bounds,
    check_bounds,
    effective_size,
    noise_rate,
    norm_bound,
    personal_weights,
    ridge_sensitivity,
)
from trustlib.pdp_op.checks import Clipped, DomainError, DomainWarning
from trustlib.pdp_op.comparison import (
    LABELS,
    METHODS,
    Method,
    Plan,
    Problem,
    Trial,
    best_lambda,
    compare,
    equal_levels,
    method_losses,
    null_losses,
    null_values,
    simulation_error,
    summarise,
    trials,
    two_point_levels,
    with_preferences,
)
from trustlib.pdp_op.estimators import PersonalizedRidge, UniformDPRidge
from trustlib.pdp_op.evidence import Evidence, gain_map
from trustlib.pdp_op.marginal import marginal_value
from trustlib.pdp_op.means import PersonalizedMean
from trustlib.pdp_op.moments import LossMoments, loss_moments, noise_covariance
from trustlib.pdp_op.normal_equations import NormalEquations, normal_equations, stream_normal_equations
from trustlib.pdp_op.output_perturbation import OutputPerturbationRidge
from trustlib.pdp_op.planning import (
    capped_levels,
    excess_bound,
    excess_quantile_bound,
    marginal_noise,
    noise_ratios,
    plan_lambda,
    sampling_noise_ratio,
    uniform_noise_ratio,
)
from trustlib.pdp_op.preferences import ALAGGAN, NIU, Preferences, draw_epsilons, keep_probabilities
from trustlib.pdp_op.published import INSURANCE_LOSSES, published_comparison
from trustlib.pdp_op.references import ConstantPredictor, RidgeReference
from trustlib.pdp_op.sampling import SampleDPRidge
from trustlib.pdp_op.substitutions import corner_records, substitution_losses
from trustlib.pdp_op.sufficient_statistics import PersonalizedStatisticsRidge, statistics_diameter
from trustlib.pdp_op.synthetic import Synthetic, draw_synthetic

__all__ = [
    "ALAGGAN",  # shares of people by attitude, as in the experiments
    "INSURANCE_LOSSES",  # numbers in the authors' result files
    "LABELS",  # names of the methods for figures
    "METHODS",  # methods of the main comparison
    "NIU",  # other shares
    "Bounds",  # "paper" or "tight"
    "Clipped",  # how much of a table was projected onto its domain
    "ConstantPredictor",  # a public constant
    "CornerLosses",  # exact losses of a small setting
    "DomainError",  # data outside the public domain
    "DomainWarning",  # data was projected onto it
    "Evidence",  # samples of one claim
    "Fault",  # planted faults
    "LossMoments",  # exact moments of a loss
    "Method",  # type of the method names
    "NormalEquations",  # weighted second moments of a table
    "OutputPerturbationRidge",  # common base of the private ridge estimators
    "PersonalizedMean",  # private constant prediction
    "PersonalizedRidge",  # PDP-OP
    "PersonalizedStatisticsRidge",  # noise on the sufficient statistics
    "Plan",  # how a comparison is run
    "Preferences",  # privacy levels of a population
    "Problem",  # a table with its public domain
    "RidgeReference",  # without privacy
    "SampleDPRidge",  # sampling before uniform privacy
    "Synthetic",  # a synthetic table and its coefficients
    "Trial",  # one split with one draw of levels
    "UniformDPRidge",  # the strictest level for all
    "audit_ridge",  # sampled audit of single people
    "best_lambda",  # smallest loss of each method
    "capped_levels",  # trade noise against effective size
    "check_bounds",  # "paper" or "tight", or an error
    "compare",  # exact losses of all methods
    "corner_losses",  # exhaustive worst losses
    "corner_records",  # corners of the paper's domain
    "draw_epsilons",  # privacy levels of n people
    "draw_synthetic",  # table of the synthetic experiments
    "effective_size",  # what the weights are worth
    "equal_levels",  # control: nothing to personalise
    "evidence",  # samples for the chapter's claims
    "excess_bound",  # accuracy guarantee in expectation
    "excess_quantile_bound",  # accuracy guarantee with high probability
    "gain_map",  # gain over sampling across populations
    "keep_probabilities",  # of the Sample mechanism
    "largest_step",  # how much of the sensitivity bound is used
    "loss_moments",  # exact mean and deviation of the loss
    "marginal_noise",  # what one more unit of epsilon saves
    "marginal_value",  # the same with what the weights change
    "method_losses",  # moments of one method in one trial
    "noise_covariance",  # variance of the noise
    "noise_rate",  # eta
    "noise_ratios",  # what the baselines pay, in closed form
    "norm_bound",  # B
    "normal_equations",  # of a table in memory
    "null_losses",  # losses of constant predictions
    "null_values",  # the same in one trial
    "personal_report",  # what each person gets
    "personal_weights",  # w
    "plan_lambda",  # choose lambda without the data
    "privacy_loss",  # between two releases
    "published_comparison",  # ours beside the authors' files
    "removal_loss",  # why add/remove is refused
    "ridge_sensitivity",  # Delta_i
    "sampling_noise_ratio",  # closed form
    "simulation_error",  # simulated against exact losses
    "statistics_diameter",  # sensitivity of second moments
    "stream_normal_equations",  # of a table in blocks
    "substitution_losses",  # exact losses of exchanges on a table
    "summarise",  # intervals over splits
    "trials",  # splits and draws of a plan
    "two_point_levels",  # control for sampling
    "uniform_noise_ratio",  # closed form
    "with_preferences",  # a plan for another population
]
