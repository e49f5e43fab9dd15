"""The errors that users see: one sentence that says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class JostleError(Exception):
    """Base of every error that jostle raises on purpose. The command prints it in one line and exits with 2."""


class ConfigError(JostleError, ValueError):
    """An option, a configuration key or an argument that cannot be used."""


class EnvError(JostleError, RuntimeError):
    """An environment that cannot be made, was given a wrong action, or failed while stepping."""


class CheckpointError(JostleError, RuntimeError):
    """A run folder or checkpoint that cannot be written, or read back whole."""


_ELSEWHERE = {
    "lr": ("learning_rate",), "alpha": ("learning_rate",), "anneal_lr": ("lr_schedule",),
    "total_timesteps": ("steps",), "timesteps": ("steps",), "total": ("steps",), "max_steps": ("steps",),
    "n_envs": ("num_envs",), "env_id": ("env",), "env_kwargs": ("env_options",), "log_dir": ("run_dir",),
    "n_steps": ("num_steps", "n_step"), "n_epochs": ("epochs",), "update_epochs": ("epochs",),
    "num_minibatches": ("minibatches",), "clip_range": ("clip",), "clip_coef": ("clip",), "ent_coef": ("entropy_coef",),
    "vf_coef": ("value_coef",), "int_coef": ("coef_int",), "ext_coef": ("coef_ext",), "int_gamma": ("gamma_int",),
    "discount": ("gamma",), "buffer_size": ("replay_size",), "learning_starts": ("warmup",), "tau": ("target_tau",),
    "target_update_interval": ("target_interval",), "target_network_frequency": ("target_interval",),
    "exploration_final_eps": ("epsilon_end",), "start_e": ("epsilon_start",), "end_e": ("epsilon_end",),
    "exploration_fraction": ("epsilon_steps",), "update_proportion": ("bonus_share",), "net_arch": ("hidden",),
    "hidden_sizes": ("hidden",), "n_eval_episodes": ("episodes",), "num_episodes": ("episodes",),
}  # fmt: skip
"""Names that CleanRL, Stable-Baselines3 and papers have for something, each with jostle's own for it."""


def closest(name: str, candidates: Iterable[str], count: int = 3) -> str:
    """A clause that offers the nearest known names, to be appended to "unknown …".

    >>> closest("gama", ["gamma", "seed"])
    'did you mean gamma?'
    >>> closest("--ent-coef", ["--entropy-coef", "--epochs"])  # as Stable-Baselines3 calls it
    'did you mean --entropy-coef?'
    >>> closest("zzz", ["CartPole-v1", "Acrobot-v1"])
    'known: Acrobot-v1, CartPole-v1'
    """
    known = sorted(set(candidates))
    lower = {k.lower(): k for k in known}
    meant = [k for k in known if _bare(k) in _ELSEWHERE.get(_bare(name), ())]
    if meant:
        return f"did you mean {', '.join(meant)}?"
    near = difflib.get_close_matches(name.lower(), list(lower), n=count, cutoff=0.6)
    if near:
        return f"did you mean {', '.join(lower[n] for n in near)}?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"known: {shown}"


def _bare(name: str) -> str:
    """A flag or a setting without what makes it one."""
    return name.lstrip("-").replace("-", "_").lower()
