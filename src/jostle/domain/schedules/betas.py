"""Formulas of independent Betas: entropy, KL divergence, and success by importance weights, with their gradients.

Everything in float64: the divergence of Beta(100, 100) from a near neighbour is the difference of logarithms of Γ of
the order of 400 and would be noise in float32.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64


class Valued(NamedTuple):
    """A number, and its gradient by a and b [2, M]."""

    value: float
    gradient: Float64[np.ndarray, "2 M"]


Parameters = Float64[np.ndarray, "2 M"]
"""a and b of M independent Betas."""


def entropy(p: Parameters) -> Valued:
    """Σ H(Beta(a, b)): ln B(a,b) − (a−1)ψ(a) − (b−1)ψ(b) + (a+b−2)ψ(a+b), and its gradient.

    ∂H/∂a = −(a−1)ψ′(a) + (a+b−2)ψ′(a+b).
    """
    from scipy.special import betaln, digamma, polygamma

    a, b = p
    total = a + b
    value = betaln(a, b) - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (total - 2) * digamma(total)
    common = (total - 2) * polygamma(1, total)
    gradient = np.stack([common - (a - 1) * polygamma(1, a), common - (b - 1) * polygamma(1, b)])
    return Valued(float(value.sum()), np.asarray(gradient, np.float64))


def divergence(p: Parameters, q: Parameters) -> Valued:
    """KL(p ‖ q) = Σ ln B(a_q,b_q) − ln B(a_p,b_p) + (a_p−a_q)ψ(a_p) + (b_p−b_q)ψ(b_p) + (a_q−a_p+b_q−b_p)ψ(a_p+b_p),
    and its gradient by q: ∂/∂a_q = ψ(a_q) − ψ(a_q+b_q) − ψ(a_p) + ψ(a_p+b_p)."""
    from scipy.special import betaln, digamma

    (a, b), (c, d) = p, q
    both = digamma(a + b)
    value = betaln(c, d) - betaln(a, b) + (a - c) * digamma(a) + (b - d) * digamma(b) + (c - a + d - b) * both
    new = digamma(c + d)
    gradient = np.stack([digamma(c) - new - digamma(a) + both, digamma(d) - new - digamma(b) + both])
    return Valued(float(value.sum()), np.asarray(gradient, np.float64))


def log_density(p: Parameters, y: Float64[np.ndarray, "R M"]) -> Float64[np.ndarray, "R"]:
    """ln of the joint density of y in (0, 1)^M."""
    from scipy.special import betaln, xlog1py, xlogy

    a, b = p
    return np.asarray((xlogy(a - 1, y) + xlog1py(b - 1, -y) - betaln(a, b)).sum(1), np.float64)


def weighted_success(
    p: Parameters,
    y: Float64[np.ndarray, "R M"],
    success: Float64[np.ndarray, "R"],
    drawn_under: Float64[np.ndarray, "R"],
) -> Valued:
    """Success under p, estimated from episodes drawn under something else: mean of s · p(y) / p_drawn(y).

    Its gradient is the mean of s · w · ∂ ln p(y), with ∂ ln p/∂a = ln y − ψ(a) + ψ(a+b).

    Args:
        y: what was drawn, in (0, 1).
        success: 1 or 0.
        drawn_under: ln of the density of y when it was drawn.
    """
    from scipy.special import digamma

    a, b = p
    weight = success * np.exp(log_density(p, y) - drawn_under)
    both = digamma(a + b)
    by_a = (weight[:, None] * (np.log(y) - digamma(a) + both)).mean(0)
    by_b = (weight[:, None] * (np.log1p(-y) - digamma(b) + both)).mean(0)
    return Valued(float(weight.mean()), np.asarray(np.stack([by_a, by_b]), np.float64))
