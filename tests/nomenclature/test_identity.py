from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.nomenclature.facts import Evidence, Linked, authority, curie
from diagnosis_zero.nomenclature.identity import clusters

EXACT, XREF = Evidence.EXACT_MATCH, Evidence.CROSS_REFERENCE


def groups(identifiers: list[str], links: list[Linked]) -> tuple[set[frozenset[str]], list[str]]:
    found, conflicts = clusters(identifiers, links)
    return {frozenset(i for i in found if found[i] == cluster) for cluster in found.values()}, conflicts


def test_exact_matches_merge_across_authorities() -> None:
    links = [Linked("MONDO:1", "ORPHA:1", EXACT), Linked("MONDO:1", "OMIM:1", EXACT)]
    assert groups(["MONDO:1", "ORPHA:1", "OMIM:1", "OMIM:2"], links) == (
        {frozenset({"MONDO:1", "ORPHA:1", "OMIM:1"}), frozenset({"OMIM:2"})},
        [],
    )


def test_a_group_referred_to_by_many_merges_none_of_them() -> None:
    """Types 2, 4 and 6 of a malformation all refer to the ORPHA number of the malformation itself."""
    links = [Linked(f"DOID:{n}", "ORPHA:35612", XREF) for n in (2, 4, 6)]
    links += [Linked(f"DOID:{n}", f"OMIM:{n}", XREF) for n in (2, 4, 6)]
    found, conflicts = groups(["ORPHA:35612", *(f"{a}:{n}" for a in ("DOID", "OMIM") for n in (2, 4, 6))], links)
    assert found == {frozenset({"ORPHA:35612"}), *(frozenset({f"DOID:{n}", f"OMIM:{n}"}) for n in (2, 4, 6))}
    assert conflicts == ["ORPHA:35612 has several cross-references: DOID:2, DOID:4, DOID:6"]


def test_one_disease_with_two_references_is_not_merged_with_either() -> None:
    links = [Linked("ORPHA:1", "OMIM:1", EXACT), Linked("ORPHA:1", "OMIM:2", EXACT)]
    found, conflicts = groups(["ORPHA:1", "OMIM:1", "OMIM:2"], links)
    assert len(found) == 3
    assert len(conflicts) == 1


def test_the_less_trusted_link_that_would_double_an_authority_is_dropped_and_told() -> None:
    links = [
        Linked("MONDO:1", "ORPHA:1", EXACT),
        Linked("MONDO:2", "DOID:1", EXACT),
        Linked("DOID:1", "ORPHA:1", XREF),
    ]
    found, conflicts = groups(["MONDO:1", "MONDO:2", "ORPHA:1", "DOID:1"], links)
    assert found == {frozenset({"MONDO:1", "ORPHA:1"}), frozenset({"MONDO:2", "DOID:1"})}
    assert conflicts == ["DOID:1 = ORPHA:1 (cross-references) would make one disease of MONDO:2 and MONDO:1"]


def test_links_to_unnamed_identifiers_merge_nothing() -> None:
    assert groups(["ORPHA:1"], [Linked("ORPHA:1", "OMIM:9", EXACT)]) == ({frozenset({"ORPHA:1"})}, [])


@given(
    st.lists(
        st.builds(
            lambda a, b, m, n, e: Linked(f"{a}:{m}", f"{b}:{n}", e),
            st.sampled_from(["ORPHA", "MONDO"]),
            st.sampled_from(["OMIM", "DOID"]),
            st.integers(1, 5),
            st.integers(1, 5),
            st.sampled_from([EXACT, XREF]),
        ),
        max_size=30,
    ),
    st.randoms(),
)
def test_no_cluster_counts_an_authority_twice_and_order_is_immaterial(links: list[Linked], random) -> None:
    identifiers = [f"{name}:{n}" for name in ("ORPHA", "MONDO", "OMIM", "DOID") for n in range(1, 6)]
    found, conflicts = groups(identifiers, links)
    for group in found:
        assert max(Counter(map(authority, group)).values()) == 1
    shuffled = list(links)
    random.shuffle(shuffled)
    assert groups(list(reversed(identifiers)), shuffled) == (found, conflicts)


def test_identifiers_have_one_spelling() -> None:
    assert {curie(text) for text in ("Orphanet:558", "ORDO:558", "ORPHA:558", "Orphanet_558")} == {"ORPHA:558"}
    assert curie("http://www.orpha.net/ORDO/Orphanet_558") == "ORPHA:558"
    assert curie("MIM:154700") == "OMIM:154700"
    assert authority(curie("MIM:PS154700")) == "OMIMPS"  # a phenotypic series is no disease
