"""What a piece of an answer does to the claim before it, which names the true disease.

It explains it, repeats it (or says nothing), qualifies it, or gives the reason to refuse it: another disease, a
denial, a hedge, somebody else's disease, something only alike. Words that turn a claim refuse it only beyond what
the accepted names themselves hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from diagnosis_zero.nomenclature import guards
from diagnosis_zero.nomenclature.acronym import spells
from diagnosis_zero.nomenclature.answer import is_abbreviation, names_disease
from diagnosis_zero.nomenclature.normalise import analyse, plain
from diagnosis_zero.rewards import wording
from diagnosis_zero.rewards.pieces import Piece, behind, lead_in, words_of

MAX_PHRASE = 10
"""Words before a head noun that may belong to its name."""

KINDS = frozenset(("number", "letter", "locus", "inheritance", "onset", "copy number", "negation"))
EXPLAINS, REPEATS, QUALIFIES = "explains", "repeats", "qualifies"
ANOTHER = "another disease"

_LONG_WORD = re.compile(r"[a-z]{4}|[A-Za-z]{9}")
_GENE = re.compile(r"\b[A-Z][A-Z0-9]{2,}\b")


@dataclass(frozen=True, slots=True)
class Truth:
    """What the reading of an answer asks of the nomenclature."""

    accepted: Sequence[str]
    """The names of the true disease."""
    same: Callable[[str], bool]
    """Whether a text names the true disease."""
    covers: Callable[[str], bool]
    """The same, or an accepted hypernym of it."""
    known: Callable[[str], bool]
    """Whether a text is a name of the nomenclature, of whichever disease."""


def verdict(piece: Piece, claim: str, explaining: bool, truth: Truth) -> str:
    """EXPLAINS, REPEATS, QUALIFIES, or the reason to refuse the claim.

    ``explaining``: the piece goes on with an explanation ("confirmed by testing | and imaging").
    """
    if _says_nothing(piece.text):
        return REPEATS
    text = piece.text
    unsure = words_of(text)[0] in wording.UNSURE
    if unsure:
        text = behind(text, lead_in(text)) or text
    return (
        _by_name(text, claim, explaining, truth)
        or _by_turn(text, truth)
        or _by_explanation(text, explaining, truth)
        or _by_join(text, truth)
        or _by_kind(text, piece.opener, claim)
        or ("hedged" if unsure else QUALIFIES)
    )


def _says_nothing(text: str) -> bool:
    """Framing words ("most likely", "final diagnosis", "95 %"), "a rare disease", or a code."""
    words = words_of(text)
    if len(words) > 1 and words[-1] in wording.HEADS and wording.GENERAL.issuperset(words[:-1]):
        return True
    if wording.RANK.issuperset(words[:-1]) and words[1:] == ["1"]:
        return True
    empty = wording.FRAME if wording.SURENESS.intersection(words) else wording.EMPTY
    return text.startswith("code:") or empty.issuperset(words_of(wording.SHARE.sub("", text)))


def _by_name(text: str, claim: str, explaining: bool, truth: Truth) -> str:
    """What the piece says where it is a name: of the claim's disease, of a kind of it, or of another."""
    first, _, rest = text.partition(" ")
    if truth.same(rest) if first.lower() in ("or", "and") else truth.covers(text):
        return REPEATS
    if wording.HEADS.issuperset(words_of(text)) or truth.known(f"{claim} {text}"):
        return QUALIFIES
    if alias := wording.ALIAS.match(text):
        return ANOTHER if _known_apart(text[alias.end() :], truth) else REPEATS
    return ANOTHER if truth.known(text) and not explaining else ""


def _known_apart(name: str, truth: Truth) -> bool:
    """Whether the nomenclature holds both names, as different diseases; else a stated synonym is believed."""
    return truth.known(name) and not truth.covers(name) and any(map(truth.known, truth.accepted))


def _by_turn(text: str, truth: Truth) -> str:
    """The reason to refuse where words contrast, or make the disease only alike."""
    if wording.CONTRASTS.intersection(words_of(text)):
        return "hedged"
    return turned(text, truth.accepted, ("only alike",))


def _by_explanation(text: str, explaining: bool, truth: Truth) -> str:
    """An explanation is let pass unless it denies, speaks of a relative, or names another disease. "Supported by
    the family history" passes; "in the brother" and "family history" do not."""
    words = words_of(text)
    if wording.ADDS.intersection(words[1:2]):
        return ANOTHER
    elsewhere = turned(text, truth.accepted, ("not the patient's",))
    if not (explaining or words[0] in wording.EXPLAINS or _evident(text, words)):
        return elsewhere
    if words[0] in ("is", "was", "are") and not _affirms(words, explaining):
        return "denied"
    if words[0] == "in" and elsewhere:
        return elsewhere
    return ANOTHER if _names_another(text, words, truth) else EXPLAINS


