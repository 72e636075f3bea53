"""What each benchmark's result says, in words: each function reads the figures from a result file's content."""

from collections import Counter
from statistics import fmean
from typing import Any

DRIVER, ALL = "driver's GiB", "all processes' GiB"
"""What `benchmarks/load.py` calls the memory of its processes, at its highest."""

SIDES = {
    "stock": "written after the tutorials of MONAI and Ray Tune",
    "expert": "the same, its cache shared and its processes kept",
    "ours": "the same search in voxtune",
    "new": "what `voxtune new` writes",
}


def against_stock(found: Any) -> str:
    rows = [
        f"| {told} | {side['seconds']:.0f} s | {side['seconds to dice']:.0f} s | {side['best']:.3f} |"
        for told, side in ((told, found["medians"][name]) for name, told in SIDES.items())
    ]
    head = f"| medians of {len(found['runs']['new'])} | search | to a Dice of {found['dice']} | best Dice |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def main_job(found: Any) -> str:
    seeds = found["chosen_dice_by_seed"].values()
    return (
        f"16 trials in {found['search_seconds'] / 60:.1f} minutes, best Dice {found['best_dice_of_search']:.4f} on "
        f"{len(found['validation_cases'])} validation cases; the chosen configuration {fmean(seeds):.4f} over "
        f"{len(seeds)} other seeds, the default one {found['trials'][0]['score']:.4f}"
    )


def cross_validation(found: Any) -> str:
    (best,) = (one for one in found["configurations"] if one["number"] == found["best"])
    return (
        f"Dice {best['mean']:.4f} ± {best['sd_over_cases']:.4f} over {best['cases']} cases, "
        f"± {best['sd_over_folds']:.4f} over {found['folds']} folds"
    )


def search_quality(found: Any) -> str:
    rows = {row["workers"]: row for row in found["comparison"] if row["method"] == "stock"}
    ours, stock = "ours' final regret", "final regret"
    told = [
        f"with {workers} worker{'s' * (workers > 1)} in {rows[workers]['geometric_mean']:.2f} of the time "
        f"(final regret {rows[workers][ours]:.2f} against {rows[workers][stock]:.2f})"
        for workers in (8, 32, 1)
    ]
    tasks, searches = rows[8]["tasks"], rows[8]["searches"]
    return (
        "What stock Optuna with Ray's ASHA ends with, voxtune's default sampler has "
        f"{', '.join(told)}: {tasks} tasks of LCBench, {searches // tasks} seeds, a virtual clock"
    )


def memory_search(found: Any) -> str:
    def share(search: str) -> str:
        runs = [run for run in found["runs"] if run["search"] == search]
        return f"{sum(run['out_of_memory'] for run in runs) / sum(run['started'] for run in runs):.1%}"

    return (
        f"{share('stock')} of stock's trials ran out of memory, {share('gp, no estimate')} of voxtune's without its "
        f"estimate, {share('gp, estimate')} with it, in a space of which {found['share_that_does_not_fit']:.0%} does "
        "not fit; toy runs, their memory made up"
    )


def memory_estimate(found: Any) -> str:
    worst = max((row["error"] for row in found["rows"]), key=abs)
    return (
        f"{found['within_15_percent']} of {found['configurations']} configurations within 15 % of what was measured on "
        f"a {found['device'].upper()}, the worst {worst:+.1%}"
    )


def shared_memory(found: Any) -> str:
    growth = {side: values["net_mib"] for side, values in found["growth_a_trial_of_the_data"].items()}
    return (
        f"each further trial on a node takes {growth['ours']:.1%} of the data set's {found['data_mib'] / 1024:.1f} "
        f"GiB; with MONAI's CacheDataset in each process {growth['stock']:.0%}"
    )


def training_step(found: Any) -> str:
    ratios = [step["seconds"]["ours"] / step["seconds"]["bare"] for step in found["steps"]]
    evaluation, stock = found["evaluations"][0]["seconds"], "monai, as in its tutorials"
    return (
        f"a step, batches and all, takes {min(ratios):.2f} to {max(ratios):.2f} of the time of forward, backward and "
        f"AdamW alone in torch's own layout; an evaluation {evaluation['ours'] / evaluation[stock]:.2f} of the time "
        "of MONAI's sliding window"
    )


def scaling(found: Any) -> str:
    over = {search["slots"]: search["seconds"] / search["bound"] - 1 for search in found["searches"]}
    few = [value for slots, value in over.items() if slots <= 16]
    return (
        f"{min(few):.1%} to {max(few):.1%} above a list schedule without any overhead on 1 to 16 slots, {over[32]:.1%} "
        "on 32: a real Ray and driver, trials of 11 s replayed by waiting"
    )


