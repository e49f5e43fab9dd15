"""A study's file: what jobs it makes, and what cannot be one."""

from pathlib import Path
from typing import Any

import pytest

from jostle.errors import ConfigError
from jostle.study import make_study, read_study
from jostle.study.jobs import Job

SMALL: dict[str, Any] = {
    "name": "sea",
    "seeds": 2,
    "steps": 400,
    "tasks": {"sea-4": {"env": "jostle/DeepSea-v0", "env_options": {"size": 4}, "num_envs": 4}},
    "methods": {"epsilon": {"algorithm": "dqn", "config": {"hidden": [8]}}},
}


def study(**changed: Any) -> Any:
    return make_study({key: value for key, value in {**SMALL, **changed}.items() if value is not None})


def test_jobs_stand_seeds_first() -> None:
    found = study(methods={
        "epsilon": {"algorithm": "dqn"},
        "noisy": {
            "algorithm": "dqn", "config": {"noisy": "factorised"}, "sweep": {"sigma0": [0.1, 0.5], "hidden": [[8]]},
        },
    })  # fmt: skip
    assert found.methods == ["epsilon", "noisy,sigma0=0.1,hidden=8", "noisy,sigma0=0.5,hidden=8"]
    assert [(job.seed, job.method) for job in found.jobs] == [
        (seed, method) for seed in (0, 1) for method in found.methods
    ]
    job = found.jobs[2]
    assert job.asked == {
        "algorithm": "dqn", "env": "jostle/DeepSea-v0", "num_envs": 4, "env_options": {"size": 4}, "steps": 400,
        "config": {"noisy": "factorised", "sigma0": 0.5, "hidden": [8]}, "version": 1, "seed": 0,
    }  # fmt: skip
    again = Job.of(job.as_dict())
    assert (again.key, again.measured, again.folder) == (job.key, job.measured, job.folder)


def test_what_decides_a_job_is_what_was_asked_not_where_it_stands() -> None:
    one, other = (
        study(),
        study(seeds=[1, 0], methods={"b": {"algorithm": "ppo"}, "renamed": SMALL["methods"]["epsilon"]}),
    )
    keys = {job.seed: job.key for job in one.jobs}
    assert {job.seed: job.key for job in other.jobs if job.method == "renamed"} == keys
    default = study(methods={"epsilon": {"algorithm": "dqn", "config": {"hidden": [8], "gamma": 0.99}}})
    assert default.jobs[0].key == one.jobs[0].key  # a default that is written out asks for nothing else
    for change in ({"config": {"hidden": [9]}}, {"version": 2}, {"num_envs": 5}, {"env_options": {"size": 5}}):
        method = {**SMALL["methods"]["epsilon"], **change}
        assert study(methods={"epsilon": method}).jobs[0].key != one.jobs[0].key, change


def test_settings_come_from_preset_study_task_and_method() -> None:
    found = study(
        steps=None,
        config={"gamma": 0.9},
        tasks={"sea": {"config": {"learning_rate": 1e-4}}, "short": {"steps": 1e3, "env_options": {"size": 5}}},
        methods={"rnd": {"preset": "deepsea-rnd", "config": {"gamma_int": 0.9}}},
    )
    whole, short = (next(job.asked for job in found.jobs if job.task == task) for task in ("sea", "short"))
    assert (whole["env"], whole["num_envs"], whole["env_options"]) == ("jostle/DeepSea-v0", 32, {"size": 20})
    assert (whole["steps"], short["steps"], short["env_options"]) == (200_000, 1_000, {"size": 5})
    assert (whole["config"]["gamma"], whole["config"]["learning_rate"], whole["config"]["gamma_int"]) == (
        0.9,
        1e-4,
        0.9,
    )
    assert short["config"]["learning_rate"] == 1e-3  # the preset's


def test_a_domain_stands_among_the_settings_and_is_an_option_of_the_environment() -> None:
    pole = {
        "env": "jostle/CartPole-v1",
        "methods": {"ppo": {"domain": {"force": [5, 15]}, "domain_schedule": "adr(high=9, low=5)"}},
    }
    (asked,) = (job.asked for job in study(tasks={"pole": pole}, methods={"ppo": {"algorithm": "ppo"}}, seeds=1).jobs)
    assert asked["config"] == {}
    assert asked["env_options"]["domain"] == {"parameters": {"force": {"uniform": [5.0, 15.0]}}}
    assert asked["env_options"]["domain_schedule"] == {"adr": {"high": 9, "low": 5}}


