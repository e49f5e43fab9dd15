"""The bound of PPO with RND: its environments and networks alone, with nothing around them. `python bare.py JSON`

For every environment step: a step of the environments, the policy forward, `epochs` times the policy forward and
backward, target and predictor forward, and the predictor forward and backward on its share. There is no storage, loss,
bonus arithmetic or optimiser. The networks are jostle's, in pieces of 256 rows.
"""

import json
import os
import sys
from typing import Any

import numpy as np
import torch
from tick import tick

import jostle
from jostle import presets
from jostle.algo.settings import merged

PIECE = 256


def run(preset: str, num_envs: int, num_steps: int, **settings: Any) -> None:
    data = presets.load(preset)
    config = merged(presets.settings(preset), settings | {"num_steps": num_steps})
    agent = jostle.PPO(data["env"], config, num_envs=num_envs, env_options=data["env_options"], seed=1)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    c, env, rnd = agent.config, agent.env, agent.bonuses[0]
    obs, _ = env.reset()
    draw = torch.zeros(num_envs, dtype=torch.int32)
    batch = torch.from_numpy(np.resize(obs, (PIECE, *obs.shape[1:])))
    frames = rnd.preprocess(rnd.preprocess.rows(batch[:, -1:], (PIECE,)))
    rng = np.random.default_rng(0)
    steps = 0
    while True:
        with torch.no_grad():
            for _ in range(num_steps):
                agent.forward.policy(torch.from_numpy(obs), None, None, draw)
                obs = env.step(rng.integers(0, env.single_action_space.n, num_envs))[0]
            for _ in range(num_envs * num_steps // PIECE):
                with torch.autocast("cpu", torch.bfloat16, enabled=c.bfloat16):
                    rnd.target(frames)
                    rnd.predictor(frames)
        for _ in range(c.epochs * num_envs * num_steps // PIECE):
            out = agent.forward.values(batch, None, None, draw[:1].expand(PIECE))
            (out.pi.sum() + out.value.sum()).backward()
        for _ in range(round(c.epochs * c.bonus_share * num_envs * num_steps / PIECE)):
            with torch.autocast("cpu", torch.bfloat16, enabled=c.bfloat16):
                prediction = rnd.predictor(frames)
            prediction.float().sum().backward()
        steps += num_envs * num_steps
        tick(steps)


if __name__ == "__main__":
    run(**json.loads(sys.argv[1]))
