from __future__ import annotations

import multiprocessing
import pickle
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.build import build
from diagnosis_zero.nomenclature.catalogue import Catalogue, default_catalogue
from diagnosis_zero.nomenclature.facts import Below, Fact, Grouping, Named, Scope
from diagnosis_zero.nomenclature.hierarchy import parents
from diagnosis_zero.nomenclature.index import Index, entry, pack
from diagnosis_zero.nomenclature.normalise import analyse
from diagnosis_zero.nomenclature.phrases import learn


def ids(catalogue: Catalogue, name: str) -> set[str]:
    return {catalogue.entry(number).id for number in catalogue.find(name).entries}


def test_a_name_is_found_however_it_is_written(catalogue: Catalogue) -> None:
    for name in ("Vasconi syndrome type 2", "VASCONI SYNDROME, TYPE II", "Brannik's Disease", "KDS"):
        assert ids(catalogue, name) == {"ORPHA:102"}
    found = catalogue.entry(catalogue.identified("Orphanet:102") or 0)
    assert found.ids == ("OMIM:700002", "ORPHA:102")
    assert found.name == "Vasconi syndrome type 2"


def test_related_broad_and_narrow_synonyms_are_kept_apart(catalogue: Catalogue) -> None:
    assert not catalogue.find("wool hair")
    number = catalogue.identified("OMIM:700002") or 0
    assert catalogue.names(number)["related"] == ["wool hair"]


def test_a_name_of_two_diseases_is_ambiguous(catalogue: Catalogue) -> None:
    assert catalogue.find("JTA").ambiguous
    assert ids(catalogue, "JTA") == {"ORPHA:300", "ORPHA:301"}
    assert not catalogue.find("KDS").ambiguous


def test_the_class_noun_is_dropped_only_where_it_cannot_matter(catalogue: Catalogue) -> None:
    assert ids(catalogue, "Pellworm disease") == {"ORPHA:200"}
    assert ids(catalogue, "Pellworm syndrome") == {"ORPHA:201"}
    assert catalogue.find("Pellworm").ambiguous
    assert ids(catalogue, "Brannik syndrome") == {"ORPHA:102"}


def test_parents_by_the_number_of_their_diseases(catalogue: Catalogue) -> None:
    found = catalogue.entry(catalogue.identified("ORPHA:101") or 0)
    assert {catalogue.entry(number).name for number in found.accepted_parents} == {"Vasconi syndrome"}
    assert {catalogue.entry(number).name for number in found.broad_parents} == {"Rare skin disease"}


def test_diseases_under_a_parent_are_counted_where_no_source_counts_them() -> None:
    """A group (1) over a disease (2), a subgroup (3) of two diseases (4, 5), and 5 again: three diseases."""
    below = [Below(*edge) for edge in (("2", "1"), ("3", "1"), ("4", "3"), ("5", "3"), ("5", "1"))]
    entry_of = {str(number): number for number in range(1, 6)}
    counted = {(child, parent): size for child, parent, size in parents(below, entry_of, {1, 3})}
    assert counted == {(2, 1): 3, (3, 1): 3, (5, 1): 3, (4, 3): 2, (5, 3): 2}


def test_a_stated_count_wins_and_a_cycle_ends() -> None:
    below = [Below("2", "1", 40), Below("2", "3"), Below("3", "4"), Below("4", "3")]
    found = parents(below, {str(number): number for number in range(1, 5)}, set())
    assert (2, 1, 40) in found
    assert not [row for row in found if row[:2] == (2, 3)]


def test_phrases_are_learned_and_refuted() -> None:
    names = {
        n: [analyse(f"deafness {tail}"), analyse(f"cophosis {tail}")]
        for n, tail in enumerate(("alpha blocking", "of Arbon", "with gout"))
    }
    assert learn(names) == [("cophosis", "deafness", 3)]
    names[7] = [analyse("deafness of Iria")]
    names[8] = [analyse("cophosis of Iria")]  # here the exchange leads to another disease
    assert learn(names) == []
    numbered = {n: [analyse(f"ataxia {n} type 1"), analyse(f"ataxia {n} type 2")] for n in (11, 12, 13)}
    assert learn(numbered) == []


def test_the_catalogue_teaches_its_phrases(catalogue: Catalogue) -> None:
    assert ("cophosis",) in catalogue.partners(("deafness",))
    assert ("loss", "hearing") not in catalogue.partners(("deafness",))
    assert ("hearing", "loss") in catalogue.partners(("deafness",))  # built in


