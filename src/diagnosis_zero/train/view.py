"""What a person sees while a run goes on: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table

from diagnosis_zero.types import Group

SHOWN = {
    "reward/mean": "reward",
    "reward/accuracy": "accuracy",
    "reward/format": "format",
    "format/well_formed": "well formed",
    "length/mean": "tokens",
    "groups/zero_variance": "silent groups",
}
"""Metrics of the live view, with their headings."""


@dataclass(slots=True)
class View:
    """Shows the progress of a run. ``plain_every`` is how often a step is printed where there is no terminal."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    plain_every: int = 10
    _live: Live | None = None
    _began: float = 0.0
    _first: int = 0

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False)

    def begin(self, step: int) -> None:
        """Steps are counted from here for the estimate of the time left."""
        self._began, self._first = time.monotonic(), step
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """One finished step."""
        if self._live is not None:
            self._live.update(self._table(step, total, metrics))
        elif step % self.plain_every == 0 or step == total:
            shown = "  ".join(f"{name} {metrics[key]:.3g}" for key, name in SHOWN.items() if key in metrics)
            self.say(f"step {step}/{total}  {shown}  {self._left(step, total)} left")

    def completion(self, step: int, group: Group) -> None:
        """One completion as the policy wrote it, with what it earned. Its text is the model's: control characters,
        which a terminal would obey, are shown as the replacement character."""
        reward, text = group.rewards[0], group.completions[0].text
        parts = ", ".join(f"{name} {value:.3g}" for name, value in reward.parts.items() if value)
        earned = f"score {reward.score:.3g} ({parts})" if parts else f"score {reward.score:.3g}"
        self.say(f"step {step}, case {group.case.id} ({group.case.names[0]}): {earned}")
        self.say("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))

    def end(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def batches(self, total: int) -> Callable[[int, float], None]:
        """A callback for the warm start: (batch, loss)."""

        def show(batch: int, loss: float) -> None:
            if batch % max(1, total // 5) == 0:
                self.say(f"  batch {batch}/{total}  loss {loss:.3f}")

        return show

    def _table(self, step: int, total: int, metrics: Mapping[str, float]) -> Table:
        keys = [key for key in SHOWN if key in metrics]
        table = Table(title=f"step {step}/{total}, {self._left(step, total)} left")
        for key in keys:
            table.add_column(SHOWN[key], justify="right")
        table.add_row(*(f"{metrics[key]:.3g}" for key in keys))
        return table

    def _left(self, step: int, total: int) -> str:
        seconds = (time.monotonic() - self._began) / max(1, step - self._first) * (total - step)
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
