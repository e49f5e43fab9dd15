"""Who runs against whom in `ppo_speed.py`, and with which settings.

Both sides of a pair have the same environments, batch sizes and optimiser steps; `shape` says which.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from turns import Contestant

COMMITS = {
    "cleanrl": ("https://github.com/vwxyzjn/cleanrl", "fe8d8a03c41a7ef5b523e2e354bd01c363e786bb"),
    "LeanRL": ("https://github.com/meta-pytorch/LeanRL", "760837e0844e32bb5e1b06afb612ac694f7240ca"),
    "purejaxrl": ("https://github.com/luchris429/purejaxrl", "31756b197773a52db763fdbe6d635e4b46522a73"),
}
OPTIONAL = ("purejaxrl",)  # who needs these clones is left out without them

# glibc keeps freed memory in its heap instead of returning it to the system at every call.
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "1000000000",
}


@dataclass(frozen=True)
class Entry:
    """One contestant in every thread count that it is tried with; the quickest counts."""

    name: str
    command: list[str]
    shape: str
    threads: tuple[int, ...] = (1, 2)
    environment: dict[str, str] = field(default_factory=dict)
    warm: int = 3
    python: str = "jostle"  # whose interpreter
    needs: tuple[str, ...] = ()  # modules, where they are missing the entry is left out

    def contestants(self, pythons: dict[str, str]) -> list[Contestant]:
        """One process for each thread count, not started."""
        return [
            Contestant(
                self.name,
                self.command,
                python=pythons[self.python],
                threads=threads,
                environment=self.environment,
                warm=self.warm,
            )
            for threads in self.threads
        ]


@dataclass(frozen=True)
class Pair:
    """Ours against theirs, with the ratio that is wanted, where one is."""

    ours: str
    theirs: str
    goal: float | None


@dataclass(frozen=True)
class Task:
    name: str
    entries: list[Entry]
    pairs: list[Pair]
    slice_seconds: float = 1.0
    least: float = 2.0
    rounds: int | None = None  # at most


def shape(envs: int, steps: int, minibatches: int, epochs: int) -> str:
    """The sizes that both sides of a pair share, in words."""
    rows = envs * steps // minibatches
    updates = 1000 * minibatches * epochs / (envs * steps)
    return (
        f"{envs} environments × {steps} steps, {epochs} epochs of {minibatches} minibatches of {rows}: "
        f"{updates:.3g} optimiser steps per 1,000"
    )


def ours(name: str, threads: tuple[int, ...] = (1, 2), warm: int = 3, **settings: Any) -> Entry:
    """jostle with a preset or settings."""
    from jostle import presets

    data = presets.load(settings["preset"])["config"] if "preset" in settings else {}
    sizes = [settings.get(k, data.get(k)) for k in ("num_steps", "minibatches", "epochs")]
    return Entry(name, ["ours.py", json.dumps(settings)], shape(settings["num_envs"], *sizes), threads, warm=warm)


def cleanrl(script: str, folder: Path, *options: str) -> list[str]:
    """A command for one of CleanRL's or LeanRL's scripts; it would run for ever."""
    return ["scripts.py", script, str(folder.resolve()), "--no-cuda", "--total-timesteps", str(10**10), *options]


def other_kinds(env: str, folder: Path) -> list[Entry]:
    """PureJaxRL, whose environments are compiled, and Sample Factory, which acts and learns at the same time.

    Batch sizes and optimiser steps are LeanRL's. The environment must be one that both have.
    """
    as_purejaxrl = {
        "ENV_NAME": env, "NUM_ENVS": 64, "NUM_STEPS": 128, "UPDATE_EPOCHS": 4, "NUM_MINIBATCHES": 4, "GAMMA": 0.99,
        "GAE_LAMBDA": 0.95, "CLIP_EPS": 0.1, "ENT_COEF": 0.01, "VF_COEF": 0.5, "MAX_GRAD_NORM": 0.5, "LR": 2.5e-4,
        "ANNEAL_LR": True, "ACTIVATION": "tanh", "TOTAL_TIMESTEPS": 10**10,
    }  # fmt: skip
    as_sample_factory = {
        "env": env, "num_workers": 2, "num_envs_per_worker": 32, "worker_num_splits": 2, "rollout": 128,
        "recurrence": 1, "batch_size": 2048, "num_batches_per_epoch": 4, "num_epochs": 4, "shuffle_minibatches": True,
        "gamma": 0.99, "gae_lambda": 0.95, "with_vtrace": False, "ppo_clip_ratio": 0.1, "ppo_clip_value": 0.1,
        "exploration_loss_coeff": 0.01, "value_loss_coeff": 0.5, "max_grad_norm": 0.5, "learning_rate": 2.5e-4,
        "adam_eps": 1e-5, "encoder_mlp_layers": [64, 64], "nonlinearity": "tanh", "actor_critic_share_weights": False,
        "normalize_input": False, "normalize_returns": False,
    }  # fmt: skip
    sizes = shape(64, 128, 4, 4)
    factory = ["libraries.py", "sample_factory", json.dumps(as_sample_factory)]
    made = [Entry("Sample Factory", factory, sizes, python="sample_factory", needs=("sample_factory",))]
    if (folder / "purejaxrl").is_dir():
        pure = ["purejaxrl.py", str(folder.resolve()), json.dumps(as_purejaxrl)]
        modules = ("jax", "flax", "optax", "distrax", "gymnax")
        made.append(Entry("PureJaxRL", pure, sizes, python="jax", needs=modules))
    return made


def vectors(name: str, env: str) -> Callable[[Path], Task]:
    """CartPole and LunarLander: policies and values of 64-64 tanh each."""

    def make(folder: Path) -> Task:
        common = {"env": env, "gamma": 0.99, "gae_lambda": 0.95, "hidden": [64, 64], "max_grad_norm": 0.5}
        as_cleanrl = common | {"epochs": 4, "minibatches": 4, "num_steps": 128, "entropy_coef": 0.01}
        as_leanrl = as_cleanrl | {"clip": 0.1, "value_clip": 0.1, "learning_rate": 2.5e-4}
        as_sb3 = common | {"epochs": 10, "minibatches": 32, "num_steps": 2048, "entropy_coef": 0.0}
        lean = cleanrl("leanrl", folder, "--env-id", env, "--num-envs", "64")
        gymnasium_env = json.dumps({"env": env})
        entries = [
            ours("jostle, 64 environments", num_envs=64, **as_leanrl),
            ours("jostle, 4 environments", num_envs=4, **as_cleanrl, clip=0.2, value_clip=0.2),
            ours("jostle, 1 environment", num_envs=1, **as_sb3, clip=0.2),
            Entry("LeanRL, compiled", [*lean, "--compile"], shape(64, 128, 4, 4), needs=("tensordict", "tqdm"), warm=6),
            Entry("CleanRL ppo.py", cleanrl("cleanrl-ppo", folder, "--env-id", env), shape(4, 128, 4, 4)),
            Entry("SB3", ["libraries.py", "sb3", gymnasium_env], shape(1, 2048, 32, 10), needs=("stable_baselines3",)),
        ]
        if env == "CartPole-v1":
            entries += other_kinds(env, folder)
        pairs = [
            Pair("jostle, 64 environments", "LeanRL, compiled", 1.5),
            Pair("jostle, 64 environments", "PureJaxRL", None),
            Pair("jostle, 64 environments", "Sample Factory", None),
            Pair("jostle, 4 environments", "CleanRL ppo.py", 3.0),
            Pair("jostle, 64 environments", "CleanRL ppo.py", 3.0),
            Pair("jostle, 1 environment", "SB3", 3.0),
            Pair("jostle, 64 environments", "SB3", 3.0),
        ]
        return Task(name, entries, pairs)

    return make


def minigrid(folder: Path) -> Task:
    """DoorKey-8x8: one hidden layer of 128 for policy and value, 48 environments, PufferLib's `minigrid.ini`."""
    env = "MiniGrid-DoorKey-8x8-v0"
    settings = {
        "env": env, "num_envs": 48, "num_steps": 128, "epochs": 4, "minibatches": 8, "gamma": 0.95, "gae_lambda": 0.95,
        "entropy_coef": 0.025, "learning_rate": 2.5e-4, "clip": 0.2, "value_clip": 0.2, "max_grad_norm": 1.5,
        "encoder": "flat", "hidden": [128], "activation": "relu", "shared": True,
    }  # fmt: skip
    puffer = json.dumps({"env": env, "num_envs": 48})
    sizes = shape(48, 128, 8, 4)
    entries = [
        ours("jostle", **settings),
        Entry(
            "PufferLib, serial", ["libraries.py", "pufferlib", puffer], sizes, python="pufferlib", needs=("pufferlib",)
        ),
    ]
    return Task("minigrid", entries, [Pair("jostle", "PufferLib, serial", 5.0)], least=4.0)