def warm_slots(found: Any) -> str:
    return (
        f"{1000 * found['turnaround, median (s)']:.0f} ms from one trial's end to the next one's first step (median of "
        f"{found['trials']}), {1000 * found['turnaround, 95th percentile (s)']:.0f} ms at the 95th percentile"
    )


def parallelism(found: Any) -> str:
    ways = [way for way in found["ways"] if way["devices"] == 2 and not way["early_stopping"]]
    told = {way["devices_per_trial"]: way["speed_up"] for way in ways}
    return (
        f"two trials side by side {told[1]:.2f} times the speed of one core, two cores on one trial {told[2]:.2f} times"
    )


def data_parallel(found: Any) -> str:
    def dice(way: str) -> float:
        return fmean(row["dice"] for row in found["rows"] if row["way"] == way)

    return (
        f"Dice {dice('two'):.4f} with two workers, {dice('one'):.4f} with one (means over seeds); the times say nothing"
    )


def monitoring(found: Any) -> str:
    return f"table, metrics, logs and pictures take {found['share_of_monitoring']:.1%} of a sweep's CPU time"


def report_page(found: Any) -> str:
    told = [
        f"{one['trials']} trials {one['median_seconds']:.1f} s ({one['median_cpu_seconds']:.1f} s of CPU time), "
        f"{one['page_mb']:.1f} MB"
        for one in found["reports"]
    ]
    return "; ".join(told)


def chaos(found: Any) -> str:
    outcomes = Counter(run["outcome"] for run in found["runs"])
    broken = sum(bool(run["problems"]) for run in found["runs"])
    listed = ", ".join(f"“{outcome}” {count} times" for outcome, count in outcomes.most_common())
    faults = len({run["fault"] for run in found["runs"]})
    return f"{broken} of {len(found['runs'])} runs broke something, with {faults} kinds of fault: {listed}"


def guards(found: Any) -> str:
    taken = found["guards"]
    tests = {test for guard in taken for test in guard["tests"]}
    proven = sum(guard["fails"] for guard in taken)
    left = f"; {len(found['not_tried'])} more are not tried yet" if found["not_tried"] else ""
    return f"{proven} of {len(taken)}: their {len(tests)} tests pass with the guards and fail without{left}"


def fuzz(found: Any) -> str:
    subjects = found["subjects"]
    inputs = sum(one["inputs"] for one in subjects)
    findings = sum(sum(one["findings"].values()) for one in subjects)
    return (
        f"{inputs:,} inputs of {len(subjects)} kinds in {sum(one['seconds'] for one in subjects) / 60:.0f} minutes: "
        f"{findings or 'no'} finding{'s' * (findings != 1)}"
    )


def bundle(found: Any) -> str:
    rows = found["rows"]
    return (
        f"{sum(row['differing_voxels'] for row in rows)} of {sum(row['voxels'] for row in rows):,} voxels differ, over "
        f"{sum(row['cases'] for row in rows)} labels by {len(rows)} models"
    )


def orientation(found: Any) -> str:
    same = [one for one in found["summary"] if one["kind"] in ("axes", "oblique")]
    files, least = sum(one["files"] for one in same), min(one["least_same"] for one in same)
    return f"{files} files with other axes or oblique ones: {least:.0%} of the voxels the same"


def load(found: Any) -> str:
    """Of what was measured: a result may hold some of the four."""
    told = []
    if many := found.get("study"):
        commands = many["commands"]
        resumed = commands["resume, 8 trials more"]
        told.append(
            f"a study of {many['trials']:,} trials: status {commands['status']['seconds']:.1f} s, report "
            f"{commands['report']['seconds']:.0f} s, resume {resumed['seconds to the first trial']:.0f} s to the next "
            f"trial, at most {max(one[DRIVER] for one in commands.values()):.1f} GiB"
        )
    if wide := found.get("slots"):
        told.append(
            f"{wide['most at once']} trials at once on two cores: all slots up after "
            f"{wide['seconds until all slots were up']:.0f} s, the driver at {wide['commands']['run'][DRIVER]:.1f} GiB"
        )
    for what in ("cases", "large"):
        if data := found.get(what):
            commands = data["commands"]
            told.append(
                f"{data['cases']:,} cases of {data['voxels a case']} voxels: new {commands['new']['seconds']:.0f} s, "
                f"run {commands['run']['seconds']:.0f} s, all processes at most "
                f"{max(one[ALL] for one in commands.values()):.1f} GiB"
            )
    return "; ".join(told)
