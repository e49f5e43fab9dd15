"""A zip that Stable-Baselines3 saved, as a view; what is pickled in it runs only where the user trusts it.

The zip holds ``data``, JSON in which every object stands pickled with a plain description beside it, and the weights.
The policy is made anew from the descriptions and the plain settings, the spaces are those of the environment, held
against what the zip says of them, and the weights are read as tensors alone. No byte of a pickle is looked at.
"""

import importlib
import importlib.util
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from jostle.envs import make_env
from jostle.envs.make import capped
from jostle.envs.sources import rows_of
from jostle.errors import CheckpointError, ConfigError, closest
from jostle.view.interface import EnvSource
from jostle.view.sb3 import SB3View
from jostle.view.sb3_spaces import require_alike, turned

ALGORITHMS = ("ppo", "a2c", "dqn", "sac", "td3", "ddpg")
"""What `read_zip` makes anew."""

_SHARED = "stable_baselines3.common.torch_layers"
_EXTRACTORS = ("FlattenExtractor", "NatureCNN", "CombinedExtractor")
_OF_LEARNING = ("optimizer_class", "optimizer_kwargs")
"""Settings of a policy that only its training needs."""
_NO_SETTINGS = ("seed", "start_time", "num_timesteps", "verbose", "tensorboard_log", "ep_info_buffer", "device")
_PACKED = 50
"""How many times its size a zip may unpack to: Stable-Baselines3 packs nothing, and weights cannot be packed far."""


@dataclass(frozen=True)
class Zipped:
    """What a zip holds.

    Attributes:
        view: the policy, with the seed of its training where one was given.
        steps: environment steps of the training.
        settings: what the training was asked to do, as text and plain values, without the seed.
    """

    view: SB3View
    steps: int
    settings: dict[str, Any]


def read_zip(
    path: str | Path,
    algo: str,
    *,
    env: EnvSource,
    env_options: Mapping[str, Any] | None = None,
    device: str | None = None,
    trust: bool = False,
) -> Zipped:
    """The policy of a model that Stable-Baselines3 saved.

    Args:
        path: the zip.
        algo: which algorithm's it is, which no zip says: one of `ALGORITHMS`.
        env, env_options: where it was trained, as `make_env` takes it.
        device: where the networks go; None and ``auto``: as Stable-Baselines3 decides.
        trust: load it by Stable-Baselines3, which runs the code that is pickled in it. Without that, models whose
            policies have classes or functions of one's own cannot be made.

    Raises:
        CheckpointError: it is no such zip, or damaged.
        ConfigError: it is another algorithm's or environment's, or cannot be made without running what is in it.
    """
    path = Path(path)
    kind = _algorithm(algo)
    data = _data(path)
    made = make_env(env, **capped(env_options or {}, rows_of(env, 1)))
    made.close()
    seen, acts = made.single_observation_space, made.single_action_space
    home: dict[str, Any] = {"env_source": env, "env_options": env_options}
    if trust:
        view = SB3View(_loaded(kind, path, device), **home)
    else:
        require_alike(data, seen, acts, made.id)
        model = _Model(*_remade(kind, algo, path, data, seen, acts, device))
        view = SB3View(model, algorithm=kind.__name__, **home)
    seed = data.get("seed")
    view.seed = seed if isinstance(seed, int) else None
    return Zipped(view, _steps(data), dict(_settings(data)))


@dataclass
class _Model:
    """What `SB3View` needs of a model."""

    policy: Any
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]

    def get_vec_normalize_env(self) -> None:
        """None: a zip holds no normaliser."""


def _algorithm(algo: str) -> Any:
    if algo not in ALGORITHMS:
        raise ConfigError(f"there is no algorithm '{algo}' whose zips can be read; {closest(algo, ALGORITHMS)}")
    if importlib.util.find_spec("stable_baselines3") is None:
        raise ConfigError('zips of Stable-Baselines3 need that package: pip install "jostle[sb3]"')
    return getattr(importlib.import_module("stable_baselines3"), algo.upper())