def montezuma(folder: Path, steps: int = 32, minibatches: int = 1) -> Task:
    """PPO with RND on Montezuma's Revenge, 128 environments.

    Rollouts of 32 steps with one minibatch of 4,096 instead of 128 with four: the same work for each environment step
    in a quarter of the time. `memory` has the full size.
    """
    sizes = shape(128, steps, minibatches, 4)
    options = ["--num-steps", str(steps), "--num-minibatches", str(minibatches), "--num-iterations-obs-norm-init", "0"]
    script = cleanrl("cleanrl-rnd", folder, *options)
    settings: dict[str, Any] = {
        "preset": "rnd-atari-cleanrl", "num_envs": 128, "num_steps": steps, "minibatches": minibatches,
        "bonus_warmup": 16,
    }  # fmt: skip
    bare = {k: settings[k] for k in ("preset", "num_envs", "num_steps")}
    entries = [
        ours("jostle, float32", (2,), 1, **settings),
        ours("jostle, bfloat16", (2,), 1, **settings, bfloat16=True),
        ours("jostle, bfloat16 compiled", (2,), 1, **settings, bfloat16=True, compile=True),
        Entry("bound, float32", ["bare.py", json.dumps(bare)], sizes, (2,), MALLOC, warm=1),
        Entry("bound, bfloat16", ["bare.py", json.dumps(bare | {"bfloat16": True})], sizes, (2,), MALLOC, warm=1),
        Entry("CleanRL", script, sizes, (2,), warm=0),
        Entry("CleanRL, glibc keeps memory", script, sizes, (2,), MALLOC, warm=0),
    ]
    pairs = [Pair("jostle, float32", "CleanRL", 1.7), Pair("jostle, bfloat16", "CleanRL", 2.7)]
    pairs += [Pair("jostle, bfloat16 compiled", "CleanRL", 2.7)]
    pairs += [Pair(p.ours, "CleanRL, glibc keeps memory", p.goal) for p in pairs]
    pairs += [Pair(f"jostle, {kind}", f"bound, {kind}", 0.7) for kind in ("float32", "bfloat16")]
    return Task("montezuma", entries, pairs, slice_seconds=4.0, rounds=3)


