"""Runs a peer's script out of its clone, with the patches listed here.

    python scripts.py cleanrl-rnd DIR [the script's own options]

DIR holds the clones. A patch replaces a text that must occur exactly once, so a script that has changed stops here.
"""

import runpy
import sys
from pathlib import Path
from typing import NamedTuple


class Patch(NamedTuple):
    old: str
    new: str


class Script(NamedTuple):
    path: str
    patches: tuple[Patch, ...]


TICK = "from tick import tick\n"

# EnvPool: `env_type="gym"` has Gymnasium's interface since 1.2 (see old_gym.py).
POOL = Patch("envs = envpool.make(", "envs = gym.pool(")

CLEANRL_RND = Script(
    "cleanrl/cleanrl/ppo_rnd_envpool.py",
    (
        POOL,
        Patch("import tyro\n", "import tyro\n" + TICK),
        # The end of an iteration.
        Patch('        print("SPS:", ', '        tick(global_step)\n        print("SPS:", '),
        # The warm-up of observation statistics is left out by an option of the script, see ppo_speed.py.
    ),
)

CLEANRL_PPO = Script(
    "cleanrl/cleanrl/ppo.py",
    (
        Patch("import tyro\n", "import tyro\n" + TICK),
        Patch('        print("SPS:", ', '        tick(global_step, finished)\n        print("SPS:", '),
        # Gymnasium 1.x gives the statistics of ended episodes as arrays, not as `final_info`; without this the script
        # reports no returns.
        Patch(
            '            if "final_info" in infos:\n'
            '                for info in infos["final_info"]:\n'
            '                    if info and "episode" in info:\n',
            '            if "episode" in infos:\n'
            '                for i in np.flatnonzero(infos["_episode"]):\n'
            '                    info = {"episode": {k: infos["episode"][k][i] for k in "rl"}}\n'
            '                    finished.append(info["episode"]["r"])\n'
            "                    if True:\n",
        ),
        Patch("    start_time = time.time()\n", "    start_time = time.time()\n    finished = []\n"),
    ),
)

# The policy of CleanRL's ppo.py, with LeanRL's `device`: 64-64 tanh for policy and values each, no division by 255.
MLP_AGENT = """
class Agent(nn.Module):
    def __init__(self, envs, device=None):
        super().__init__()
        size = int(np.array(envs.single_observation_space.shape).prod())
        self.critic = nn.Sequential(
            layer_init(nn.Linear(size, 64, device=device)),
            nn.Tanh(),
            layer_init(nn.Linear(64, 64, device=device)),
            nn.Tanh(),
            layer_init(nn.Linear(64, 1, device=device), std=1.0),
        )
        self.actor = nn.Sequential(
            layer_init(nn.Linear(size, 64, device=device)),
            nn.Tanh(),
            layer_init(nn.Linear(64, 64, device=device)),
            nn.Tanh(),
            layer_init(nn.Linear(64, envs.single_action_space.n, device=device), std=0.01),
        )

    def get_value(self, x):
        return self.critic(x)

    def get_action_and_value(self, obs, action=None):
        probs = Categorical(logits=self.actor(obs))
        if action is None:
            action = probs.sample()
        return action, probs.log_prob(action), probs.entropy(), self.critic(obs)


"""

LEANRL = Script(
    "LeanRL/leanrl/ppo_atari_envpool_torchcompile.py",
    (
        POOL,
        Patch("import tyro\nimport wandb\n", "import tyro\nimport wandb\n" + TICK),
        # A workaround for torch before 2.6, which today's Categorical cannot be built with.
        Patch('Categorical.logits = property(Categorical.__dict__["logits"].wrapped)\n', ""),
        Patch('Categorical.probs = property(Categorical.__dict__["probs"].wrapped)\n', ""),
        # Parameters that tensordict 0.14 puts into the acting copy want gradients, which the script does not expect.
        Patch("policy = agent_inference.get_action", "policy = torch.no_grad()(agent_inference.get_action"),
        Patch(
            "_and_value\n    get_value = agent_inference.get_value",
            "_and_value)\n    get_value = torch.no_grad()(agent_inference.get_value)",
        ),
        # Vectors instead of pictures; Atari's options go.
        Patch("dtype=torch.uint8)", "dtype=torch.float32)"),
        Patch("        episodic_life=True,\n        reward_clip=True,\n", ""),
        # The mean return of a hundred episodes instead of twenty.
        Patch("avg_returns = deque(maxlen=20)", "avg_returns = deque(maxlen=100)"),
        # The end of an iteration.
        Patch(
            "        if global_step_burnin is not None and iteration % 10 == 0:\n",
            "        tick(global_step, avg_returns)\n"
            "        if global_step_burnin is not None and iteration % 10 == 0:\n",
        ),
    ),
)


