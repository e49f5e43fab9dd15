"""What was run, in words, for the head of the page."""

from jostle.report.material import Material, Run
from jostle.report.words import counted, duration, listed


def about(material: Material) -> str:
    """One or two sentences."""
    told = []
    if material.runs:
        methods = list(dict.fromkeys(run.method for run in material.runs))
        counts = sorted(
            {len(material.of(task, method)) for task in material.tasks for method in material.methods_of(task)}
        )
        seeds = counted(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
        what = (
            f"{counted(len(methods), 'method')} ({listed(methods)})"
            if len(methods) > 1
            else f"One method ({methods[0]})"
        )
        tasks = listed(material.tasks) if len(material.tasks) < 4 else counted(len(material.tasks), "task")
        each = f", {seeds} each" if len(material.runs) > 1 else ", one seed"
        told.append(f"{what} trained on {tasks}{each}: {counted(len(material.runs), 'run')}.")
        steps = sorted({_planned(run) for run in material.runs} - {0})
        if steps:
            span = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
            told.append(f"Each was trained for {span} environment steps.")
    if material.stress:
        suites = list(dict.fromkeys(tested.result.suite.name for tested in material.stress))
        episodes = sum(len(cell.episodes) for tested in material.stress for cell in tested.result.cells)
        told.append(
            f"Stress tests ({listed(suites)}) played {counted(episodes, 'episode')} under conditions seen and unseen."
        )
    if material.explained:
        told.append(f"{counted(len(material.explained), 'agent was', 'agents were')} looked into.")
    if material.comparisons:
        told.append(f"{counted(len(material.comparisons), 'comparison')} of policies on the same episodes.")
    return " ".join(told)


def _planned(run: Run) -> int:
    """Steps that were asked for; where nobody has noted them, or they were not reached, those that were trained."""
    trained, asked = int(run.row.get("steps") or 0), (run.row.get("settings") or {}).get("steps")
    return asked if isinstance(asked, int) and run.finished else trained


def facts(material: Material) -> list[tuple[str, str]]:
    """Numbers at a glance."""
    found = []
    if material.runs:
        seconds = [run.seconds for run in material.runs if run.seconds == run.seconds]
        found = [("runs", f"{len(material.runs):,}"), ("tasks", f"{len(material.tasks):,}"),
                 ("methods", f"{len({run.method for run in material.runs}):,}")]  # fmt: skip
        steps = sum(int(run.row.get("steps") or 0) for run in material.runs)
        found.append(("steps in all", f"{steps:,}"))
        if seconds:
            found.append(("time of training", duration(sum(seconds))))
    versions = {str(run.versions.get("jostle")) for run in material.runs if run.versions.get("jostle")}
    if len(versions) == 1:
        found.append(("jostle", versions.pop()))
    return found
