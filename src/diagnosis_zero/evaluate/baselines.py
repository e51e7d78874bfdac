"""What needs no language model, on the same cases: the figures that a model has to beat.

``frequent`` names the most frequent disease of the training cases whatever it is asked; ``nearest`` the disease of
the training case whose words are most alike (TF-IDF, cosine). Both are generators, so they are evaluated, compared
and reported like any model. Supervised fine-tuning on the same labels, the third baseline, is a training recipe.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.parsing import render
from diagnosis_zero.types import Case, Chat, Completion, SamplingParams

PREFIX = "baseline:"
ROWS_AT_ONCE = 512
_WORD = re.compile(r"[^\W_]{2,}")

Answers = Callable[[Sequence[str]], list[str]]
"""From case texts to diagnoses."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A generator that looks its answers up; made for prompts that are the case text and nothing else."""

    answers: Answers

    def generate(self, prompts: Sequence[Chat], n: int, params: SamplingParams) -> list[list[Completion]]:
        diagnoses = self.answers([chat[-1]["content"] for chat in prompts])
        return [[Completion(render("Looked up.", diagnosis), "stop")] * n for diagnosis in diagnoses]


def baseline(name: str, training: Sequence[Case]) -> Baseline:
    """The baseline called ``frequent`` or ``nearest``.

    Raises:
        InputError: another name, or no training cases.
    """
    if name not in BASELINES:
        raise InputError(f"no baseline {name!r}", mend=nearest(name, list(BASELINES)))
    if not training:
        mend = "Give --cases a folder that `dz prepare` wrote."
        raise InputError("a baseline needs training cases, and there are none", mend=mend)
    return Baseline(BASELINES[name](training))


def frequent(training: Sequence[Case]) -> Answers:
    """Always the most frequent first name; the earliest among equals."""
    ((name, _),) = Counter(case.names[0] for case in training).most_common(1)
    return lambda texts: [name] * len(texts)


def nearest_case(training: Sequence[Case]) -> Answers:
    """The first name of the most similar training case; the earliest among equals."""
    vocabulary: dict[str, int] = {}
    counts = _counts([case.text for case in training], vocabulary, grow=True)
    present = np.asarray((counts > 0).sum(axis=0)).ravel()
    weights = sparse.diags(np.log((1 + len(training)) / (1 + present)) + 1)
    index = _unit(counts @ weights)

    def answer(texts: Sequence[str]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(texts), ROWS_AT_ONCE):
            queries = _unit(_counts(texts[start : start + ROWS_AT_ONCE], vocabulary, grow=False) @ weights)
            best = np.asarray((queries @ index.T).argmax(axis=1)).ravel()
            found += [training[int(place)].names[0] for place in best]
        return found

    return answer


BASELINES: dict[str, Callable[[Sequence[Case]], Answers]] = {"frequent": frequent, "nearest": nearest_case}


def _counts(texts: Sequence[str], vocabulary: dict[str, int], *, grow: bool) -> sparse.csr_matrix:
    """Word counts, one row a text; words outside a vocabulary that does not grow are passed over."""
    rows, columns, values = [], [], []
    for row, text in enumerate(texts):
        for word, count in Counter(_WORD.findall(text.lower())).items():
            if grow or word in vocabulary:
                rows.append(row)
                columns.append(vocabulary.setdefault(word, len(vocabulary)))
                values.append(1 + np.log(count))
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(texts), max(1, len(vocabulary))))


def _unit(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows of length one; empty ones stay empty."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.diags(1 / np.where(lengths > 0, lengths, 1)) @ matrix
