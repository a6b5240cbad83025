"""Which test starts next: in the order of collection, but for long ones that all would wait for at the end."""

from __future__ import annotations

import bisect
import dataclasses
from collections import deque
from typing import TYPE_CHECKING

from pytest_forkiso._reruns import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pytest

    from pytest_forkiso._reruns import Attempt
    from pytest_forkiso._run import ForkedRun

_ROUNDS = 8
"""How many rounds of long tests, one for each job, are looked at."""


@dataclasses.dataclass(eq=False)
class Turn:
    """A test that waits for its turn.

    Attributes:
        item: The test.
        attempt: What is known of earlier ones.
        run: Its child, where it was started before its turn.
    """

    item: pytest.Item
    attempt: Attempt = FIRST
    run: ForkedRun | None = None


class StartOrder:
    """The tests that wait for their turn."""

    def __init__(self, jobs: int, seconds: Mapping[str, float], short: float) -> None:
        """Begin with no test.

        Args:
            jobs: Tests that run at a time.
            seconds: By node id, what long tests took the last time.
            short: Seconds that any other test takes.
        """
        self._jobs = jobs
        self._seconds = dict(seconds)
        self._short = short
        self._turns: deque[Turn] = deque()
        self._early = 0  # of them
        self._long: list[Turn] = []  # not started; the longest is last
        self._remaining = 0.0  # of the long ones

    def __len__(self) -> int:
        """Count the tests that are not started."""
        return len(self._turns) - self._early

    def extend(self, items: Iterable[pytest.Item]) -> None:
        """Add tests, in the order of their turns."""
        turns = [Turn(item) for item in items]
        self._turns.extend(turns)
        if self._jobs > 1:
            self._long += [turn for turn in turns if turn.item.nodeid in self._seconds]
            self._long.sort(key=self._length)
            self._remaining = sum(map(self._length, self._long))

    def again(self, item: pytest.Item, attempt: Attempt) -> None:
        """Have a test run once more, next of all."""
        self._turns.appendleft(Turn(item, attempt))

    def started(self) -> list[ForkedRun]:
        """Take those whose turn has come and that were started before."""
        runs = []
        while self._turns and self._turns[0].run is not None:
            runs.append(self._turns[0].run)
            self._turns.popleft()
            self._early -= 1
        return runs

    def upcoming(self) -> Iterator[pytest.Item]:
        """Give the tests that are not started, in the order of their turns."""
        return (turn.item for turn in self._turns if turn.run is None)

    def choose(self) -> tuple[Turn, bool]:
        """Give a test to start, and whether it is its turn; if it is not, the caller sets its `run`.

        There must be one that is not started, and `started` must have been called.
        """
        if self._is_urgent():
            turn = self._long.pop()
            self._remaining -= self._length(turn)
            if turn is not self._turns[0]:
                self._early += 1
                return turn, False
            self._turns.popleft()
        else:
            turn = self._turns.popleft()
            self._forget_long(turn)
        return turn, True

    def drop(self) -> int:
        """Forget those that are not started, and count them."""
        count = len(self)
        self._turns = deque(turn for turn in self._turns if turn.run is not None)
        self._long.clear()
        self._remaining = 0.0
        return count

    def clear(self) -> None:
        """Forget all."""
        self._turns.clear()
        self._long.clear()
        self._early = 0

    def _length(self, turn: Turn) -> float:
        return self._seconds[turn.item.nodeid]

    def _forget_long(self, turn: Turn) -> None:
        seconds = self._seconds.get(turn.item.nodeid)
        if not self._long or seconds is None:
            return
        for index in range(bisect.bisect_left(self._long, seconds, key=self._length), len(self._long)):
            if self._long[index] is turn:
                del self._long[index]
                self._remaining -= seconds
                return

    def _is_urgent(self) -> bool:
        """Tell whether the longest tests, one after another in each job, take as long as all that is left would.

        Of more than k * jobs tests some job gets k + 1, so that these take that many times the shortest of them at
        the least: from then on, what is started before them comes on top, unless it is one of them.
        """
        left = self._remaining + self._short * (len(self) - len(self._long))
        # A rounded sum must not keep the last ones from being urgent.
        share = left / self._jobs * (1 - 1e-9)
        own = self._seconds.get(self._turns[0].item.nodeid, 0.0)
        for rounds in range(_ROUNDS):
            index = rounds * self._jobs
            if index >= len(self._long):
                break
            shortest = self._length(self._long[-1 - index])
            if own < shortest and (rounds + 1) * shortest >= share:
                return True
        return False
