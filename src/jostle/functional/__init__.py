"""Formulas as pure functions on tensors: returns and losses. They serve in anybody's own training loop."""

from jostle.functional.losses import td_loss
from jostle.functional.returns import n_step_return, q_target

__all__ = ["n_step_return", "q_target", "td_loss"]
