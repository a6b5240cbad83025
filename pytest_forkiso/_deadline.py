"""When a child has taken too long: for its first sign of life, for its test, or for its end."""

from __future__ import annotations

import time


class Deadline:
    """The time by which something is expected of a child; all times are of the monotonic clock.

    Attributes:
        timeout: Seconds that the user gives the test; None for ever.
        alive_timeout: Seconds after which the test must have begun.
        words: How another plugin says that its limit has passed, where that comes before ours; else empty.
    """

    def __init__(self) -> None:
        """Expect nothing."""
        self.timeout: float | None = None
        self.alive_timeout = 0.0
        self.words = ""
        self._began = 0.0
        self._at: float | None = None
        self._alive_by: float | None = None
        self._remaining: float | None = None  # while it stands still
        self._status_by: float | None = None

    def begin(self, timeout: float | None, alive_timeout: float) -> float:
        """Begin the time of a test; give when that was."""
        self._began = time.monotonic()
        self.timeout, self.alive_timeout = timeout, alive_timeout
        self._at = self._ours()
        self._alive_by = self._began + alive_timeout
        return self._began

    def _ours(self) -> float | None:
        return None if self.timeout is None else self._began + self.timeout

    def note_life(self) -> None:
        """Take note that the test has begun."""
        self._alive_by = None

    def renew_life(self) -> None:
        """Give it the whole time for a first sign of life once more, if there was none yet."""
        if self._alive_by is not None:
            self._alive_by = time.monotonic() + self.alive_timeout

    def expect_status(self, seconds: float) -> None:
        """Expect to hear within so many seconds that it has ended, as it seems to have; there is no other limit."""
        self._status_by = time.monotonic() + seconds

    def lacks_status(self) -> bool:
        """Tell whether the time in which its end should have been heard of has passed."""
        return self._status_by is not None and time.monotonic() >= self._status_by

    def share(self, seconds: float | None, words: str) -> None:
        """Keep the limit that another plugin has set in the child, or ours if that is earlier.

        Args:
            seconds: From now; None where the other plugin has taken it back.
            words: How that plugin says that it has passed.
        """
        ours = self._ours()
        theirs = None if seconds is None else time.monotonic() + seconds
        self.words = words if theirs is not None and (ours is None or theirs < ours) else ""
        self._at = theirs if self.words else ours

    def pause(self) -> None:
        """Stand still, while a debugger runs."""
        if self._at is not None:
            self._remaining = self._at - time.monotonic()
            self._at = None

    def resume(self) -> None:
        """Go on after `pause`."""
        if self._remaining is not None:
            self._at = time.monotonic() + self._remaining
            self._remaining = None

    def set(self, seconds: float | None) -> None:
        """Expect the next thing within so many seconds; None for no limit."""
        self._at = None if seconds is None else time.monotonic() + seconds

    def clear(self) -> None:
        """Expect nothing more."""
        self._at = self._alive_by = None

    def lacks_life(self) -> bool:
        """Tell whether the time for a first sign of life has passed without one."""
        return self._alive_by is not None and time.monotonic() >= self._alive_by

    def seconds_left(self) -> float | None:
        """Give the seconds that are left, 0.0 when it has passed; None for ever."""
        limits = [each for each in (self._at, self._alive_by, self._status_by) if each is not None]
        return max(0.0, min(limits) - time.monotonic()) if limits else None