def test_an_index_gives_back_what_was_packed() -> None:
    first = entry(1, "ORPHA:1", "Gout", ["OMIM:1", "ORPHA:1"], ([2], []))
    second = entry(2, "ORPHA:2", "Joint disease,\tall\nof it", ["ORPHA:2"], ([], [1]))
    said = {"gout": [(1, "ORPHA", 0), (1, "OMIM", 1)], "jd": [(2, "ORPHA", 2), (1, "OMIM", 0)]}
    index = Index(pack(said, [first, second]))
    assert index.entry(1) == first
    assert index.entry(1).ids == ("OMIM:1", "ORPHA:1")
    assert index.entry(2).name == "Joint disease, all of it"
    assert index.entry(2).broad_parents == {1}
    assert set(index.meaning("gout").said) == set(said["gout"])
    assert index.meaning("gout").entries == {1}
    assert index.meaning("jd").entries == {1, 2}
    assert not index.meaning("go")
    assert not Index(pack({}, [first])).meaning("")
    many = {f"disease {number}": [(1, "ORPHA", number)] for number in range(100)}
    full = Index(pack(many, [first]))
    assert all(full.meaning(key).said == tuple(rows) for key, rows in many.items())
    assert not full.meaning("disease 100")
    assert not full.meaning("disease")


def test_what_names_begin_with(catalogue: Catalogue) -> None:
    assert catalogue.begins("Vasconi syn")
    assert not catalogue.begins("Vasconi sym")
    assert not catalogue.begins("-")
    assert {catalogue.entry(number).id for number in catalogue.beginning("Pellworm")} == {"ORPHA:200", "ORPHA:201"}
    assert not catalogue.beginning("?")


def test_names_are_kept_as_they_were_taken_apart(catalogue: Catalogue) -> None:
    number = catalogue.identified("OMIM:700002") or 0
    texts = [text for scope in ("preferred", "exact", "abbreviation") for text in catalogue.names(number)[scope]]
    assert set(catalogue.meaning_names(number)) == set(map(analyse, texts))


def test_building_twice_gives_one_content(tmp_path: Path, catalogue: Catalogue, facts: list[Fact]) -> None:
    def dump(path: Path) -> list[str]:
        with sqlite3.connect(path) as database:
            return list(database.iterdump())

    again = tmp_path / "again.sqlite"
    build(reversed(facts), again)
    assert dump(again) == dump(catalogue.path)


def test_a_failed_build_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    build([Named("ORPHA:1", "Gout", Scope.PREFERRED)], path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="name no disease"):
        build([Grouping("ORPHA:1")], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_files_are_told(tmp_path: Path, catalogue: Catalogue) -> None:
    torn, other, text = tmp_path / "torn", tmp_path / "other", tmp_path / "text"
    torn.write_bytes(catalogue.path.read_bytes()[:-512])
    text.write_text("not a database " * 20)
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t(x)")
    for path, says in (
        (torn, "torn catalogue"),
        (other, "not a catalogue"),
        (text, "not a catalogue"),
        (tmp_path / "none", "no such catalogue"),
    ):
        with pytest.raises(InputError, match=says):
            Catalogue.open(path)


def test_another_schema_is_told(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "old.sqlite"
    shutil.copy(catalogue.path, path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=999")
    with pytest.raises(InputError, match="schema 999"):
        Catalogue.open(path)


def _look_up(catalogue: Catalogue, name: str) -> int:
    return len(catalogue.find(name).entries)


def test_it_is_shared_by_threads_processes_and_pickle(catalogue: Catalogue) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(_look_up(catalogue, "KDS"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 12
    assert _look_up(pickle.loads(pickle.dumps(catalogue)), "KDS") == 1
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_look_up, (catalogue, "KDS")) == 1


def test_opened_read_only(catalogue: Catalogue) -> None:
    before = catalogue.path.stat()
    catalogue.find("Vasconi syndrome type 3")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        catalogue._rows("DELETE FROM name WHERE text != ?", "")
    assert catalogue.path.stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in catalogue.path.parent.iterdir()] == [catalogue.path.name]


@pytest.mark.slow
def test_the_default_catalogue_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = default_catalogue()
    made = first.path.stat().st_mtime_ns
    assert first.path.is_relative_to(tmp_path)
    assert ids(first, "Marfan syndrome") == {"OMIM:154700", "ORPHA:558"}
    assert default_catalogue().path.stat().st_mtime_ns == made