def _data(path: Path) -> dict[str, Any]:
    """The plain part of the zip."""
    try:
        with zipfile.ZipFile(path) as file:
            data = json.loads(_member(path, file, "data"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): give a zip of Stable-Baselines3.") from error
    except KeyError as error:
        raise CheckpointError(f"{path} is no zip of Stable-Baselines3, for it has no 'data' in it.") from error
    except (zipfile.BadZipFile, ValueError, RecursionError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path} is no whole zip of Stable-Baselines3 ({error}): save it again.") from error
    parts = ("policy_class", "policy_kwargs", "observation_space", "action_space")
    for part in parts:
        if not isinstance(data, dict) or not isinstance(data.get(part), dict):
            raise CheckpointError(f"{path} is no zip of Stable-Baselines3, for it says nothing of its {part}.")
    return dict(data)


def _member(path: Path, file: zipfile.ZipFile, name: str) -> bytes:
    if file.getinfo(name).file_size > _PACKED * path.stat().st_size:
        raise CheckpointError(f"{path} would unpack to far more than it holds, and is not read: save the model again.")
    return file.read(name)


def _loaded(kind: Any, path: Path, device: str | None) -> Any:
    """The model, loaded by Stable-Baselines3 itself."""
    small = {"buffer_size": 1} if hasattr(kind, "load_replay_buffer") else {}  # nothing is to be stored in it
    try:
        return kind.load(path, device=device or "auto", **small)
    except Exception as error:  # whatever the code in it does
        raise ConfigError(
            f"{path} cannot be loaded as a model of {kind.__name__} ({type(error).__name__}: "
            f"{' '.join(str(error).split())}): give the algorithm that it was saved by, and the modules that it names."
        ) from error


# ---- without running anything of it ----


def _remade(
    kind: Any,
    algo: str,
    path: Path,
    data: dict[str, Any],
    seen: gym.Space[Any],
    acts: gym.Space[Any],
    device: str | None,
) -> tuple[Any, gym.Space[Any], gym.Space[Any]]:
    """The policy with its weights, and its spaces: pictures as it has them, or as Stable-Baselines3 turns them."""
    make, settings = _policy_class(kind, algo, path, data["policy_class"]), _policy_settings(path, data)
    if algo in ("ppo", "a2c"):
        settings["use_sde"] = bool(data.get("use_sde"))
    weights = _weights(path)
    _require_plausible(path, settings, weights)
    where = importlib.import_module("stable_baselines3.common.utils").get_device(device or "auto")
    said = ""
    for space in turned(seen):
        with torch.random.fork_rng(devices=[]):
            try:
                torch.manual_seed(0)
                policy = make(space, acts, lambda _: 0.0, **settings)
                policy.load_state_dict(weights)
            except Exception as error:  # settings of any kind, in whatever they are used for
                said = said or f"{type(error).__name__}: {' '.join(str(error).split())}"
                continue
            if settings.get("use_sde"):
                policy.reset_noise()
        return policy.to(where), space, acts
    raise ConfigError(
        f"the weights of {path} fit no {make.__name__} of {algo} made by its settings and for this environment "
        f"({said[:300]}): check --algo, --env and --env-options."
    )


def _require_plausible(path: Path, settings: dict[str, Any], weights: dict[str, Any]) -> None:
    """Raises: ConfigError where the settings ask for larger networks than there are weights for, before one is made."""
    widest = max((size for weight in weights.values() for size in getattr(weight, "shape", ())), default=0)

    def fits(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(fits, value.values()))
        if isinstance(value, list):
            return len(value) <= len(weights) and all(map(fits, value))
        return not isinstance(value, int) or value <= max(widest, 16)

    for name, value in settings.items():
        if not fits(value):
            raise ConfigError(f"the setting {name} of the policy in {path} asks for more than its weights are.")


def _policy_class(kind: Any, algo: str, path: Path, told: Mapping[str, Any]) -> Any:
    """The policy's class, if it is one of Stable-Baselines3's own for this algorithm."""
    named = re.match(r"<function (\w+)\.__init__ ", str(told.get("__init__")))
    module, name = str(told.get("__module__")), named[1] if named else ""
    known = {(each.__module__, each.__name__): each for each in kind.policy_aliases.values()}
    if (module, name) in known:
        return known[module, name]
    other = [a for a in ALGORITHMS if (module, name) in _policies(a)]
    if other:
        raise ConfigError(f"{path} has a {name}, which {algo} has not: give --algo {' or '.join(other)}.")
    raise _needs_trust(path, f"its policy is a class {f'{module}.{name}'.rstrip('.')} of somebody's own")


def _policies(algo: str) -> list[tuple[str, str]]:
    return [(each.__module__, each.__name__) for each in _algorithm(algo).policy_aliases.values()]


def _policy_settings(path: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """The policy's keyword arguments, from plain values and from texts that name a known class."""
    found: dict[str, Any] = {}
    for key, value in data["policy_kwargs"].items():
        if key.startswith(":") or key in (*_OF_LEARNING, "device"):
            continue
        known = _known_class(value) if isinstance(value, str) else value
        if known is None and value is not None:
            raise _needs_trust(path, f"the setting {key} of its policy is {value[:80]}")
        if key == "net_arch" and isinstance(known, list) and len(known) == 1 and isinstance(known[0], dict):
            known = known[0]  # as versions before 1.8 wrote it
        found[key] = known
    return found


def _known_class(text: str) -> Any:
    """A class by what `str` makes of it: torch's activations, Stable-Baselines3's feature extractors; else None."""
    named = re.fullmatch(r"<class '([\w.]+)\.(\w+)'>", text)
    if named is None:
        return None
    if named[1] == "torch.nn.modules.activation":
        found = getattr(torch.nn, named[2], None)
        return found if isinstance(found, type) and found.__module__ == named[1] else None
    if named[1] == _SHARED and named[2] in _EXTRACTORS:
        return getattr(importlib.import_module(_SHARED), named[2])
    return None


def _weights(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as file:
            weights = torch.load(io.BytesIO(_member(path, file, "policy.pth")), map_location="cpu", weights_only=True)
    except KeyError as error:
        raise CheckpointError(f"{path} holds no weights (policy.pth): save the model again.") from error
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        said = " ".join(str(error).split()).partition(". ")[0]
        raise CheckpointError(f"the weights of {path} cannot be read as tensors ({said}): save it again.") from error
    if not isinstance(weights, dict):
        raise CheckpointError(f"the weights of {path} are a {type(weights).__name__} and no state: save it again.")
    return weights


def _needs_trust(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} cannot be read without running what is pickled in it, for {why}: if you trust who wrote it, give "
        "--trust (trust=True)."
    )


# ---- the training ----


def _steps(data: Mapping[str, Any]) -> int:
    steps = data.get("num_timesteps")
    return steps if isinstance(steps, int) else 0


def _settings(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What was asked of the training: the plain values, of objects what is said of them, without places in memory.

    A model that was saved before the end of its plan also has the step at which that was.
    """
    total = data.get("_total_timesteps")
    if isinstance(total, int) and _steps(data) < total:
        yield "saved_at", _steps(data)
    for key, value in data.items():
        if key == "_total_timesteps" or not (key.startswith("_") or key in _NO_SETTINGS):
            plain = (
                {k: v for k, v in value.items() if k not in (":serialized:", "_np_random")} if _object(value) else value
            )
            yield key, re.sub(r" at 0x[0-9a-f]+", "", json.dumps(plain, sort_keys=True))


def _object(value: Any) -> bool:
    return isinstance(value, dict) and ":serialized:" in value