CLEANRL_PROCGEN = Script(
    "cleanrl/cleanrl/ppo_procgen.py",
    (
        Patch("import tyro\n", "import tyro\n" + TICK),
        Patch('        print("SPS:", ', '        tick(global_step)\n        print("SPS:", '),
        # The mode whose looks vary.
        Patch('distribution_mode="easy"', 'distribution_mode="hard"'),
    ),
)

# The policy of CleanRL's ppo_atari_envpool.py for pictures [64, 64, 3] instead of [4, 84, 84].
NATURE_AGENT = """
class Agent(nn.Module):
    def __init__(self, envs):
        super().__init__()
        self.network = nn.Sequential(
            layer_init(nn.Conv2d(3, 32, 8, stride=4)),
            nn.ReLU(),
            layer_init(nn.Conv2d(32, 64, 4, stride=2)),
            nn.ReLU(),
            layer_init(nn.Conv2d(64, 64, 3, stride=1)),
            nn.ReLU(),
            nn.Flatten(),
            layer_init(nn.Linear(64 * 4 * 4, 512)),
            nn.ReLU(),
        )
        self.actor = layer_init(nn.Linear(512, envs.single_action_space.n), std=0.01)
        self.critic = layer_init(nn.Linear(512, 1), std=1)

    def get_value(self, x):
        return self.critic(self.network(x.permute((0, 3, 1, 2)) / 255.0))

    def get_action_and_value(self, x, action=None):
        hidden = self.network(x.permute((0, 3, 1, 2)) / 255.0)
        logits = self.actor(hidden)
        probs = Categorical(logits=logits)
        if action is None:
            action = probs.sample()
        return action, probs.log_prob(action), probs.entropy(), self.critic(hidden)


"""


def with_agent(text: str, agent: str, following: str) -> str:
    """A script with another policy; ``following`` is what stands behind its own."""
    head, _, rest = text.partition("class Agent(nn.Module):")
    _, _, tail = rest.partition(following)
    return head.rstrip("\n") + "\n\n" + agent + following + tail


SCRIPTS = {
    "cleanrl-rnd": CLEANRL_RND,
    "cleanrl-ppo": CLEANRL_PPO,
    "cleanrl-procgen": CLEANRL_PROCGEN,
    "cleanrl-procgen-nature": CLEANRL_PROCGEN,
    "leanrl": LEANRL,
}
AGENTS = {
    "leanrl": (MLP_AGENT, "def gae(next_obs"),
    "cleanrl-procgen-nature": (NATURE_AGENT, 'if __name__ == "__main__":'),
}


def patched(name: str, folder: Path) -> str:
    """The text that runs.

    Raises:
        SystemExit: the script is not there, or a patch does not fit.
    """
    script = SCRIPTS[name]
    path = folder / script.path
    if not path.exists():
        raise SystemExit(f"{path} is missing.")
    text = path.read_text(encoding="utf-8")
    for patch in script.patches:
        if text.count(patch.old) != 1:
            raise SystemExit(f"{path} has changed: this text must occur once:\n{patch.old}")
        text = text.replace(patch.old, patch.new)
    return with_agent(text, *AGENTS[name]) if name in AGENTS else text


def main() -> None:
    name, folder, *options = sys.argv[1:]
    source = Path.cwd() / f"{name.replace('-', '_')}.py"  # a file, because compilers read the source of what they see
    source.write_text(patched(name, Path(folder)), encoding="utf-8")
    if name != "cleanrl-ppo":
        import old_gym

        old_gym.install()
    if name.startswith("cleanrl-procgen"):
        import old_procgen

        old_procgen.install()
    sys.argv = [str(source), *options]
    runpy.run_path(str(source), run_name="__main__")


if __name__ == "__main__":
    main()
