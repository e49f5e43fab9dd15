"""Inertias of other bodies of the same mass, such that any draw is a body (Rucker and Wensing 2022).

"Smooth Parameterization of Rigid-Body Inertia", IEEE Robotics and Automation Letters 7(2): a body's pseudo-inertia
J = [[Σ, h], [hᵀ, m]] becomes U J Uᵀ with an upper triangular U of log-Cholesky parameters. Here U acts about the centre
of mass and keeps it and the mass, for those are quantities of their own: Σ' = A Σ Aᵀ with

    A = [[e^d1, s12, s13], [0, e^d2, s23], [0, 0, e^d3]].

That is the body whose points x, seen from the centre of mass and along the axes of the body, have moved to A x.
"""

import numpy as np
from jaxtyping import Float64

SHAPE: dict[str, tuple[float, str]] = {
    "d1": (1.0, "log of its stretch along x"),
    "d2": (1.0, "log of its stretch along y"),
    "d3": (1.0, "log of its stretch along z"),
    "s12": (1.0, "shear of x by y"),
    "s13": (1.0, "shear of x by z"),
    "s23": (1.0, "shear of y by z"),
}
"""The six log-Cholesky parameters that keep mass and centre: largest size, and meaning."""


def stretch(shape: Float64[np.ndarray, "*R 6"]) -> Float64[np.ndarray, "*R 3 3"]:
    """A of the parameters (d1, d2, d3, s12, s13, s23)."""
    a = np.zeros((*shape.shape[:-1], 3, 3))
    for i in range(3):
        a[..., i, i] = np.exp(shape[..., i])
    a[..., 0, 1], a[..., 0, 2], a[..., 1, 2] = shape[..., 3], shape[..., 4], shape[..., 5]
    return a


def second_moment(inertia: Float64[np.ndarray, "*R 3 3"]) -> Float64[np.ndarray, "*R 3 3"]:
    """Σ = ½ tr(I) 1 − I, the integral of x xᵀ over the mass."""
    half = 0.5 * np.trace(inertia, axis1=-2, axis2=-1)
    moment: Float64[np.ndarray, "*R 3 3"] = half[..., None, None] * np.eye(3) - inertia
    return moment


def inertia_of(moment: Float64[np.ndarray, "*R 3 3"]) -> Float64[np.ndarray, "*R 3 3"]:
    """I = tr(Σ) 1 − Σ."""
    trace = np.trace(moment, axis1=-2, axis2=-1)
    inertia: Float64[np.ndarray, "*R 3 3"] = trace[..., None, None] * np.eye(3) - moment
    return inertia


def reshaped(
    principal: Float64[np.ndarray, "3"], quat: Float64[np.ndarray, "4"], shape: Float64[np.ndarray, "R 6"]
) -> tuple[Float64[np.ndarray, "R 3"], Float64[np.ndarray, "R 4"]]:
    """The principal moments and axes of a body whose mass has been moved.

    Args:
        principal: moments of inertia about the principal axes, kg·m² (MuJoCo's `body_inertia`).
        quat: those axes in the frame of the body (`body_iquat`: w, x, y, z).
        shape: log-Cholesky parameters, one row per simulation. Rows of zeros give back what was.
    """
    axes = rotation(quat)
    moment = second_moment(axes @ np.diag(principal) @ axes.T)
    a = stretch(shape)
    moments, frames = np.linalg.eigh(inertia_of(a @ moment @ a.swapaxes(-1, -2)))
    frames[..., 0] *= np.sign(np.linalg.det(frames))[:, None]
    same = (shape == 0).all(axis=1, keepdims=True)
    return np.where(same, principal, moments), np.where(same, quat, quaternion(frames))


def rotation(quat: Float64[np.ndarray, "4"]) -> Float64[np.ndarray, "3 3"]:
    """The matrix of a unit quaternion (w, x, y, z)."""
    w, x, y, z = quat
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion(matrix: Float64[np.ndarray, "R 3 3"]) -> Float64[np.ndarray, "R 4"]:
    """Unit quaternions (w, x, y, z) of rotations.

    The eigenvector of the largest eigenvalue of a symmetric matrix (Bar-Itzhack 2000, "New Method for Extracting the
    Quaternion from a Rotation Matrix"): no cases, and no division by what may be zero.
    """
    m = matrix
    k = np.empty((len(m), 4, 4))
    k[:, 0, 0] = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    for i in range(3):
        k[:, i + 1, i + 1] = 2 * m[:, i, i] - k[:, 0, 0]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        k[:, i + 1, j + 1] = k[:, j + 1, i + 1] = m[:, i, j] + m[:, j, i]
    for i, (p, q) in enumerate(((2, 1), (0, 2), (1, 0))):
        k[:, 0, i + 1] = k[:, i + 1, 0] = m[:, p, q] - m[:, q, p]
    vectors: Float64[np.ndarray, "R 4"] = np.linalg.eigh(k)[1][:, :, 3]
    return vectors
