"""Runs PureJaxRL's `ppo.py` out of its clone: `python purejaxrl.py DIR JSON`, with the script's settings.

DIR holds the clones. The environments are gymnax's: programs in JAX that are compiled together with the training, so
that rollouts and updates are one call of compiled code. JAX and gymnax before 1.0 are needed; later ones return six
values from `step` where PureJaxRL's wrappers expect five.

Patches:

- `wrappers.py` imports Brax and Navix for other environments; here the two are empty modules.
- The script compiles one call with all updates. Here a call has 16, and the next one goes on with the state that it
  has left. Nothing inside the loop over updates is changed.
"""

import json
import os
import runpy
import sys
import types
from collections import deque
from importlib.metadata import version
from pathlib import Path

from scripts import SCRIPTS, Patch, Script, patched
from tick import tick

UPDATES = 16

SCRIPTS["purejaxrl"] = Script(
    "purejaxrl/purejaxrl/ppo.py",
    (
        Patch("    def train(rng):\n", "    def train(rng, last=None):\n"),
        Patch(
            "        runner_state = (train_state, env_state, obsv, _rng)\n"
            "        runner_state, metric = jax.lax.scan(\n"
            '            _update_step, runner_state, None, config["NUM_UPDATES"]\n',
            "        if last is None:\n"
            "            return train_state, env_state, obsv, _rng\n"
            "        runner_state, metric = jax.lax.scan(\n"
            f"            _update_step, last, None, {UPDATES}\n",
        ),
    ),
)


def one_thread() -> None:
    """For XLA; before JAX is imported. It takes the number of processors from NPROC."""
    os.environ |= {"NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


def without_brax_and_navix() -> None:
    """Empty modules with the names that are imported."""
    names = ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training", "navix")
    modules = {name: types.ModuleType(name) for name in names}
    vars(modules["brax"])["envs"] = modules["brax.envs"]
    vars(modules["brax.envs.wrappers.training"]).update(EpisodeWrapper=object, AutoResetWrapper=object)
    sys.modules.update(modules)


def main() -> None:
    folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    if not version("gymnax").startswith("0."):
        raise SystemExit(f"PureJaxRL's wrappers do not fit gymnax {version('gymnax')}: pip install gymnax==0.0.9")
    if os.environ.get("OMP_NUM_THREADS") == "1":
        one_thread()
    without_brax_and_navix()
    source = Path.cwd() / "purejaxrl_ppo.py"  # a file, as for the other scripts
    source.write_text(patched("purejaxrl", folder), encoding="utf-8")
    sys.path.insert(0, str(folder / "purejaxrl" / "purejaxrl"))
    import jax
    import jax.numpy as jnp
    import numpy as np

    key = jax.random.PRNGKey(settings.pop("seed", 1))
    train = jax.jit(runpy.run_path(str(source))["make_train"](settings))
    state = train(key)
    # Counters begin as integers and go on as floats: without this the training would be compiled twice.
    wanted = jax.eval_shape(train, key, state)["runner_state"]
    state = jax.tree.map(lambda x, w: jnp.asarray(x, w.dtype), state, wanted)
    steps, returns = 0, deque[float](maxlen=100)
    while True:
        out = jax.block_until_ready(train(key, state))
        state, info = out["runner_state"], out["metrics"]
        steps += UPDATES * settings["NUM_STEPS"] * settings["NUM_ENVS"]
        returns.extend(np.asarray(info["returned_episode_returns"])[np.asarray(info["returned_episode"])])
        tick(steps, returns)


if __name__ == "__main__":
    main()
