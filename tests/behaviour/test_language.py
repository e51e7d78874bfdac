import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis_zero.behaviour import lexicon
from diagnosis_zero.behaviour.language import Span, detect

SENTENCES = Path(__file__).parent / "sentences"
ENGLISH = (SENTENCES / "english.txt").read_text(encoding="utf-8").splitlines()
MIXED = [line.split("|", 1) for line in (SENTENCES / "mixed.txt").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module", autouse=True)
def _needs_lingua() -> None:
    pytest.importorskip("lingua", reason="lingua is not installed (extra eval)")


def test_the_sets_are_as_large_and_varied_as_they_claim() -> None:
    assert len(set(ENGLISH)) >= 300
    assert len({text for _, text in MIXED}) >= 300
    assert len({language for language, _ in MIXED}) >= 30


def test_clinical_english_is_not_mixed() -> None:
    wrong = [line for line in ENGLISH if detect(line).mixed]
    assert len(wrong) <= 0.02 * len(ENGLISH), wrong


def test_other_languages_are_found() -> None:
    missed = [pair for pair in MIXED if not detect(pair[1]).mixed]
    assert len(missed) <= 0.02 * len(MIXED), missed


def test_precision_over_both_sets() -> None:
    true = sum(detect(text).mixed for _, text in MIXED)
    false = sum(detect(line).mixed for line in ENGLISH)
    assert true / (true + false) >= 0.98


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "γ-globulin, β-thalassaemia, 5 µg, αβ and γδ T cells, Σ, Ω, ΔF508",
        "Ménétrier, Behçet, Sjögren, Löfgren, Köbner, São Paulo, Łódź, Nguyễn Văn Hùng",
        "situs inversus totalis, status epilepticus, lichen sclerosus et atrophicus",
        "café-au-lait, peau d'orange, torsades de pointes, folie à deux, cri du chat",
        "COL1A1 c.1138G>A p.Gly380Arg, 46,XY,del(22)(q11.2), HLA-B*27, IL7Rα",
        "39.4 °C, 12 µmol/L, Å, №, ², ½, →, ≥, ℃, 😀",
        "𝛼-galactosidase and ﬁbrosis",  # mathematical alphanumerics, a ligature
        "e\u0301panchement is written with a combining accent: Trénaunay",
    ],
)
def test_medicine_is_not_another_language(text: str) -> None:
    assert not detect(text).mixed


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("fever 发热 and rash", "zh"),
        ("fever がある", "ja"),
        ("fever 발열", "ko"),
        ("fever и лихорадка", "Cyrillic"),
        ("fever حمى", "Arabic"),
        ("πυρετός", "el"),
        ("She has Fieber und starke Schmerzen.", "de"),
        ("The patient tiene fiebre.", "es"),
    ],
)
def test_which_language(text: str, language: str) -> None:
    assert language in {span.language for span in detect(text).spans}


def test_where_it_stands_and_in_which_part() -> None:
    text = "<think>The patient 有发热。</think><answer>Wilson disease</answer> Le patient est une femme."
    mix = detect(text)
    assert [(text[s.start : s.end], s.language, s.part) for s in mix.spans] == [
        ("有发热", "zh", "think"),
        ("Le patient est une femme", "fr", "after"),
    ]


def test_reasoning_that_the_template_opened_is_reasoning() -> None:
    assert detect("有发热</think><answer>x</answer>").spans[0].part == "before"
    assert detect("有发热</think><answer>x</answer>", think_opened=True).spans[0].part == "think"


def test_share_is_of_the_letters() -> None:
    assert detect("abcd 发热发热 12, ").share == 0.5
    assert detect("发热").share == 1.0
    assert detect("fever").share == 0.0


def test_a_text_wholly_in_another_language_is_not_english() -> None:
    assert detect("Der Patient leidet an einer seltenen Krankheit und hat hohes Fieber.").share > 0.8


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_spans_in_order_inside_it(text: str) -> None:
    _assert_in_order_inside(text)


def _assert_in_order_inside(text: str) -> None:
    mix = detect(text)
    assert 0 <= mix.share <= 1
    places = [(span.start, span.end) for span in mix.spans]
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(end <= start for (_, end), (start, _) in pairwise(places))
    assert all(isinstance(span, Span) and text[span.start : span.end].strip() for span in mix.spans)


@pytest.mark.parametrize("text", ["\u1dedơ𤎠ờ\u18e3", "ă퓳÷☀ⴊ", "\u0900\u0901", "É🀄Œ\u1be4\u0823ƿư"])
def test_odd_mixtures_of_scripts(text: str) -> None:
    _assert_in_order_inside(text)


@pytest.mark.parametrize("piece", ["发", "<think>", "la de ", "é ", "a'", "quística ", "\u0301", "Ω", "x" * 50])
def test_time_grows_with_the_length_and_no_faster(piece: str) -> None:
    short, long = piece * 2_000, piece * 16_000
    detect(short)
    begun = time.process_time()
    detect(short)
    middle = time.process_time()
    detect(long)
    assert time.process_time() - middle < 40 * (middle - begun) + 1.0  # 8 times the text; quadratic would be 64


def test_no_word_that_gives_a_language_away_is_an_english_one() -> None:
    common = (
        "patient disease weakness because hospital admission examination history normal family brother sister mother "
        "father child adult weeks months years day night left right large small high low severe mild acute chronic "
        "pain fever rash cough blood urine liver kidney heart brain skin eye bone muscle nerve gene test result"
    )
    assert lexicon.telling().isdisjoint(common.split())


def test_the_word_lists_are_clean() -> None:
    for word, speaks in lexicon.markers().items():
        assert word == word.lower()
        assert re.fullmatch(r"\*?[^\W\d_]+'?", word), word
        assert speaks
