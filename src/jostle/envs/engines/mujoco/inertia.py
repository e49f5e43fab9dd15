"""Inertias of other bodies of the same mass, such that any draw is a body (Rucker and Wensing 2022).

"Smooth Parameterization of Rigid-Body Inertia", IEEE Robotics and Automation Letters 7(2): a body's pseudo-inertia
J = [[Σ, h], [hᵀ, m]] becomes U J Uᵀ with an upper triangular U of log-Cholesky parameters. Here U acts about the centre
of mass and along the principal axes, and keeps mass and centre, for those are quantities of their own: Σ' = A Σ Aᵀ with

    A = [[e^d1, s12, s13], [0, e^d2, s23], [0, 0, e^d3]].

That is the body whose points x, seen from the centre of mass and along its principal axes, have moved to A x.
"""

import numpy as np
from jaxtyping import Float64

SHAPE: dict[str, tuple[float, str]] = {
    "d1": (1.0, "log of its stretch along its first principal axis"),
    "d2": (1.0, "log of its stretch along its second principal axis"),
    "d3": (1.0, "log of its stretch along its third principal axis"),
    "s12": (1.0, "shear of its first principal axis by the second"),
    "s13": (1.0, "shear of its first principal axis by the third"),
    "s23": (1.0, "shear of its second principal axis by the third"),
}
"""The six log-Cholesky parameters that keep mass and centre: largest size, and meaning."""


def stretch(shape: Float64[np.ndarray, "*R 6"]) -> Float64[np.ndarray, "*R 3 3"]:
    """A of the parameters (d1, d2, d3, s12, s13, s23)."""
    a = np.zeros((*shape.shape[:-1], 3, 3))
    for i in range(3):
        a[..., i, i] = np.exp(shape[..., i])
    a[..., 0, 1], a[..., 0, 2], a[..., 1, 2] = shape[..., 3], shape[..., 4], shape[..., 5]
    return a


def swapped(moments: Float64[np.ndarray, "*R 3"]) -> Float64[np.ndarray, "*R 3"]:
    """Of principal moments of inertia I the second moments of mass Σ = ½ tr(I) − I.

    The way back, I = tr(Σ) − Σ, is twice as much of the same.
    """
    second: Float64[np.ndarray, "*R 3"] = 0.5 * moments.sum(-1, keepdims=True) - moments
    return second


def reshaped(
    principal: Float64[np.ndarray, "B 3"], quat: Float64[np.ndarray, "B 4"], shape: Float64[np.ndarray, "R B 6"]
) -> tuple[Float64[np.ndarray, "R B 3"], Float64[np.ndarray, "R B 4"]]:
    """The principal moments and axes of B bodies whose mass has been moved, in R simulations.

    Args:
        principal: moments of inertia about the principal axes, kg·m² (MuJoCo's `body_inertia`).
        quat: those axes in the frame of the body (`body_iquat`: w, x, y, z).
        shape: log-Cholesky parameters. Where all are zero everything stays as it is, bit for bit.
    """
    second = swapped(principal)
    along = np.exp(2 * shape[..., :3]) * second  # without shear the axes stay principal
    still = (shape == 0).all(-1, keepdims=True)
    moments = np.where(still, principal, along.sum(-1, keepdims=True) - along)
    axes = np.broadcast_to(quat, (*shape.shape[:-1], 4)).copy()
    sheared = shape[..., 3:].any(-1)
    if sheared.any():
        a = stretch(shape[sheared])
        body = np.nonzero(sheared)[1]
        values, frames = np.linalg.eigh((a * second[body][:, None, :]) @ a.swapaxes(-1, -2))
        frames[:, :, 0] *= np.sign(np.linalg.det(frames))[:, None]
        moments[sheared] = values.sum(-1, keepdims=True) - values
        axes[sheared] = product(quat[body], quaternion(frames))
    return moments, axes


def product(p: Float64[np.ndarray, "*R 4"], q: Float64[np.ndarray, "*R 4"]) -> Float64[np.ndarray, "*R 4"]:
    """Of quaternions (w, x, y, z): the rotation q in the frame that p has turned. A q of no angle changes no bit."""
    a, b, c, d = np.moveaxis(p, -1, 0)
    w, x, y, z = np.moveaxis(q, -1, 0)
    return np.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=-1,
    )


def quaternion(matrix: Float64[np.ndarray, "R 3 3"]) -> Float64[np.ndarray, "R 4"]:
    """Unit quaternions (w, x, y, z) of rotations (Shepperd 1978, "Quaternion from Rotation Matrix").

    The four rows of 4 q qᵀ are multiples of q; the one with the largest diagonal is taken.
    """
    m = matrix
    four = np.empty((len(m), 4, 4))
    four[:, 0, 0] = 1 + m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    for i in range(3):
        four[:, i + 1, i + 1] = 2 + 2 * m[:, i, i] - four[:, 0, 0]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        four[:, i + 1, j + 1] = four[:, j + 1, i + 1] = m[:, i, j] + m[:, j, i]
    for i, (p, q) in enumerate(((2, 1), (0, 2), (1, 0))):
        four[:, 0, i + 1] = four[:, i + 1, 0] = m[:, p, q] - m[:, q, p]
    largest = four.diagonal(axis1=1, axis2=2).argmax(1)
    chosen = four[np.arange(len(m)), largest]
    found: Float64[np.ndarray, "R 4"] = chosen / np.linalg.norm(chosen, axis=1, keepdims=True)
    return found
