"""Files are as private as the user's other files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from diagnosis_zero.records import atomic_write


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644)])
def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "cases.jsonl") as handle:
            handle.write("{}\n")
        assert (tmp_path / "cases.jsonl").stat().st_mode & 0o777 == mode
    finally:
        assert os.umask(before) == umask
