"""`jostle.train`: a preset from its name to a trained agent."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jostle import preset_files
from jostle.algo import AGENTS
from jostle.algo.agent import Agent
from jostle.algo.parts.auxiliary import Auxiliary
from jostle.algo.training import Callback
from jostle.bonus import Bonus
from jostle.envs.sources import EnvSource


def train(
    preset: str,
    *,
    steps: int | None = None,
    env: EnvSource | None = None,
    num_envs: int | None = None,
    env_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    callback: Callback[Any] | Sequence[Callback[Any]] | None = None,
    run_dir: str | Path | None = None,
    progress: bool = False,
    log_every: int | None = None,
    checkpoint_every: int | None = None,
    save_replay: bool = True,
    bonuses: Sequence[Bonus] = (),
    aux: Sequence[Auxiliary] = (),
    **settings: Any,
) -> Agent:
    """Train the agent of a preset in the preset's environment, for as many steps as it says.

    >>> import jostle
    >>> jostle.train("cartpole-ppo", seed=1, steps=500).steps >= 500
    True

    Args:
        preset: its name; `jostle.presets.names` lists them.
        steps: environment steps, summed over all environments; None: the preset's.
        env, num_envs, env_options: in place of the preset's; options override its own key by key.
        seed: seeds everything.
        callback, run_dir, progress, log_every, checkpoint_every, save_replay: as in `Agent.learn`.
        bonuses, aux: intrinsic rewards and auxiliary losses of your own.
        settings: any setting of the algorithm by name, over the preset's.

    Raises:
        ConfigError: there is no such preset, or a value that cannot be used.
        CheckpointError: ``run_dir`` holds a run already, or cannot be written.
        EnvError: the environment cannot be made, or failed.
    """
    data = preset_files.load(preset)
    plan = data["training"]
    options = None if env_options is None else dict(env_options)
    agent = AGENTS[data["algorithm"]](
        env, preset=preset, seed=seed, num_envs=num_envs, env_options=options, bonuses=bonuses, aux=aux, **settings
    )
    try:
        return agent.learn(
            plan["total"] if steps is None else steps,
            callback=callback,
            run_dir=run_dir,
            progress=progress,
            log_every=plan.get("log_every") if log_every is None else log_every,
            checkpoint_every=plan.get("checkpoint_every") if checkpoint_every is None else checkpoint_every,
            save_replay=save_replay and plan.get("save_replay", True),
        )
    except BaseException:
        if agent._owns_env:
            agent.env.close()
        raise
