"""Runs a peer that is an installed library: `python libraries.py sb3|pufferlib|sample_factory JSON`."""

import json
import os
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from tick import tick


def sb3(env: str, num_envs: int = 1, seed: int = 1, domain: Any = None, **settings: Any) -> None:
    """Stable-Baselines3's PPO with its defaults, where ``settings`` say nothing else; a ``domain`` is drawn from."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Report(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            tick(self.num_timesteps, [e["r"] for e in self.model.ep_info_buffer or []])

    def drawn(one: Any) -> Any:
        from jostle.envs import Randomise

        return one if domain is None else Randomise(one, domain)

    envs = make_vec_env(env, num_envs, seed=seed, wrapper_class=drawn)
    model = PPO("MlpPolicy", envs, device="cpu", seed=seed, **settings)
    model.learn(10**12, Report())


def pufferlib(env: str, num_envs: int, seed: int = 1, **settings: Any) -> None:
    """PufferLib's trainer with the settings of its own `config/minigrid.ini`, environments stepped serially.

    Its policy is the library's default. Its optimiser is Adam, which ours is too, instead of Muon.
    """
    sys.modules["pufferlib.sweep"] = types.ModuleType("pufferlib.sweep")  # it needs packages that training does not
    import configparser
    from pathlib import Path

    import pufferlib
    import pufferlib.environments.minigrid as family
    import pufferlib.models
    import pufferlib.pufferl
    import pufferlib.vector

    if not torch.cuda.is_available():
        pufferlib.pufferl.ADVANTAGE_CUDA = False
    folder = Path(pufferlib.__file__).parent / "config"
    parser = configparser.ConfigParser()
    parser.read([folder / "default.ini", folder / "minigrid.ini"])
    config: dict[str, Any] = {}
    for name, text in parser["train"].items():
        try:
            config[name] = json.loads(text.replace("_", "").lower())
        except json.JSONDecodeError:
            config[name] = text
    config |= {"device": "cpu", "optimizer": "adam", "env": env, "seed": seed, "total_timesteps": 10**12}
    config |= {"checkpoint_interval": 10**9, "use_rnn": False} | settings
    pool = pufferlib.vector.make(family.env_creator(env), num_envs=num_envs, backend=pufferlib.vector.Serial)
    trainer = pufferlib.pufferl.PuffeRL(config, pool, pufferlib.models.Default(pool.driver_env))
    while True:
        trainer.evaluate()
        trainer.train()
        tick(trainer.global_step)


def gymnasium_env(name: str, *_: Any, render_mode: str | None = None) -> Any:
    """At the top of the module, so that Sample Factory's processes find it."""
    import gymnasium

    return gymnasium.make(name, render_mode=render_mode)


def sample_factory(env: str, **settings: Any) -> None:
    """Sample Factory's APPO, asynchronous: processes that step environments, one that acts, one that learns.

    Settings are the options of its command line. The peak of memory is the main process's alone.
    """
    from sample_factory.algo.runners.runner import AlgoObserver
    from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
    from sample_factory.envs.env_utils import register_env
    from sample_factory.train import make_runner

    class Report(AlgoObserver):
        def on_training_step(self, runner: Any, training_iteration_since_resume: int) -> None:
            tick(sum(runner.env_steps.values()))

    os.environ.pop("JOSTLE_TICKS", None)  # the other processes do not have the pipe
    register_env(env, gymnasium_env)
    options = {
        "algo": "APPO", "env": env, "experiment": "speed", "train_dir": os.getcwd(), "device": "cpu", "use_rnn": False,
        "train_for_env_steps": 10**12, "save_every_sec": 10**9, "heartbeat_reporting_interval": 10**9,
    } | settings  # fmt: skip
    command = [f"--{key}={value}" for key, value in options.items() if not isinstance(value, list)]
    for key, value in options.items():
        if isinstance(value, list):
            command += [f"--{key}", *map(str, value)]
    parser, _ = parse_sf_args(command)
    _, runner = make_runner(parse_full_cfg(parser, command))
    runner.register_observer(Report())
    runner.init()
    runner.run()


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    peers: dict[str, Callable[..., None]] = {"sb3": sb3, "pufferlib": pufferlib, "sample_factory": sample_factory}
    peers[sys.argv[1]](**json.loads(sys.argv[2]))
