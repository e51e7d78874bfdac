"""Every reader on a file in its source's layout, made up here, and on what can be wrong with such a file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.facts import Below, Evidence, Grouping, Linked, Named, Scope
from diagnosis_zero.nomenclature.sources import READERS, hpo

EXACT, XREF = Evidence.EXACT_MATCH, Evidence.CROSS_REFERENCE

PRODUCT_1 = """<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment with <Disorder> in it -->
<JDBOR date="2031-01-01"><DisorderList count="2">
<Disorder id="17"><OrphaCode>901</OrphaCode><Name lang="en">Vasconi syndrome &amp; ataxia</Name>
 <SynonymList count="2"><Synonym lang="en">VSA</Synonym><Synonym lang="en">Brannik disease</Synonym></SynonymList>
 <DisorderType id="21394"><Name lang="en">Disease</Name></DisorderType>
 <DisorderGroup id="36547"><Name lang="en">Disorder</Name></DisorderGroup>
 <ExternalReferenceList count="3">
  <ExternalReference id="1"><Source>OMIM</Source><Reference>700001</Reference>
   <DisorderMappingRelation id="1"><Name lang="en">E (Exact mapping: the two concepts are equivalent)</Name>
   </DisorderMappingRelation></ExternalReference>
  <ExternalReference id="2"><Source>OMIM</Source><Reference>700002</Reference>
   <DisorderMappingRelation id="2"><Name lang="en">BTNT (ORPHAcode's broader term)</Name>
   </DisorderMappingRelation></ExternalReference>
  <ExternalReference id="3"><Source>UMLS</Source><Reference>C01</Reference>
   <DisorderMappingRelation id="1"><Name lang="en">E (Exact mapping)</Name></DisorderMappingRelation>
  </ExternalReference></ExternalReferenceList></Disorder>
<Disorder id="18"><OrphaCode>902</OrphaCode><Name lang="en">Group of ataxias</Name>
 <DisorderGroup id="3"><Name lang="en">Group of disorders</Name></DisorderGroup></Disorder>
</DisorderList></JDBOR>"""

PRODUCT_3 = """<JDBOR><ClassificationList count="1"><Classification id="1"><OrphaNumber>156</OrphaNumber>
<Name lang="en">A classification</Name><ClassificationNodeRootList count="1"><ClassificationNode>
<Disorder id="1"><OrphaCode>10</OrphaCode><Name lang="en">Rare disease</Name>
 <DisorderType id="3"><Name lang="en">Category</Name></DisorderType></Disorder>
<ClassificationNodeChildList count="2">
 <ClassificationNode><Disorder id="2"><OrphaCode>11</OrphaCode><Name lang="en">First</Name></Disorder>
  <ClassificationNodeChildList count="1"><ClassificationNode>
   <Disorder id="3"><OrphaCode>12</OrphaCode><Name lang="en">Under the first</Name></Disorder>
   <ClassificationNodeChildList count="0"></ClassificationNodeChildList></ClassificationNode>
  </ClassificationNodeChildList></ClassificationNode>
 <ClassificationNode><Disorder id="4"><OrphaCode>13</OrphaCode><Name lang="en">Second</Name></Disorder>
  <ClassificationNodeChildList count="0"></ClassificationNodeChildList></ClassificationNode>
</ClassificationNodeChildList></ClassificationNode></ClassificationNodeRootList></Classification>
</ClassificationList></JDBOR>"""

OBO = r"""format-version: 1.2

[Term]
id: DOID:1
name: Vasconi syndrome \(skin\)
synonym: "VS" EXACT OMO:0003012 []
synonym: "old VS" EXACT [] {synonymtypedef="acronym"}
synonym: "Brannik \"dry\" disease" EXACT []
synonym: "skin disease" BROAD []
xref: MIM:700001
xref: MIM:PS700000
xref: UMLS_CUI:C01
is_a: DOID:2 ! skin disease

[Term]
id: MONDO:5
name: gathered
xref: Orphanet:901 {source="MONDO:equivalentTo"}
xref: OMIM:700009 {source="MONDO:relatedTo"}

[Term]
id: DOID:3
name: gone
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""

SSSOM = (
    "# curie_map:\n#   MONDO: x\nsubject_id\tsubject_label\tpredicate_id\tobject_id\tobject_label\n"
    "MONDO:5\tgathered\tskos:exactMatch\tOrphanet:901\tVasconi syndrome\n"
    "MONDO:6\tobsolete thing\tskos:broadMatch\tOMIM:1\twide\n"
)

GRAPH = {
    "graphs": [
        {
            "nodes": [
                {
                    "id": "http://purl.obolibrary.org/obo/MONDO_0000005",
                    "lbl": "gathered",
                    "type": "CLASS",
                    "meta": {
                        "synonyms": [
                            {"pred": "hasExactSynonym", "val": "collected"},
                            {"pred": "hasExactSynonym", "val": "GTH", "synonymType": "http://x/mondo#ABBREVIATION"},
                            {"pred": "hasBroadSynonym", "val": "heap"},
                        ],
                        "xrefs": [{"val": "OMIM:700009"}],
                        "basicPropertyValues": [
                            {"pred": "http://www.w3.org/2004/02/skos/core#exactMatch", "val": "Orphanet:901"}
                        ],
                    },
                },
                {"id": "MONDO:7", "lbl": "gone", "type": "CLASS", "meta": {"deprecated": True}},
            ],
            "edges": [{"sub": "MONDO:0000005", "pred": "is_a", "obj": "MONDO:0000001"}],
        }
    ]
}

HYPERNYMS = [
    {
        "Orphanetid": "901",
        "name": "Vasconi syndrome",
        "type": "Disease",
        "parents": [{"parent": "Skin disease", "parent_child_count": 2, "parent_disease_count": 4}],
    }
]

HPOA = (
    "#version: 2031-01-01\ndatabase_id\tdisease_name\thpo_id\n"
    "OMIM:1\tOne\tHP:1\nOMIM:1\tOne\tHP:2\nORPHA:2\tTwo\tHP:1\n"
)


def facts(tmp_path: Path, kind: str, text: str) -> list[object]:
    """The reader's facts, and the same from the gzipped file."""
    plain, packed = tmp_path / "plain", tmp_path / "packed.gz"
    plain.write_text(text, encoding="utf-8")
    packed.write_bytes(gzip.compress(text.encode()))
    found = list(READERS[kind](plain))
    assert list(READERS[kind](packed)) == found
    return found


def test_orphadata_product_1(tmp_path: Path) -> None:
    assert facts(tmp_path, "orphadata", PRODUCT_1) == [
        Named("ORPHA:901", "Vasconi syndrome & ataxia", Scope.PREFERRED),
        Named("ORPHA:901", "VSA", Scope.ABBREVIATION),
        Named("ORPHA:901", "Brannik disease", Scope.EXACT),
        Linked("ORPHA:901", "OMIM:700001", EXACT),
        Named("ORPHA:902", "Group of ataxias", Scope.PREFERRED),
        Grouping("ORPHA:902"),
    ]


def test_orphadata_product_3(tmp_path: Path) -> None:
    found = facts(tmp_path, "orphadata", PRODUCT_3)
    assert [fact for fact in found if isinstance(fact, Below)] == [
        Below("ORPHA:11", "ORPHA:10"),
        Below("ORPHA:12", "ORPHA:11"),
        Below("ORPHA:13", "ORPHA:10"),
    ]
    assert Grouping("ORPHA:10") in found


def test_obo(tmp_path: Path) -> None:
    assert facts(tmp_path, "obo", OBO) == [
        Named("DOID:1", "Vasconi syndrome (skin)", Scope.PREFERRED),
        Named("DOID:1", "VS", Scope.ABBREVIATION),
        Named("DOID:1", "old VS", Scope.ABBREVIATION),
        Named("DOID:1", 'Brannik "dry" disease', Scope.EXACT),
        Named("DOID:1", "skin disease", Scope.BROAD),
        Linked("DOID:1", "OMIM:700001", XREF),
        Below("DOID:1", "DOID:2"),
        Named("MONDO:5", "gathered", Scope.PREFERRED),
        Linked("MONDO:5", "ORPHA:901", EXACT),
    ]


def test_obographs(tmp_path: Path) -> None:
    assert facts(tmp_path, "obographs", json.dumps(GRAPH)) == [
        Named("MONDO:0000005", "gathered", Scope.PREFERRED),
        Named("MONDO:0000005", "collected", Scope.EXACT),
        Named("MONDO:0000005", "GTH", Scope.ABBREVIATION),
        Named("MONDO:0000005", "heap", Scope.BROAD),
        Linked("MONDO:0000005", "ORPHA:901", EXACT),
        Below("MONDO:0000005", "MONDO:0000001"),
    ]


def test_sssom_keeps_exact_matches_and_living_labels(tmp_path: Path) -> None:
    assert facts(tmp_path, "sssom", SSSOM) == [
        Named("MONDO:5", "gathered", Scope.EXACT),
        Named("ORPHA:901", "Vasconi syndrome", Scope.EXACT),
        Linked("MONDO:5", "ORPHA:901", EXACT),
        Named("OMIM:1", "wide", Scope.EXACT),
    ]


def test_orphanet_hypernyms(tmp_path: Path) -> None:
    assert facts(tmp_path, "orphanet-hypernyms", json.dumps(HYPERNYMS)) == [
        Named("ORPHA:901", "Vasconi syndrome", Scope.PREFERRED),
        Below("ORPHA:901", "Skin disease", 4, parent_is_name=True),
    ]


def test_hpo_annotations(tmp_path: Path) -> None:
    assert facts(tmp_path, "hpo", HPOA) == [
        Named("OMIM:1", "One", Scope.PREFERRED),
        Named("ORPHA:2", "Two", Scope.PREFERRED),
    ]
    assert hpo.version(tmp_path / "plain") == "2031-01-01"


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><JDBOR><DisorderList>&b;</DisorderList></JDBOR>'


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("orphadata", "<!--" + " " * 9000 + "-->" + BOMB, "document type"),
        ("orphadata", PRODUCT_1[:700], "not well-formed XML"),
        ("orphadata", "<JDBOR></JDBOR>", "no Disorder"),
        ("orphadata", "", "not well-formed XML"),
        ("obo", "format-version: 1.2\n", "no [Term]"),
        ("obographs", "[]", "no 'graphs'"),
        ("obographs", "{", "not JSON"),
        ("sssom", "a\tb\n1\t2\n", "no column 'subject_id'"),
        ("sssom", "# only metadata\n", "no header line"),
        ("sssom", SSSOM + "MONDO:9\n", ":6"),
        ("orphanet-hypernyms", '[{"Orphanetid": "1"}]', "object 1"),
        ("orphanet-hypernyms", "{}", "list of diseases"),
        ("hpo", "x\ty\n", "phenotype.hpoa"),
    ],
)
def test_a_wrong_file_is_told_what_and_where(tmp_path: Path, kind: str, text: str, says: str) -> None:
    path = tmp_path / "wrong"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        list(READERS[kind](path))
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_torn_gzip_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "torn.obo.gz"
    path.write_bytes(gzip.compress(OBO.encode() * 200)[:-40])
    with pytest.raises(InputError, match="torn gzip"):
        list(READERS["obo"](path))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(READERS["sssom"](tmp_path / "none"))
