"""Cells that discretize a differential equation, or keep the norm of their state."""

import numpy as np

import tfcells
from tests.cases.maths import blocks, s, tanh
from tests.cases.row import SHARED, H, names


def antisymmetric(x, h, W, U, b=0, epsilon=0, gamma=0):
    """Chang et al. 1902.09689: U - U^T - gamma I, for row vectors."""
    h = h + epsilon * tanh(x @ W + h @ (U - U.T - gamma * np.eye(len(U))) + b)
    return h, h


def gated_antisymmetric(x, h, W, U, b=0, epsilon=0, gamma=0):
    """Chang et al. 1902.09689: gate and candidate read the same product of h."""
    M = U - U.T - gamma * np.eye(len(U))
    a = {y: x @ W_y + h @ M + b_y for y, W_y, b_y in blocks("zg", W, b)}
    h = h + epsilon * s(a["z"]) * tanh(a["g"])
    return h, h


def lipschitz(x, h, W, U, A, b=0, epsilon=0, beta=0, gamma=0):
    """Erichson et al. 2006.12070, an Euler step."""
    U, A = ((1 - beta) * (M + M.T) + beta * (M - M.T) - gamma * np.eye(len(M)) for M in (U, A))
    h = h + epsilon * (h @ A + tanh(h @ U + x @ W + b))
    return h, h


def cornn(x, y, z, W, U, V, b=0, dt=0, gamma=0, epsilon=0):
    """Rusch & Mishra 2010.00951, explicit: U reads y, V reads z."""
    z = z + dt * (tanh(x @ W + y @ U + z @ V + b) - gamma * y - epsilon * z)
    y = y + dt * z
    return y, y, z


def lem(x, y, z, W, U, V, b=0, dt=0):
    """Rusch et al. 2110.04744: gates d, e of z, y; V reads the new z."""
    a = {k: x @ W_k + b_k for k, W_k, b_k in blocks("dezy", W, b)}
    a |= {k: a[k] + y @ U_k for k, U_k in blocks("dez", U)}
    d, e = dt * s(a["d"]), dt * s(a["e"])
    z = (1 - d) * z + d * tanh(a["z"])
    y = (1 - e) * y + e * tanh(z @ V + a["y"])
    return y, y, z


def modrelu(z, b):
    return np.sign(z) * np.maximum(np.abs(z) + b, 0)


def scornn(x, h, W, M, b=0, negatives=(), f=None):
    """Helfrich et al. 1707.09520. f: if given, f(z + b) in place of the modReLU."""
    A, eye = M - M.T, np.eye(len(M))
    Q = np.linalg.inv(eye + A) @ (eye - A) @ np.diag([-1.0 if k in negatives else 1.0 for k in range(len(M))])
    z = x @ W + h @ Q
    h = f(z + b) if f else modrelu(z, b)
    return h, h


def echo_state(x, h, W, U, b=0, leak=1):
    """Jaeger 2001, with a leak."""
    h = (1 - leak) * h + leak * tanh(x @ W + h @ U + b)
    return h, h


def rows():
    settings = {"epsilon": 0.3, "gamma": 0.2}
    yield "antisymmetric", tfcells.AntisymmetricRNNCell, H | settings, antisymmetric, names(SHARED), settings
    cell = tfcells.GatedAntisymmetricRNNCell
    yield "gated-antisymmetric", cell, H | settings, gated_antisymmetric, names(SHARED), settings
    settings = {"epsilon": 0.3, "beta": 0.7, "gamma": 0.2}
    weights = names("W:kernel U:recurrent_kernel A:linear_kernel b:bias")
    yield "lipschitz", tfcells.LipschitzRNNCell, H | settings, lipschitz, weights, settings
    settings = {"dt": 0.3, "gamma": 1.7, "epsilon": 1.3}
    weights = names(SHARED + "V:velocity_kernel")
    yield "cornn", tfcells.CoRNNCell, H | settings, cornn, weights, settings
    settings = {"dt": 0.7}
    weights = names("W:kernel U:recurrent_kernel V:transform_kernel b:bias")
    yield "lem", tfcells.LEMCell, H | settings, lem, weights, settings
    weights = names("W:kernel M:recurrent_kernel b:bias")
    yield "scornn", tfcells.ScoRNNCell, H | {"negatives": 0.4}, scornn, weights, {"negatives": (0, 1)}
    settings = {"leak": 0.7}
    yield "echo-state", tfcells.EchoStateCell, H | settings, echo_state, names(SHARED), settings
