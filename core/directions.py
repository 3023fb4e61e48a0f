"""Which way a metric is better: declared for what is known by name, never guessed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

Mode = Literal["min", "max"]

_LESS = """
    loss binary_cross_entropy brier_score brier_score_loss calibration_error coverage_error
    cross_entropy ece error error_rate hamming_loss hinge hinge_loss huber huber_loss kl_divergence
    label_ranking_loss log_loss logloss mae mape max_error mean_absolute_error
    mean_absolute_percentage_error mean_gamma_deviance mean_pinball_loss mean_poisson_deviance
    mean_squared_error mean_squared_log_error mean_squared_logarithmic_error mean_tweedie_deviance
    median_absolute_error misclassification_rate mse msle negative_log_likelihood nll perplexity
    pinball_loss poisson rmse rmsle root_mean_squared_error root_mean_squared_log_error smape
    zero_one_loss
    """
_MORE = """
    acc accuracy accuracy_score auc auroc average_precision average_precision_score
    balanced_accuracy balanced_accuracy_score binary_accuracy categorical_accuracy cohen_kappa
    cohen_kappa_score correlation cosine_similarity d2_absolute_error_score d2_brier_score
    d2_log_loss_score d2_pinball_score d2_tweedie_score dcg_score dice dice_score exact_match
    explained_variance explained_variance_score f1 f1_macro f1_micro f1_score f1_weighted f2
    f2_score fbeta fbeta_score hit_rate iou jaccard jaccard_score kappa
    label_ranking_average_precision_score matthews_corrcoef mcc mean_iou ndcg ndcg_score pr_auc
    precision precision_score r2 r2_score r_squared recall recall_score roc_auc roc_auc_ovo
    roc_auc_ovr roc_auc_score sensitivity sparse_categorical_accuracy specificity top_k_accuracy
    top_k_accuracy_score true_negative_rate true_positive_rate
    """
MIN, MAX = frozenset(_LESS.split()), frozenset(_MORE.split())


def direction(name: str, metrics: Iterable[Any] = ()) -> Mode | None:
    """The way in which a number of the history is better, or None where nobody said.

    name: as in the history, `val_` before it or not. metrics: the model's, which may declare theirs
        as `mode`; a function of the user's own goes by its whole name, where that is known.
    """
    bare = name.removeprefix("val_")
    for metric in metrics:
        declared: Mode | None = getattr(metric, "mode", None)
        if metric.name == bare and declared is not None:
            return declared
    return "min" if bare in MIN else "max" if bare in MAX else None
