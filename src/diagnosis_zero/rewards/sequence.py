"""The original system's accuracy: letters in common. Kept exact, for comparison and for its recipes.

    similarity(answer, name) = 0.8 * SequenceMatcher(None, answer, name).ratio() + 0.2 * |A & B| / |A | B|

on lower-cased, stripped texts, A and B their sets of ``\\w+`` words; 1.0 where the texts are equal. An answer is
right when its similarity to any accepted name is above 0.8. The ratio depends on the order of its arguments:
the answer comes first, the accepted name second.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from diagnosis_zero.types import Match

THRESHOLD = 0.8
MAX_CHARS = 1000
MAX_PAIRS = 10_000
"""What is compared letter by letter. The matcher's time grows with the pairs of equal letters, times the pieces
it finds; prose of 1,000 characters against a name of 100 has 7,000 pairs. Beyond either limit an answer that
cannot pass the threshold by its length or its letters is given 0 without the comparison; any other is compared."""

_WORD = re.compile(r"\w+")


def match(answer: str, names: Sequence[str]) -> Match:
    """Label 2 above the threshold, else 0; ``score`` is the greatest similarity to any of ``names``."""
    score, name = max((similarity(answer, name), name) for name in names)
    return Match(2 if score > THRESHOLD else 0, score, "sequence", matched_name=name)


def similarity(answer: str, name: str) -> float:
    """The formula above, in [0, 1]."""
    a, b = answer.lower().strip(), name.lower().strip()
    if a == b:
        return 1.0
    if _hopeless(a, b):
        return 0.0
    return 0.8 * SequenceMatcher(None, a, b).ratio() + 0.2 * _jaccard(a, b)


def _hopeless(a: str, b: str) -> bool:
    """Whether the comparison would be costly and is sure to stay below the threshold."""
    most = min(len(a), len(b))
    if len(a) > MAX_CHARS and _bound(a, b, most) <= THRESHOLD:
        return True
    letters_a, letters_b = Counter(a), Counter(b)
    pairs = sum(count * letters_b[letter] for letter, count in letters_a.items())
    return pairs > MAX_PAIRS and _bound(a, b, (letters_a & letters_b).total()) <= THRESHOLD


def _bound(a: str, b: str, matched: int) -> float:
    """The similarity if ``matched`` letters and all words agreed."""
    return 0.8 * 2 * matched / (len(a) + len(b)) + 0.2


def _jaccard(a: str, b: str) -> float:
    words_a, words_b = set(_WORD.findall(a)), set(_WORD.findall(b))
    union = words_a | words_b
    return len(words_a & words_b) / len(union) if union else 0.0
