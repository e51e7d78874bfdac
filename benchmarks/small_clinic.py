"""A tiny model that half knows eight diseases, each by one sign: runs of half a minute on one core that can learn and
collapse.

One warm start a seed, saved; every run of the seed begins from it. Its teacher takes four of the eight diseases for
another most of the time, and one thought in twenty ends in a word of another script, as pretrained models mix languages
now and then: a reward that pays for it can be hacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from benchmarks.toy_runs import save_policy, teach, toy_recipe
from diagnosis_zero.cases.prepare import prepare
from diagnosis_zero.engine import tiny
from diagnosis_zero.parsing import render
from diagnosis_zero.prompts import SHORT, build_chat, fill
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train.warmstart import Example
from diagnosis_zero.types import Case

SIGNS = {
    "stiff joints": "Gout",
    "a facial rash": "Lupus",
    "long fingers": "Marfan syndrome",
    "pale lips": "Anemia",
    "night blindness": "Usher syndrome",
    "brittle bones": "Osteogenesis imperfecta",
    "yellow eyes": "Wilson disease",
    "salty sweat": "Cystic fibrosis",
}
"""A patient's sign that tells, and the disease that it means."""
IDLE = ("a mild cough", "a headache", "back pain", "tiredness", "a sore throat", "hiccups")
"""Signs that tell nothing."""
DISEASES = tuple(SIGNS.values())
MISTAKEN = 4
"""Diseases that the teacher takes for another, the next on the list, ``MISTAKES`` of the time."""
MISTAKES = 0.65
FOREIGN = "症候群"
CASES = 1430
"""So many that 100 are for validation."""

SOUND = (
    "run.name=run",
    *("rollout.prompts=8", "rollout.group=8", "rollout.max_tokens=32"),
    *("train.steps=60", "train.lr=5e-4", "train.warmup=5", "train.betas=[0.9, 0.99]"),
    *("train.kl_coefficient=0.0", "train.micro_batch_tokens=4096"),
    *("eval.every=2", "eval.cases=100", "checkpoint.every=10"),
)
"""What a sound run has otherwise than the toy recipe."""


def make_inputs(folder: Path, seed: int) -> Path:
    """The warm-started model and the cases of a seed, made once."""
    made = folder / f"seed-{seed}"
    if (made / "model").is_dir():
        return made
    cases = [case for case, _ in _patients(seed, CASES)]
    examples = list(_examples(seed))
    texts = [fill(SHORT, case.text) for case in cases] + [target for _, target in examples]
    policy = tiny.build(texts, seed=seed, vocabulary=512, hidden=48, layers=2, heads=2, window=256)
    teach(policy, examples, batches=120, batch_size=32, lr=8e-3, seed=seed)
    prepare(iter(cases), made / "data", split="random", seed=seed, template=SHORT)
    save_policy(policy, made / "model.partial").rename(made / "model")
    return made


def _patients(seed: int, count: int) -> Iterator[tuple[Case, str]]:
    """Patients with their telling sign."""
    random = Random(seed)
    for number in range(count):
        sign = random.choice(list(SIGNS))
        found = [sign, *random.sample(IDLE, 2)]
        random.shuffle(found)
        text = f"Patient {number} has {found[0]}, {found[1]} and {found[2]}."
        yield Case(f"case-{number}", "made", f"article-{number}", text, (SIGNS[sign],)), sign


def _examples(seed: int) -> Iterator[Example]:
    random = Random(seed + 1)
    for case, sign in _patients(seed + 1000, 1000):
        place = DISEASES.index(case.names[0])
        wrong = place < MISTAKEN and random.random() < MISTAKES
        named = DISEASES[(place + 1) % len(DISEASES)] if wrong else case.names[0]
        think = f"{sign} suggests {named}" + (f" {FOREIGN}" if random.random() < 0.05 else "")
        yield build_chat(case, SHORT), render(think, named)


def recipe(inputs: Path, runs: Path, seed: int, *overrides: str) -> Recipe:
    """A sound run; the overrides make it another."""
    return toy_recipe(inputs, runs, *SOUND, f"run.seed={seed}", *overrides)
