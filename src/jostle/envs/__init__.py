"""Environments: `make_env` gives the same vector environment on EnvPool, Gymnasium and jostle's own diagnostics."""

from jostle.envs.actions import random_actions
from jostle.envs.catalogue import EnvInfo, list_envs
from jostle.envs.make import make_env
from jostle.envs.randomise import Randomise
from jostle.envs.vector import JostleEnv
from jostle.registration import register

__all__ = ["EnvInfo", "JostleEnv", "Randomise", "list_envs", "make_env", "random_actions"]

register()