def test_agents_are_evaluated_in_a_domain_of_their_own() -> None:
    pole = {"env": "jostle/CartPole-v1"}
    late = {"episodes": 3, "domain": {"action.delay": {"constant": 5}}}
    (job,) = study(tasks={"pole": pole}, methods={"ppo": {"algorithm": "ppo"}}, seeds=1, evaluate=late).jobs
    assert job.evaluate == {"episodes": 3, "domain": {"parameters": {"action.delay": {"constant": 5}}}}
    with pytest.raises(ConfigError, match="constand"):
        study(evaluate={"domain": {"action.delay": {"constand": 5}}})


@pytest.mark.parametrize(("changed", "match"), [
    ({"task": {}}, "has no 'task'; did you mean tasks"),
    ({"tasks": None}, "needs tasks"),
    ({"methods": {}}, "needs methods"),
    ({"methods": {"a": {"algorithm": "sac"}}}, "needs an algorithm"),
    ({"methods": {"a": {"algo": "dqn"}}}, "did you mean algorithm"),
    ({"methods": {"a": {"algorithm": "dqn", "config": {"gama": 1}}}}, "did you mean gamma"),
    ({"methods": {"a": {"algorithm": "dqn", "config": {"gamma": 2}}}}, "method 'a' on task 'sea-4': gamma=2"),
    ({"methods": {"a": {"preset": "deepsea"}}}, "no preset 'deepsea'"),
    ({"methods": {"a": {"algorithm": "dqn", "sweep": {"gamma": 0.9}}}}, "needs a list of values of gamma"),
    ({"methods": {"../a": {"algorithm": "dqn"}}}, "cannot be called '../a'"),
    ({"methods": {"a": {"algorithm": "dqn"}, "b": {"algorithm": "dqn"}}}, "'b' on 'sea-4' and 'a' on 'sea-4' ask for"),
    ({"seeds": 0}, "seeds=0 cannot be used"),
    ({"seeds": [1, 1]}, "different whole numbers"),
    ({"steps": 0.5}, "give whole steps"),
    ({"stress": {"episodes": 5}}, "stress needs a suite"),
    ({"evaluate": {"episode": 5}}, "did you mean episodes"),
    ({"tasks": {"a": {"env": "x", "env_options": [1]}}}, "env_options of method"),
])  # fmt: skip
def test_what_is_no_study(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        study(**changed)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the study"):
        read_study(tmp_path / "nothing.yaml")
    for text, match in (("a: [", "is no YAML"), ("seeds: 1\nseeds: 2", "given twice"), ("[]", "must be a mapping")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(ConfigError, match=match):
            read_study(tmp_path / "bad.yaml")


def test_tasks_choose_methods_their_settings_and_measures() -> None:
    two = {"env": "jostle/DeepSea-v0", "num_envs": 4}
    found = study(
        tasks={
            "sea-4": {**two, "env_options": {"size": 4}, "methods": ["epsilon"], "evaluate": None},
            "sea-5": {
                **two, "env_options": {"size": 5}, "methods": {"noisy": {"sigma0": 0.2}, "epsilon": None},
                "stress": [{"suite": "clean"}],
            },
        },
        methods={
            "epsilon": {"algorithm": "dqn"},
            "noisy": {"algorithm": "dqn", "config": {"noisy": "factorised", "sigma0": 0.4}},
        },
        evaluate={"episodes": 3},
        seeds=1,
    )  # fmt: skip
    assert [(job.task, job.method) for job in found.jobs] == [
        ("sea-4", "epsilon"), ("sea-5", "noisy"), ("sea-5", "epsilon"),
    ]  # fmt: skip
    assert found.jobs[1].asked["config"] == {"noisy": "factorised", "sigma0": 0.2}
    assert [job.evaluate for job in found.jobs] == [None, {"episodes": 3}, {"episodes": 3}]
    assert [list(job.stress) for job in found.jobs] == [[], [{"suite": "clean"}], [{"suite": "clean"}]]


@pytest.mark.parametrize(
    ("methods", "match"),
    [
        (["epsilom"], "'epsilom', which the study has not; .*epsilon"),
        ([], "must be names"),
        ({"epsilon": 3}, "must be a mapping"),
        (["epsilon"], "no task runs the method 'idle'"),
    ],
)
def test_methods_that_a_task_cannot_have(methods: Any, match: str) -> None:
    task = {"env": "jostle/DeepSea-v0", "methods": methods}
    known = {"epsilon": {"algorithm": "dqn"}, "idle": {"algorithm": "dqn", "config": {"hidden": [8]}}}
    with pytest.raises(ConfigError, match=match):
        study(tasks={"sea": task}, methods=known)


def test_several_evaluations_and_metrics_are_measured() -> None:
    plain, metrics = study(evaluate={"episodes": 3}).jobs[0], ["losses/value", "losses/value"]
    several = study(evaluate=[{"episodes": 3}, {"name": "drawn", "noise": "sampled", "seed": "own"}]).jobs[0]
    assert plain.evaluations == {"evaluate": {"episodes": 3}}
    assert several.evaluations == {"evaluate": {"episodes": 3}, "evaluate/drawn": {"noise": "sampled", "seed": "own"}}
    assert study(evaluate=[{"episodes": 3}]).jobs[0].evaluations == plain.evaluations
    assert study().jobs[0].evaluations == {}
    kept = study(evaluate={"episodes": 3}, metrics=metrics).jobs[0]
    assert list(kept.metrics) == ["losses/value"]
    keys = [job.key for job in (plain, several, kept)]
    assert len(set(keys)) == 1  # the training is the same
    assert len({job.measured for job in (plain, several, kept)}) == 3
    for job in (plain, several, kept):
        again = Job.of(job.as_dict())
        assert (again.evaluations, again.measured, list(again.metrics)) == (
            job.evaluations,
            job.measured,
            list(job.metrics),
        )


def test_what_is_measured_has_the_name_it_had_before_there_were_metrics() -> None:
    """Rows of finished studies are found by it."""
    assert study().jobs[0].measured == "29ee573d9c12"  # as in benchmarks/studies/exploration/results.jsonl
    assert study().jobs[0].as_dict().keys() == {"task", "method", "seed", "asked", "evaluate", "stress"}


def test_methods_have_measures_of_their_own() -> None:
    found = study(
        methods={
            "epsilon": {"algorithm": "dqn", "evaluate": {"episodes": 9}, "metrics": []},
            "noisy": {"algorithm": "dqn", "config": {"noisy": "factorised"}},
        },
        evaluate=[{"episodes": 3}, {"name": "drawn", "noise": "sampled"}], metrics=["losses/td_loss"], seeds=1,
    )  # fmt: skip
    epsilon, noisy = found.jobs
    assert (epsilon.evaluations, list(epsilon.metrics)) == ({"evaluate": {"episodes": 9}}, [])
    assert (list(noisy.evaluations), list(noisy.metrics)) == (["evaluate", "evaluate/drawn"], ["losses/td_loss"])


def test_carried_methods_are_jobs_that_say_so() -> None:
    given = {"algorithm": "dqn", "version": "elsewhere", "carried": True}
    ours, theirs = study(methods={"ours": {"algorithm": "dqn"}, "theirs": given}, seeds=1).jobs
    assert (ours.carried, theirs.carried) == (False, True)
    assert ours.key != theirs.key
    tune = {"settings": {"gamma": {"uniform": [0.9, 0.99]}}, "trials": 2, "seeds": 1}
    found = study(methods={"ours": {"algorithm": "dqn"}, "theirs": given}, tune=tune, seeds=1)
    assert [search.method for search in found.searches] == ["ours"]
    assert [job.method for job in found.jobs] == ["theirs"]


@pytest.mark.parametrize(("changed", "match"), [
    ({"evaluate": [{"episodes": 3}, {"episodes": 4}]}, "two evaluations of one name"),
    ({"evaluate": [{"name": "a/b"}]}, "an evaluation cannot be called 'a/b'"),
    ({"evaluate": {"seed": "mine"}}, "give a whole number, or own"),
    ({"metrics": "losses/value"}, r"give a list of names, such as \[losses/value\]"),
    ({"methods": {"a": {"algorithm": "dqn", "carried": "yes"}}}, "carried='yes' of method 'a'"),
])  # fmt: skip
def test_measures_that_cannot_be_asked_for(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        study(**changed)


def test_settings_can_be_searched_for_by_any_measure_that_is_taken() -> None:
    tune = {"settings": {"gamma": {"uniform": [0.9, 0.99]}}, "trials": 1, "seeds": 1}
    both = [{"episodes": 3}, {"name": "drawn", "noise": "sampled"}]
    for measure in ("evaluate/drawn", "metric/losses/td_loss", "training"):
        found = study(evaluate=both, metrics=["losses/td_loss"], tune={**tune, "measure": measure})
        (search,) = found.searches
        job = search.job({"gamma": 0.95}, 1000, 0)
        assert (list(job.metrics) == ["losses/td_loss"]) == (measure == "metric/losses/td_loss")
        assert (len(job.evaluations) == 2) == (measure == "evaluate/drawn")
    with pytest.raises(ConfigError, match="which is not measured; give training, evaluate, evaluate/drawn"):
        study(evaluate=both, tune={**tune, "measure": "evaluate/mean"})