def memory(folder: Path) -> Task:
    """Montezuma's Revenge at its full size, for the peak of memory; one iteration each."""
    task = montezuma(folder, 128, 4)
    left_out = ("compiled", "glibc", "bound")
    return Task("memory", [e for e in task.entries if not any(word in e.name for word in left_out)], [])


# The hyper-parameters of CleanRL's ppo_procgen.py; its episodes end with their time.
PROCGEN: dict[str, Any] = {
    "env": "CoinrunHard-v0", "num_envs": 64, "gamma": 0.999, "gae_lambda": 0.95, "epochs": 3, "learning_rate": 5e-4,
    "clip": 0.2, "value_clip": 0.2, "value_coef": 0.5, "entropy_coef": 0.01, "max_grad_norm": 0.5,
    "reward_norm": "return_std", "reward_clip": 10.0, "time_limit": "terminal", "shared": True, "activation": "relu",
}  # fmt: skip
RANDOMISED = {"input_noise": "random-conv", "input_per": "iteration", "feature_matching": 0.002}


def coinrun(encoder: str, plain: float | None, randomised: float) -> Callable[[Path], Task]:
    """CoinRun, 64 environments: jostle with and without Network Randomization, CleanRL without.

    Rollouts of 32 steps with one minibatch of 2,048 instead of 256 with eight: the same work for each environment step
    in an eighth of the time. ``plain`` and ``randomised`` are goals.
    """

    def make(folder: Path) -> Task:
        sizes = shape(64, 32, 1, 3)
        script = "cleanrl-procgen" if encoder == "impala" else "cleanrl-procgen-nature"
        options = ["--env-id", "coinrun", "--num-steps", "32", "--num-minibatches", "1"]
        theirs = cleanrl(script, folder, *options)
        settings = PROCGEN | {"encoder": encoder, "hidden": [256 if encoder == "impala" else 512]}
        settings |= {"num_steps": 32, "minibatches": 1}
        entries = [
            ours(f"{name}, {precision}", (2,), 1, **settings, **more, bfloat16=precision == "bfloat16")
            for name, more in (("jostle", {}), ("jostle with randomisation", RANDOMISED))
            for precision in ("float32", "bfloat16")
        ]
        peers = [
            Entry("CleanRL", theirs, sizes, (2,), warm=0),
            Entry("CleanRL, glibc keeps memory", theirs, sizes, (2,), MALLOC, warm=0),
        ]
        pairs = [
            Pair(entry.name, peer.name, randomised if "randomisation" in entry.name else plain)
            for peer in peers
            for entry in entries
        ]
        return Task("coinrun" if encoder == "impala" else f"coinrun-{encoder}", [*entries, *peers], pairs, 2.0)

    return make


def allocator(folder: Path) -> Task:
    """What glibc's settings do for jostle itself on Montezuma's Revenge."""
    task = montezuma(folder)
    plain = [e for e in task.entries if e.name in ("jostle, float32", "jostle, bfloat16")]
    kept = [replace(e, name=f"{e.name}, glibc keeps memory", environment=MALLOC) for e in plain]
    pairs = [Pair(b.name, a.name, 1.0) for a, b in zip(plain, kept, strict=True)]
    return Task("allocator", [*plain, *kept], pairs, slice_seconds=4.0, rounds=3)


TASKS: dict[str, Callable[[Path], Task]] = {
    "cartpole": vectors("cartpole", "CartPole-v1"),
    "lunarlander": vectors("lunarlander", "LunarLander-v3"),
    "minigrid": minigrid,
    "montezuma": montezuma,
    "coinrun": coinrun("impala", plain=None, randomised=2.0),
    "coinrun-nature": coinrun("nature", plain=1.3, randomised=1.0),
    "memory": memory,
    "allocator": allocator,
}
