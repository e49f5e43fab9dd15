"""One job in a process of its own: train or go on training, evaluate, stress, explain, and write down what was found.

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
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from jostle.errors import CheckpointError, JostleError
from jostle.store.files import replace_file
from jostle.store.lock import Lock
from jostle.study.jobs import OWN, RANDOM, Job
from jostle.study.machine import processor, versions
from jostle.study.records import RETURN, Record, read_record

RESULT = "result.json"
"""Written last: what holds it is done."""
EXPLAIN = "explain"
"""Where the inside of the agent is, in the job's folder."""
_POINTS = 200  # of a curve: more are not seen
_KEPT = ("bonus/", "coverage/", "charts/", "values/")  # metrics whose last value a result has
_PATIENCE = 60.0  # seconds, for a former process of the same job to save and end
_FIRST_EPISODE = 10_000  # the seed of evaluations where nobody says another one


def work(folder: Path) -> None:
    """Do what `job.json` of the folder asks for, as far as it is not done.

    Raises:
        JostleError: the environment, the training or a measurement failed.
    """
    job = Job.of(json.loads((folder / "job.json").read_text(encoding="utf-8")))
    begun, earlier = time.monotonic(), 0.0
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
            record = read_record(folder)
            learned, earlier = _learned(agent, record, job.metrics), _earlier(record)
            scores = {"last": _last(agent), **_measured(agent, job, folder)}
            if job.explain is not None:
                learned["explained"] = _explained(agent, job.explain, folder)
        finally:
            agent.env.close()
        _look_after(folder)
    whole = {
        **{name: getattr(job, name) for name in ("task", "method", "seed", "key", "measured")},
        **learned,
        "processor": processor(),
        "scores": scores,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "seconds": {"train": earlier + trained - begun, "measure": time.monotonic() - trained},
    }
    replace_file(folder / RESULT, json.dumps(whole) + "\n")


def _measured(policy: Any, job: Job, folder: Path) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for measure, how in job.evaluations.items():
        scores[measure] = _evaluate(policy, how, job.asked)
    for asked in job.stress:
        scores.setdefault("stress", {})[asked["suite"]] = _stress(policy, asked, folder)
    return scores


def _learned(agent: Any, record: Record, metrics: Collection[str] = ()) -> dict[str, Any]:
    """What the run's own files say of the training: settings, versions, learning curve, the last of every metric, and
    the course of those that the study asks for."""
    courses = {name: _course(record, name) for name in metrics}
    steps, values = _course(record, RETURN)
    kept = {name for row in record.rows for name in row if name.startswith(_KEPT) or name in metrics}
    last = {name: value for row in record.rows for name, value in row.items() if name in kept}
    return {
        "steps": agent.steps,
        "settings": record.settings,
        "versions": record.info.get("versions"),
        "curve": {"steps": steps, "return": values},
        "metrics": {name: value for name, value in last.items() if math.isfinite(value)},
        **({"courses": {name: {"steps": s, "values": v} for name, (s, v) in courses.items() if s}} if metrics else {}),
    }


def _course(record: Record, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a metric where it is told, of so many no more than are seen."""
    told = [(int(row["step"]), row[name]) for row in record.rows if math.isfinite(row.get(name, math.nan))]
    thin = told[:: max(1, -(-len(told) // _POINTS))]
    return [step for step, _ in thin], [value for _, value in thin]


def _earlier(record: Record) -> float:
    """Seconds of the stretches before this one; one that was killed counts until its last line of metrics."""
    noted = record.info.get("stretches")
    stretches = [each for each in noted if isinstance(each, dict)] if isinstance(noted, list) else []
    spent = 0.0
    for stretch, following in pairwise(stretches):
        begun, until = (datetime.fromisoformat(each["started"]).timestamp() for each in (stretch, following))
        if stretch.get("ended"):
            end = datetime.fromisoformat(stretch["ended"]).timestamp()
        else:
            end = max((row["time"] for row in record.rows if begun <= row.get("time", 0.0) < until), default=begun)
        spent += max(0.0, end - begun)
    return spent


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


def _evaluate(agent: Any, how: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Episodes of the trained agent; its ``own`` seed is no other agent's, and none of a training."""
    from jostle.evaluation import evaluate

    given = dict(how)
    episodes = given.pop("episodes", 20)
    if "env_options" in given:
        given["env_options"] = {**asked["env_options"], **given["env_options"]}
    if given.get("seed") == OWN:
        given["seed"] = _FIRST_EPISODE + asked["seed"]
    found = evaluate(agent, episodes, **given)
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


def _explained(agent: Any, asked: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Verdicts on the techniques, numbers beside their nulls, what was left out; maps and arrays stay in the folder."""
    from jostle.explain import explain_policy

    how = {"video": False, **asked}
    found = explain_policy(agent, folder / EXPLAIN, initial=folder, overwrite=True, **how)
    verdicts = {f"{row['technique']}, {row['explains']}": row.get("verdict") for row in found.rows()}
    numbers = [{"part": part, **n.as_dict()} for part, inside in found.inside.items() for n in inside.numbers]
    return {"techniques": verdicts, "numbers": numbers, "left out": list(found.left_out), "seconds": found.seconds}


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
