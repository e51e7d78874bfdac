"""A folder appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosis_zero.cases.folder import appearing
from diagnosis_zero.errors import InputError


def fill(folder: Path, content: str = "new") -> None:
    (folder / "cases.jsonl").write_text(content)
    (folder / "manifest.json").write_text(content)


def fill_and_stop(out: Path, stop: type[BaseException], overwrite: bool = False) -> None:
    with appearing(out, overwrite) as aside:
        fill(aside)
        raise stop


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    with appearing(tmp_path / "a" / "out") as aside:
        fill(aside)
        assert not (tmp_path / "a" / "out").exists()
    assert names(tmp_path / "a") == ["out"]
    assert names(tmp_path / "a" / "out") == ["cases.jsonl", "manifest.json"]


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_when_it_ends_badly(tmp_path: Path, stop: type[BaseException]) -> None:
    with pytest.raises(stop):
        fill_and_stop(tmp_path / "a" / "b" / "out", stop)
    assert names(tmp_path) == []


def test_an_older_data_folder_is_replaced_only_when_told_and_only_by_a_whole_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with appearing(out) as aside:
        fill(aside, "old")
    with pytest.raises(InputError, match="add --overwrite to replace it"), appearing(out) as aside:
        fill(aside)
    with pytest.raises(KeyboardInterrupt):
        fill_and_stop(out, KeyboardInterrupt, overwrite=True)
    assert (out / "cases.jsonl").read_text() == "old"
    with appearing(out, overwrite=True) as aside:
        fill(aside)
    assert (out / "cases.jsonl").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_what_is_no_data_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("")
    for name in ("thesis", "file"):
        with pytest.raises(InputError, match="never replaced"), appearing(tmp_path / name, overwrite=True):
            pytest.fail("must not get here")
    assert names(tmp_path / "thesis") == ["chapter.tex"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with appearing(tmp_path / "out") as aside:
        fill(aside)
    assert names(tmp_path) == ["out"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with appearing(tmp_path / "link") as aside:
        fill(aside)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "disk") == ["cases.jsonl", "manifest.json"]


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written to"), appearing(tmp_path / "file" / "out"):
        pytest.fail("must not get here")
