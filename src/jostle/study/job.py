"""One job in a process of its own: train or go on training, evaluate, stress, and write down what was found.

python -m jostle.study.job FOLDER [PARENT]

PARENT is the process that started this one. When it is gone, killed or lost with its machine, this one saves and ends,
and who goes on with the job finds its folder free.
"""

import errno
import json
import math
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jostle.errors import CheckpointError, JostleError
from jostle.store.files import replace_file
from jostle.store.lock import Lock
from jostle.study.jobs import RANDOM, Job
from jostle.study.machine import processor, versions
from jostle.study.records import RETURN, read_record

RESULT = "result.json"
"""Written last: what holds it is done."""
_POINTS = 200  # of a curve: more are not seen
_KEPT = ("bonus/", "coverage/", "charts/", "values/")  # metrics whose last value a result has
_PATIENCE = 60.0  # seconds, for a former process of the same job to save and end


def work(folder: Path) -> None:
    """Do what `job.json` of the folder asks for, as far as it is not done.

    Raises:
        JostleError: the environment, the training or a measurement failed.
    """
    job = Job.of(json.loads((folder / "job.json").read_text(encoding="utf-8")))
    begun = time.monotonic()
    if job.asked["algorithm"] == RANDOM:
        from jostle.study.chance import chance_view  # late, so that a wrong folder is told at once

        learned: dict[str, Any] = {
            "steps": 0, "settings": dict(job.asked), "versions": versions(), "curve": {"steps": [], "return": []},
        }  # fmt: skip
        trained, scores = begun, _measured(chance_view(job.asked), job, folder)
    else:
        agent = _trained(folder, job.asked)
        try:
            trained = time.monotonic()
            learned = _learned(agent, folder)
            scores = {"last": _last(agent), **_measured(agent, job, folder)}
        finally:
            agent.env.close()
        _look_after(folder)
    whole = {
        **{name: getattr(job, name) for name in ("task", "method", "seed", "key", "measured")},
        **learned,
        "processor": processor(),
        "scores": scores,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "seconds": {"train": trained - begun, "measure": time.monotonic() - trained},
    }
    replace_file(folder / RESULT, json.dumps(whole) + "\n")


def _measured(policy: Any, job: Job, folder: Path) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    if job.evaluate is not None:
        scores["evaluate"] = _evaluate(policy, job.evaluate, job.asked["env_options"])
    for asked in job.stress:
        scores.setdefault("stress", {})[asked["suite"]] = _stress(policy, asked, folder)
    return scores


def _learned(agent: Any, folder: Path) -> dict[str, Any]:
    """What the run's own files say of the training: settings, versions, learning curve, the last of every metric."""
    record = read_record(folder)
    told = [(row["step"], row[RETURN]) for row in record.rows if RETURN in row and row[RETURN] == row[RETURN]]
    thin = told[:: max(1, -(-len(told) // _POINTS))]
    last = {name: value for row in record.rows for name, value in row.items() if name.startswith(_KEPT)}
    return {
        "steps": agent.steps,
        "settings": record.settings,
        "versions": record.info.get("versions"),
        "curve": {"steps": [int(step) for step, _ in thin], "return": [value for _, value in thin]},
        "metrics": {name: value for name, value in last.items() if math.isfinite(value)},
    }


def _last(agent: Any) -> dict[str, Any]:
    """The training's own last episodes, a hundred at most."""
    returns = list(agent.returns)
    return {"return": sum(returns) / len(returns) if returns else None, "episodes": len(returns)}


def _trained(folder: Path, asked: Mapping[str, Any]) -> Any:
    """The agent at its planned end. What the study asks for is the user's word: its environment is trusted."""
    import jostle
    from jostle.algo import AGENTS
    from jostle.algo.schedule import Schedule
    from jostle.store import Run

    if (folder / "run.json").exists() and not Run.unstarted(folder):
        return jostle.resume(folder, trust=True)
    agent = AGENTS[asked["algorithm"]](
        asked["env"], asked["config"], seed=asked["seed"], num_envs=asked["num_envs"],
        env_options=asked["env_options"],
    )  # fmt: skip
    agent.train(Schedule.of(asked["steps"]), folder, again=True)
    return agent


def _evaluate(agent: Any, asked: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    from jostle.evaluation import evaluate

    how = dict(asked)
    episodes = how.pop("episodes", 20)
    if "env_options" in how:
        how["env_options"] = {**options, **how["env_options"]}
    found = evaluate(agent, episodes, **how)
    return {"return": found.mean, "episodes": len(found.episodes), "noise": found.noise, "actions": found.actions}


def _stress(agent: Any, asked: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Means of each condition, by ``condition|mode``; every episode stays in the run's folder."""
    from jostle.stress import stress_test
    from jostle.stress.physics.sobol import write_csv
    from jostle.stress.report import as_dict

    how = {key: value for key, value in asked.items() if key != "suite"}
    found = stress_test(agent, asked["suite"], **how)
    where = folder / "stress" / found.suite.name
    where.mkdir(parents=True, exist_ok=True)
    found.write_rows(where / "episodes.jsonl")
    if found.sobol:
        write_csv(where / "sobol.csv", found.sobol, found.runs)
    replace_file(where / "summary.json", json.dumps(as_dict(found), default=str) + "\n")
    told = {}
    for cell in found.cells:
        won = cell.successes
        told[f"{cell.condition}|{cell.noise}"] = {
            "return": float(cell.returns.mean()), "success": None if won is None else float(won.mean()),
        }  # fmt: skip
    return told


def _follow(parent: int) -> None:
    """Ask this process to end once it has another parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _wait_for(folder: Path) -> None:
    """Until nobody writes to the run, or nobody can wait any longer: then the run itself says who does."""
    patience = time.monotonic() + _PATIENCE
    while time.monotonic() < patience:
        try:
            Lock(folder / ".lock").release()
        except CheckpointError as error:
            held = getattr(error.__cause__, "errno", None) in (errno.EAGAIN, errno.EWOULDBLOCK)
            if not held:
                return
            time.sleep(0.2)
        else:
            return


def _look_after(folder: Path) -> None:
    """The doctor's findings into the folder; what it cannot do is no failure of the job."""
    from jostle.doctor import keep

    try:
        keep(folder, trust=True)
    except Exception as error:
        print(f"note: the doctor could not look at the run ({error})", flush=True)


def main(arguments: list[str]) -> int:
    """0, or 2 with one sentence behind what the log holds."""
    folder, *parent = arguments
    if parent:
        _follow(int(parent[0]))
    _wait_for(Path(folder))
    try:
        work(Path(folder))
    except JostleError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except OSError as error:  # a full disk, a folder that is gone
        said = f"error: the job in {folder} cannot read or write ({error.strerror}): make room, and run again"
        print(said, file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
