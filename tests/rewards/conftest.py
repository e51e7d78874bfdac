"""Real disease names, and rewards with and without a nomenclature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from diagnosis_zero.nomenclature.sources import hpo
from diagnosis_zero.rewards import build_reward
from diagnosis_zero.types import RewardFn


@pytest.fixture(scope="session")
def hpo_diseases() -> list[tuple[str, str]]:
    """(identifier, name) of every disease of the HPO annotations, in a fixed order."""
    lines = hpo.packaged().read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines if line.startswith(("OMIM:", "ORPHA:")))
    return sorted({row[0]: row[1] for row in rows}.items())


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache folder, for the time of the tests: the default catalogue is built there once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def reward_with(cache_folder: Path) -> Callable[[str | None], RewardFn]:
    """A reward by meaning: ``reward_with("default")`` with HPO's diseases, ``reward_with(None)`` without."""
    built: dict[str | None, RewardFn] = {}

    def reward(catalogue: str | None) -> RewardFn:
        if catalogue not in built:
            built[catalogue] = build_reward(catalogue=catalogue)
        return built[catalogue]

    return reward
