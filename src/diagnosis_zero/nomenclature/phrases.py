"""Phrases that a nomenclature itself treats as equal, learned from its synonyms.

Where two names of one disease differ only in "deafness" against "hearing loss", and so do those of other diseases,
the phrases name one thing. A pair is dropped where exchanging it turns one disease's name into another disease's
("type 1" and "type 2", "dominant" and "recessive" never pass), and pairs are never chained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from diagnosis_zero.nomenclature import guards, vocabulary
from diagnosis_zero.nomenclature.compare import MAX_PHRASE, differing
from diagnosis_zero.nomenclature.lexicon import Phrase
from diagnosis_zero.nomenclature.normalise import Name

MIN_DISEASES = 2
MAX_NAMES = 40
"""Names looked at of one disease: the pairs grow with the square."""

Pair = tuple[Phrase, Phrase]


def learn(names: Mapping[int, Sequence[Name]]) -> list[tuple[str, str, int]]:
    """(phrase, phrase, diseases that exchange them), sorted; so are the words of each phrase.

    Args:
        names: the names that mean each entry.
    """
    support: dict[Pair, set[int]] = defaultdict(set)
    for entry, said in names.items():
        for pair in _exchanged(list(dict.fromkeys(said))[:MAX_NAMES]):
            support[pair].add(entry)
    often = {pair: entries for pair, entries in support.items() if len(entries) >= MIN_DISEASES}
    refuted = _refuted(often, names)
    return sorted(
        (" ".join(one), " ".join(other), len(entries))
        for (one, other), entries in often.items()
        if len(entries) > 4 * refuted[one, other]
    )


def _exchanged(said: Sequence[Name]) -> Iterable[Pair]:
    for at, left in enumerate(said):
        for right in said[at + 1 :]:
            only_left, only_right = differing(left.words, right.words)
            one, other = sorted((tuple(sorted(only_left)), tuple(sorted(only_right))))
            if _may_equal(one) and _may_equal(other) and len(only_left) < len(left.words):
                yield one, other


def _may_equal(phrase: Phrase) -> bool:
    return 1 <= len(phrase) <= MAX_PHRASE and not guards.protected(phrase) and min(map(len, phrase)) > 1


def _refuted(pairs: Iterable[Pair], names: Mapping[int, Sequence[Name]]) -> dict[Pair, int]:
    """How many names turn into a name of another entry when the pair is exchanged."""
    entries_of: dict[str, set[int]] = defaultdict(set)
    holding: dict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
    for entry, said in names.items():
        for name in said:
            content = tuple(word for word in name.words if word not in vocabulary.CLASS_NOUNS)
            entries_of[" ".join(sorted(content))].add(entry)
            for word in set(content):
                holding[word].append((entry, content))
    counts: dict[Pair, int] = defaultdict(int)
    for one, other in pairs:
        for entry, content in holding[one[0]]:
            rest, missing = differing(content, one)
            if not missing:
                met = entries_of.get(" ".join(sorted((*rest, *other))), set())
                counts[one, other] += bool(met) and entry not in met
    return counts
