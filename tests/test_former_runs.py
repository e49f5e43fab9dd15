"""Runs of a former version load, resume and evaluate as they did then; `data/former/make.py` made them."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import jostle

HOME = Path(__file__).parent / "data" / "former"
TOLD = json.loads((HOME / "told.json").read_text())


def _bytes():
    spec = importlib.util.spec_from_file_location("former_make", HOME / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Bytes


def _env(name):
    return {"env": _bytes()} if name == "bytes" else {}


OBSERVATIONS = {
    "pendulum": np.stack([np.linspace(-1, 1, 3)] * 2).astype(np.float32),
    "bytes": np.eye(3, dtype=np.uint8),
}


@pytest.mark.parametrize("name", TOLD)
def test_it_loads_and_acts_as_it_did(name):
    agent = jostle.load(HOME / name, **_env(name))
    assert agent.steps == TOLD[name]["steps"]
    if name in OBSERVATIONS:
        action, _ = agent.predict(OBSERVATIONS[name])
        np.testing.assert_allclose(action, TOLD[name]["action"], rtol=1e-4)
    found = jostle.evaluate(agent, episodes=4, seed=7)
    np.testing.assert_allclose(found.returns, TOLD[name]["returns"], rtol=1e-3)
    agent.env.close()


def test_it_goes_on_as_the_former_version_would_have(tmp_path):
    shutil.copytree(HOME / "deepsea", tmp_path / "run")
    said = []
    agent = jostle.resume(tmp_path / "run", steps=200, notify=said.append)
    assert agent.steps == 400
    assert not any("not exactly" in line for line in said)
    for name, value in agent.network.state_dict().items():
        assert float(value.double().sum()) == pytest.approx(TOLD["deepsea"]["resumed"][name], rel=1e-3, abs=1e-4), name
    agent.env.close()


@pytest.mark.parametrize("name", ["pendulum", "bytes"])
def test_it_goes_on_where_new_episodes_begin(name, tmp_path):
    shutil.copytree(HOME / name, tmp_path / "run")
    agent = jostle.resume(tmp_path / "run", steps=64, **_env(name))
    assert agent.steps >= TOLD[name]["steps"] + 64 - 2
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()]
    agent.env.close()
