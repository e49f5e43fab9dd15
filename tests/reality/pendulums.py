"""The pendulum's equations, written anew: an oracle that shares nothing with jostle's simulator."""

import numpy as np

TORQUE, SPEED, DT = 2.0, 8.0, 0.05


def step(theta, speed, torque, mass=1.0, length=1.0, damping=0.0, gain=1.0, gravity=10.0):
    """One step of Gymnasium's Pendulum, with the physics as arguments: angle and speed after it."""
    torque = gain * np.clip(torque, -TORQUE, TORQUE)
    push = 3 * gravity / (2 * length) * np.sin(theta) + 3 / (mass * length**2) * (torque - damping * speed)
    speed = np.clip(speed + push * DT, -SPEED, SPEED)
    return theta + speed * DT, speed


def cost(theta, speed, torque):
    """Of the state before a step and its torque."""
    return (np.mod(theta + np.pi, 2 * np.pi) - np.pi) ** 2 + 0.1 * speed**2 + 0.001 * torque**2


class ValueIteration:
    """Optimal costs on a grid of angles and speeds, bilinear between its points, over a finite horizon.

    Args:
        angles, speeds, torques: how many of each.
        horizon: steps that are still to go.
        physics: of `step`.
    """

    def __init__(self, angles=151, speeds=151, torques=13, horizon=200, **physics):
        self.theta = np.linspace(-np.pi, np.pi, angles, endpoint=False)
        self.speed = np.linspace(-SPEED, SPEED, speeds)
        self.torques = np.linspace(-TORQUE, TORQUE, torques)
        self.physics = physics
        theta, speed = np.meshgrid(self.theta, self.speed, indexing="ij")
        self.values = np.zeros(theta.shape)
        paid = [cost(theta, speed, u) for u in self.torques]
        places = [self._places(*step(theta, speed, u, **physics)) for u in self.torques]
        for _ in range(horizon):
            self.values = np.min([c + self._between(*p) for c, p in zip(paid, places, strict=True)], axis=0)

    def _places(self, theta, speed):
        x = np.mod(theta + np.pi, 2 * np.pi) / (2 * np.pi) * len(self.theta)
        y = (speed + SPEED) / (2 * SPEED) * (len(self.speed) - 1)
        i, j = np.floor(x).astype(int), np.minimum(np.floor(y).astype(int), len(self.speed) - 2)
        return i % len(self.theta), (i + 1) % len(self.theta), j, x - i, y - j

    def _between(self, i, after, j, a, b):
        v = self.values
        return (1 - a) * ((1 - b) * v[i, j] + b * v[i, j + 1]) + a * ((1 - b) * v[after, j] + b * v[after, j + 1])

    def returns(self, theta, speed, steps=200):
        """Returns of the greedy policy from first states [B], played by `step`."""
        total = np.zeros(len(theta))
        for _ in range(steps):
            told = [
                cost(theta, speed, u) + self._between(*self._places(*step(theta, speed, u, **self.physics)))
                for u in self.torques
            ]
            u = self.torques[np.argmin(told, axis=0)]
            total -= cost(theta, speed, u)
            theta, speed = step(theta, speed, u, **self.physics)
        return total
