"""The benchmark that kills and resumes: it runs, and its comparison sees what differs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.kill_resume import differences, measure, recipe_named, run_undisturbed


def test_a_kill_at_a_random_moment_changes_nothing(toy_inputs: Path, tmp_path: Path) -> None:
    figures = measure(toy_inputs, tmp_path, kills=1, seed=0)
    assert (figures["kills"], figures["lost"], figures["identical"]) == (1, 0, 1)
    assert sum(figures["moments"].values()) == 1


def test_another_seed_is_told_from_the_same_run(toy_inputs: Path, tmp_path: Path) -> None:
    """Negative control; the answers before training are the same, the weights being so."""
    runs = [recipe_named(f"run-{seed}", toy_inputs, tmp_path, f"run.seed={seed}") for seed in (0, 1)]
    for recipe in runs:
        run_undisturbed(recipe)
    assert differences(runs[0], runs[0]) == []
    assert {"metrics", "weights", "optimizer state", "rollouts"} <= set(differences(*runs))
