"""The toy model of ``small_runs`` and the inputs of its runs, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.toy_runs import taught_policy, write_inputs

from diagnosis_zero.engine.model import Policy


@pytest.fixture(scope="session")
def toy_policy() -> Policy:
    """Half knows its four diseases; not to be trained further (the runs load a copy from ``toy_inputs``)."""
    return taught_policy()


@pytest.fixture(scope="session")
def toy_inputs(toy_policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds ``model`` and ``data``."""
    folder = tmp_path_factory.mktemp("toy")
    write_inputs(folder, toy_policy)
    return folder
