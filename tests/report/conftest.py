"""A study with stress tests, lone runs and a comparison, all really trained, in seconds; and a browser."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jostle
from jostle.cli import main
from jostle.stress.physics import PACKER
from jostle.stress.physics.ranges import random_set
from jostle.study import job, make_study
from jostle.study.run import prepare
from jostle.study.state import write_results

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run"
)
SPEC: dict[str, Any] = {
    "name": "catch",
    "seeds": 2,
    "steps": 256,
    "tasks": {"catch": {"env": "jostle/ThemedCatch-v0", "env_options": {"num_themes": 2}, "num_envs": 8}},
    "methods": {
        "plain": {"algorithm": "ppo", "config": {"encoder": "flat", "num_steps": 8, "hidden": [16]}},
        "noisy": {
            "algorithm": "ppo",
            "config": {"encoder": "flat", "num_steps": 8, "hidden": [16], "noisy": "factorised"},
        },
    },
    "evaluate": {"episodes": 4},
    "stress": {"suite": "themes", "episodes": 4, "noise": ["mean", "sampled"]},
}
SMALL: dict[str, Any] = {"num_envs": 4, "hidden": (8,), "warmup": 20, "batch_size": 8, "env_options": {"size": 4}}


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods with two seeds each, evaluated and tested; the jobs run in this process, which is quicker."""
    folder = tmp_path_factory.mktemp("studies") / "catch"
    spec = make_study(SPEC)
    for one in spec.jobs:
        prepare(folder / one.folder, one)
        job.work(folder / one.folder)
    write_results(spec, folder)
    (folder / "study.yaml").write_text("name: catch\n")
    return folder


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that belong to no study: two methods with three seeds on DeepSea, one of them checked by the doctor."""
    folder = tmp_path_factory.mktemp("lone")
    for noisy in ("none", "factorised"):
        for seed in (1, 2, 3):
            agent = jostle.DQN("jostle/DeepSea-v0", noisy=noisy, seed=seed, **SMALL)  # type: ignore[arg-type]
            agent.learn(160, run_dir=folder / f"{noisy}-s{seed}", log_every=20)
    jostle.doctor.keep(folder / "none-s1")
    agents = [jostle.load(folder / f"{name}-s1") for name in ("none", "factorised")]
    found = jostle.compare_policies(agents[0], agents[1], episodes=8)
    (folder / "gate.json").write_text(json.dumps(found.as_dict()))
    for agent in agents:
        agent.env.close()
    return folder


@pytest.fixture(scope="session")
def page(study: Path, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of everything."""
    from jostle.report import write_report

    return write_report([study, runs], tmp_path_factory.mktemp("page") / "report.html", title="Everything", videos=1)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window.

    Skips where it, or the package that drives it, is missing.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="the pages are looked at with Playwright (extra dev)")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium, as .ci/run does, and the pages are looked at")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS.split())
        yield found
        found.close()


WORLD = {"force": [5, 15], "pole.half_length": [0.2, 0.8], "timestep": [0.005, 0.05]}
POLES: dict[str, Any] = {
    "name": "poles",
    "seeds": 2,
    "steps": 256,
    "tasks": {"pole": {"env": "jostle/CartPole-v1", "num_envs": 4, "env_options": {"max_episode_steps": 50}}},
    "methods": {
        "nominal": {"algorithm": "ppo", "config": {"num_steps": 8, "hidden": [8]}},
        "random": {
            "algorithm": "ppo",
            "config": {"num_steps": 8, "hidden": [8]},
            "env_options": {"domain": random_set(PACKER["CartPole"])},
        },
    },
    "stress": [
        {"suite": suite, "episodes": 3, "points": 16, "domain": WORLD}
        for suite in ("physics-sets", "physics-sweep", "physics-pair", "physics-sobol")
    ],
}


@pytest.fixture(scope="session")
def poles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods, trained in D and in R, tested by each suite of physics, one run by `physics-worst` with a video."""
    folder = tmp_path_factory.mktemp("physics") / "poles"
    spec = make_study(POLES)
    for one in spec.jobs:
        prepare(folder / one.folder, one)
        job.work(folder / one.folder)
    write_results(spec, folder)
    domain = folder.parent / "small.yaml"
    domain.write_text(json.dumps(WORLD))
    command = ["stress", str(folder / spec.jobs[0].folder), "--suite", "physics-worst", "--episodes", "4"]
    assert main([*command, "--domain", str(domain), "--videos", "1", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="session")
def poles_page(poles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of it."""
    from jostle.report import write_report

    return write_report(poles, tmp_path_factory.mktemp("physics-page") / "report.html")
