"""What is explained: one number of a policy's output, at given steps, as a function of what the policy sees."""

from jostle.explain.asking.intrinsic import intrinsic_reward
from jostle.explain.asking.layout import Layout, layout_of
from jostle.explain.asking.passing import Pass
from jostle.explain.asking.subject import Subject, ask
from jostle.explain.asking.targets import Target, default_target, make_target

__all__ = [
    "Layout",
    "Pass",
    "Subject",
    "Target",
    "ask",
    "default_target",
    "intrinsic_reward",
    "layout_of",
    "make_target",
]
