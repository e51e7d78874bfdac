"""Scripted generators and made-up cases for the evaluation tests."""

from __future__ import annotations

from diagnosis_zero.types import Case, Completion

DISEASES = ("Marfan syndrome", "Fabry disease", "Gaucher disease", "Wilson disease", "Pompe disease")


def make_cases(count, per_article=1):
    """Cases whose text names the number of the right disease, so that a scripted model can know it."""
    return [
        Case(
            id=f"case-{i}",
            source="made",
            source_id=f"article-{i // per_article}",
            text=f"Patient {i} has sign {i % len(DISEASES)}.",
            names=(DISEASES[i % len(DISEASES)],),
            leaks=(DISEASES[i % len(DISEASES)],) if i % 7 == 0 else (),
        )
        for i in range(count)
    ]


def full_form(answer):
    return f"<think>weighing</think><answer>{answer}</answer>"


class Scripted:
    """A generator that writes ``reply(prompt text, sample)`` and remembers what it was asked."""

    def __init__(self, reply, die_after=None):
        self.reply = reply
        self.asked = []
        self.seeds = []
        self.die_after = die_after

    def generate(self, prompts, n, params):
        self.seeds.append(params.seed)
        if self.die_after is not None and len(self.seeds) > self.die_after:
            raise KeyboardInterrupt
        self.asked += [chat[-1]["content"] for chat in prompts]
        return [[self._completion(chat[-1]["content"], sample) for sample in range(n)] for chat in prompts]

    def _completion(self, text, sample):
        written = self.reply(text, sample)
        return Completion(written, "stop", tuple(range(len(written.split()))))


def knows(*signs):
    """Right about the patients with one of these signs, wrong about the others."""

    def reply(text, sample):
        sign = int(text.split("sign ")[1].split(".")[0])
        return full_form(DISEASES[sign] if sign in signs else "Common cold")

    return reply
