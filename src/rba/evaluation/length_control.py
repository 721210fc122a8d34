"""Length-controlled win rate: what the win rate would be if both answers were of the same length.

After Dubois et al. 2024 (arXiv 2404.04475). With the judge's preference y in [0, 1] for the model over its opponent on
answer pair i, the difference d_i of the answers' lengths in characters and the instruction's difficulty g_i, fit

    P(y_i = 1) = sigmoid(theta + phi * tanh(d_i / std(d)) + psi * g_i)

by penalised maximum likelihood and predict with the length term zeroed: LC = mean_i sigmoid(theta + psi * g_i).

What differs from AlpacaEval 2: each pair of models has a fit of its own with a fixed ridge penalty (there, the penalty
is cross-validated and instruction difficulty is fitted once over a whole leaderboard); g is the standardised log-odds
with which the *other* models of this run win on the same utterance, and is left out with fewer than two of them; the
pairs of one instruction in several voices enter as several pairs, and the bootstrap over instructions refits the
regression.
Kept: LC(a, b) = 1 - LC(b, a) where g is mirrored too, and 0.5 for a model against itself.
"""

from __future__ import annotations

import numpy as np

RIDGE = 1.0
RIDGE_THETA = 1e-2
CHUNK = 256


def length_term(difference_M: np.ndarray) -> np.ndarray:
    """tanh(d / std(d)) in (-1, 1); zeros where all differences are equal to zero."""
    spread = difference_M.std() or np.abs(difference_M).max(initial=0)
    return np.tanh(difference_M / spread) if spread > 0 else np.zeros(len(difference_M))


def difficulty_term(wins_KM: np.ndarray) -> np.ndarray | None:
    """Standardised log-odds [M] with which K other models win on a pair's utterance; None if K < 2 or all are equal.

    A win share s of K models counts as (K s + 1/2) / (K + 1), so that 0 and 1 stay finite. NaN are absent.
    """
    if len(wins_KM) < 2:
        return None
    count_M = np.isfinite(wins_KM).sum(0)
    share_M = (np.nansum(wins_KM, 0) + 0.5) / (count_M + 1)
    odds_M = np.log(share_M / (1 - share_M))
    spread = odds_M.std()
    return (odds_M - odds_M.mean()) / spread if spread > 1e-9 else None


def fit(
    features_MP: np.ndarray, preference_M: np.ndarray, weights_SM: np.ndarray, ridge_P: np.ndarray, steps: int = 100
) -> np.ndarray:
    """Coefficients [S, P] of S weighted logistic regressions that share features [M, P] and soft labels [M] in [0, 1].

    Minimises sum_i w_i CE(y_i, sigmoid(x_i b)) + 1/2 sum_p ridge_p b_p^2 by Newton's method, all S at once; steps are
    clipped, which keeps separable data from overshooting.
    """
    coefficients_SP = np.zeros((len(weights_SM), features_MP.shape[1]))
    outer_MPP = (features_MP[:, :, None] * features_MP[:, None, :]).reshape(len(features_MP), -1)
    size = features_MP.shape[1]
    for _ in range(steps):
        predicted_SM = 1 / (1 + np.exp(-(coefficients_SP @ features_MP.T)))
        gradient_SP = (weights_SM * (predicted_SM - preference_M)) @ features_MP + ridge_P * coefficients_SP
        curvature = (weights_SM * predicted_SM * (1 - predicted_SM)) @ outer_MPP
        hessian_SPP = curvature.reshape(-1, size, size) + np.diag(ridge_P)
        step_SP = np.linalg.solve(hessian_SPP, gradient_SP[..., None])[..., 0].clip(-2, 2)
        coefficients_SP -= step_SP
        if np.abs(step_SP).max() < 1e-9:
            break
    return coefficients_SP


def length_controlled(
    preference_M: np.ndarray,
    difference_M: np.ndarray,
    weights_SM: np.ndarray | None = None,
    difficulty_M: np.ndarray | None = None,
) -> np.ndarray:
    """The length-controlled win rate [S] of M judged pairs, one for each row of pair weights [S, M] (None: one, all 1).

    `preference_M` in [0, 1] has no NaN; `difference_M` is the model's answer length minus the opponent's. The scale of
    the length term is that of the whole sample in every resample.
    """
    weights_SM = np.ones((1, len(preference_M))) if weights_SM is None else weights_SM
    columns = [np.ones(len(preference_M)), length_term(difference_M)]
    ridge = [RIDGE_THETA, RIDGE]
    if difficulty_M is not None:
        columns.append(difficulty_M)
        ridge.append(RIDGE)
    features_MP = np.stack(columns, -1)
    equal_length_MP = features_MP * np.array([1.0, 0.0, 1.0][: len(columns)])
    rates = []
    for start in range(0, len(weights_SM), CHUNK):
        part_SM = weights_SM[start : start + CHUNK]
        coefficients_SP = fit(features_MP, preference_M, part_SM, np.array(ridge))
        predicted_SM = 1 / (1 + np.exp(-(coefficients_SP @ equal_length_MP.T)))
        with np.errstate(invalid="ignore"):  # a resample may hold none of the pairs: no rate
            rates.append((part_SM * predicted_SM).sum(-1) / part_SM.sum(-1))
    return np.concatenate(rates)