def _affirms(words: Sequence[str], explaining: bool) -> bool:
    """Whether "is ..." leaves the claim standing: "is the diagnosis", "is an inherited disorder", and behind another
    explanation "(genetic testing) is recommended"."""
    described = words[1:2] in (["a"], ["an"]) and words[-1] in wording.HEADS
    return described or not (wording.FOLLOWS_UP if explaining else wording.AFFIRMS).isdisjoint(words)


def _by_join(text: str, truth: Truth) -> str:
    """ "and" adds a second disease; "with" and "due to" may belong to a name, unless they bring another's."""
    words = words_of(text)
    if words[0] not in wording.JOINS:
        return ""
    if (
        words[0] == "with"
        and len(words) < 5
        and words[-1] in wording.PICTURE
        and wording.TYPICAL.issuperset(words[1:-1])
    ):
        return EXPLAINS
    return ANOTHER if words[0] in ("and", "plus") or _names_another(text, words, truth) else QUALIFIES


def _by_kind(text: str, opener: str, claim: str) -> str:
    """By its look alone: a disease word, or an abbreviation that is not the claim's (in brackets the matcher
    judges it)."""
    if any(map(names_disease, words_of(text))):
        return ANOTHER
    if is_short(text) and opener not in ("(", "["):
        return REPEATS if abbreviates(text, claim) else ANOTHER
    return ""


def announces(text: str) -> bool:
    """Whether a piece announces reasons or findings ("key findings", "reasoning")."""
    words = words_of(text)
    return words[-1:] != [] and (words[-1] in wording.PICTURE or words[-1] in wording.REASONS)


def says_which(text: str) -> bool:
    """Whether a piece holds a type number, a letter or the like: it qualifies the claim wherever it stands."""
    return any(guards.axis(word) in KINDS for word in analyse(text).words)


def is_short(text: str) -> bool:
    """An abbreviation: capitals and digits, and short; no whole name in capitals, nor a capitalised one."""
    return is_abbreviation(text) and not _LONG_WORD.search(text)


def abbreviates(text: str, name: str) -> bool:
    """Whether a text is an abbreviation made of the name's letters ("MFS" of "Marfan syndrome")."""
    letters = "".join(sign for sign in text.lower() if sign.isalpha())
    return is_short(text) and spells(letters, [word for word in analyse(name).words if word.isalpha()])


def turned(text: str, accepted: Sequence[str], reasons: Iterable[str] = tuple(wording.TURNS)) -> str:
    """The reason that the words of ``text`` give to refuse it, beyond those that an accepted name holds."""
    words = Counter(words_of(text))
    held = [Counter(words_of(plain(name))) for name in accepted]
    for reason in reasons:
        turning = Counter({word: count for word, count in words.items() if word in wording.TURNS[reason]})
        if all(turning - name for name in held):
            return reason
    return ""


def _evident(text: str, words: Sequence[str]) -> bool:
    """Whether a piece speaks of evidence ("FBN1 variant", "presence of ectopia lentis")."""
    return bool(wording.EVIDENCE.intersection(words) or ("variant" in words and _GENE.search(text)))


def _names_another(text: str, words: Sequence[str], truth: Truth) -> bool:
    """Whether an explanation names another disease: "... Ehlers-Danlos syndrome" (but not "this disorder"), or
    "has achondroplasia too"."""
    if wording.HAS_TOO.intersection(words) and not _ends_with(text, truth.covers):
        return any(map(names_disease, words)) or _ends_with(text, truth.known)
    tokens = text.split()
    if any(token[0].isupper() and names_disease(token.lower()) and not truth.covers(token) for token in tokens[1:]):
        return not _ends_with(text, truth.covers)
    if words[0] == "complicated" and truth.known(behind(text, len("complicated by"))):
        return True
    heads = [at for at, token in enumerate(tokens) if at and token.strip(".,'\"").lower() in wording.HEADS]
    return any(_other_head(tokens, at, truth) for at in heads)


def _other_head(tokens: Sequence[str], at: int, truth: Truth) -> bool:
    """Whether the phrase that ends with the head noun ``tokens[at]`` is a name, and not the true disease's."""
    phrase = " ".join(tokens[max(0, at - MAX_PHRASE) : at + 1])
    if tokens[at - 1].lower() in wording.GENERAL or _ends_with(phrase, truth.covers):
        return False
    return tokens[at - 1][0].isupper() or _ends_with(phrase, truth.known)


def _ends_with(text: str, names: Callable[[str], bool]) -> bool:
    """Whether the last words of a text (two at least) are a name."""
    tokens = text.split()
    starts = range(max(0, len(tokens) - MAX_PHRASE - 1), len(tokens) - 1)
    return any(names(" ".join(tokens[start:])) for start in starts)
