"""The thread of a `forkcore.ForkExecutor`: gives calls to children, and takes their results.

It alone touches the template and the children; it sleeps in a selector until something happens.
"""

from __future__ import annotations

import selectors
import threading
import time

from forkcore import _executor_child
from forkcore._executor_calls import Call, Performer
from forkcore._executor_template import TITLE, TemplateKeeper
from forkcore.errors import ForkcoreError, TemplateDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from forkcore._executor_queue import CallQueue
    from forkcore._sync import Template
    from forkcore.sandbox import Sandbox

# How long the end of a killed child is waited for, where everything has gone wrong already.
_PATIENCE = 2.0


class Settings:
    """What a `ForkExecutor` was made with.

    Attributes:
        max_workers: How many children at a time, but for those that wait for calls.
        idle_workers: How many of these there are.
        idle_timeout: Seconds after which an idle child above that number ends; None for never.
        calls_per_child: After so many a child is replaced; None for never.
        initializer: The pickle of a call.
        preload: Modules to import in the template.
        sandbox: What each child may use and touch; None for everything.
        origin: What to fork the template from, borrowed; None for the default template.
    """

    def __init__(
        self,
        *,
        max_workers: int,
        idle_workers: int,
        idle_timeout: float | None,
        calls_per_child: int | None,
        initializer: bytes,
        preload: Sequence[str],
        origin: Template | None,
        sandbox: Sandbox | None,
    ) -> None:
        self.max_workers = max_workers
        self.idle_workers = idle_workers
        self.idle_timeout = idle_timeout
        self.calls_per_child = calls_per_child
        self.initializer = initializer
        self.preload = preload
        self.origin = origin
        self.sandbox = sandbox


class CallThread(threading.Thread):
    """Performs the calls of a queue, until that is closed and the last child has ended.

    By then all that it had opened is closed. It does not know the executor, which can be dropped.
    """

    def __init__(self, settings: Settings, queue: CallQueue) -> None:
        """Make the thread and, without waiting for it, the template.

        Args:
            settings: Of the executor.
            queue: Where the calls come from.

        Raises:
            OSError: EMFILE; or the default template cannot be made.
            ForkcoreError: The template of the settings is spent or gone.
        """
        # A daemon, so that it does not keep the program from its exit handlers.
        super().__init__(name=TITLE, daemon=True)
        self._settings = settings
        self._queue = queue
        self._performers: set[Performer] = set()
        self._idle: list[Performer] = []
        self._selector = selectors.DefaultSelector()
        try:
            self._selector.register(queue.listen(), selectors.EVENT_READ, queue.hear)
            self._keeper = TemplateKeeper(self._selector, settings.origin, settings.preload)
        except BaseException:
            queue.hang_up()
            self._selector.close()
            raise

    def run(self) -> None:
        """Do all that there is to do."""
        try:
            while self._assign():
                for key, _ in self._selector.select(self._until_dismissal()):
                    key.data()
        except BaseException as error:
            self._abandon(error)
            raise
        finally:
            self.release()

    def release(self) -> None:
        """Give up all that it has opened; to be called where it cannot be started."""
        self._keeper.close()
        self._selector.close()
        self._queue.hang_up()

    def _assign(self) -> bool:
        """Begin what can begin; gives False once all is done."""
        self._take_leave()
        has_begun = False
        # Those that leave count as well, as long as they are there.
        while len(self._performers) - len(self._idle) < self._settings.max_workers:
            call = self._queue.take()
            if call is None:
                break
            has_begun = True
            self._begin(call)
            # Making a child may have taken in what the template has reported of others.
            self._take_leave()
        if self._queue.is_done:
            self._dismiss_idle(0, 0.0)
            return bool(self._performers)
        if has_begun:
            # Not at any other time: a child that cannot be made, or dies at once, is not made again and again.
            self._fill_reserve()
        if self._settings.idle_timeout is not None:
            self._dismiss_idle(self._settings.idle_workers, self._settings.idle_timeout)
        return True

    def _begin(self, call: Call) -> None:
        performer = self._take_idle(call)
        if performer is None:
            try:
                performer = self._make_performer(needs_main=call.needs_main)
            except (ForkcoreError, OSError, LookupError) as error:
                call.fail(error)
                return
        performer.begin(call)
        self._watch(performer)

    def _take_idle(self, call: Call) -> Performer | None:
        # Of fresh ones the oldest, which is ready; of used ones the last, so that the others' time may come.
        idle = self._idle if self._settings.calls_per_child == 1 else reversed(self._idle)
        for performer in idle:
            if performer.has_main or not call.needs_main:
                self._idle.remove(performer)
                return performer
        if self._idle:
            # Another one takes its place.
            self._idle.pop(0).dismiss()
        return None

    def _fill_reserve(self) -> None:
        """Fork ahead so many children as are to wait for calls."""
        while len(self._idle) < self._settings.idle_workers:
            try:
                performer = self._make_performer(needs_main=self._keeper.has_main)
            except (ForkcoreError, OSError, LookupError):
                return  # a call for which none can be made either will say why
            performer.idle_since = time.monotonic()
            self._idle.append(performer)
            self._watch(performer)

    def _make_performer(self, *, needs_main: bool) -> Performer:
        settings = self._settings
        clone = self._keeper.fork(needs_main=needs_main)
        has_main = self._keeper.has_main
        try:
            clone.send_arg(settings.initializer, b"%d" % (settings.calls_per_child or _executor_child.NO_LIMIT))
            child = clone.run(_executor_child.TARGET, die_with_parent=True, sandbox=settings.sandbox)
        except BaseException:
            clone.close()
            raise
        performer = Performer(child, settings.calls_per_child, settings.sandbox, has_main=has_main)
        self._performers.add(performer)
        return performer

    def _watch(self, performer: Performer) -> None:
        """Wait for what the performer's channel can do next."""
        channel = performer.child.channel
        is_known = channel.fileno() in self._selector.get_map()
        if performer.is_at_end:
            if is_known:
                self._selector.unregister(channel)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if performer.outgoing else 0)
        if not is_known:
            self._selector.register(channel, events, lambda: self._serve(performer))
        elif self._selector.get_key(channel).events != events:
            self._selector.modify(channel, events, lambda: self._serve(performer))

    def _serve(self, performer: Performer) -> None:
        """Move what can be moved between a performer and us."""
        if performer not in self._performers:
            return  # it took its leave earlier in the same round of events
        had_call = performer.call is not None
        performer.write_some()
        performer.read_some()
        self._watch(performer)
        if performer.is_at_end:
            return  # its end is reported by the template
        if had_call and performer.call is None and performer.calls_left != 0:
            performer.idle_since = time.monotonic()
            self._idle.append(performer)

    def _take_leave(self) -> None:
        """Find those performers that have ended, by what the template has reported so far."""
        for performer in list(self._performers):
            if performer.child.has_ended:
                self._check(performer)

    def _check(self, performer: Performer) -> None:
        """Take leave of a performer that has ended."""
        failure: ForkcoreError | None = None
        try:
            performer.child.poll()
        except TemplateDied as error:
            if not performer.is_at_end:
                return  # it goes on by itself, and its channel tells when it ends
            failure = error
        except ForkcoreError as error:
            failure = error
        if not performer.is_at_end:
            self._selector.unregister(performer.child.channel)
        if performer in self._idle:
            self._idle.remove(performer)
        performer.end(failure)
        self._performers.discard(performer)

    def _dismiss_idle(self, keep: int, seconds: float) -> None:
        """Let those end that have waited for calls so long, but for so many."""
        end = time.monotonic() - seconds
        while len(self._idle) > keep and self._idle[0].idle_since <= end:
            self._idle.pop(0).dismiss()

    def _until_dismissal(self) -> float | None:
        """Give the seconds until an idle child has waited long enough; None for ever."""
        settings = self._settings
        if settings.idle_timeout is None or len(self._idle) <= settings.idle_workers:
            return None
        return max(0.0, self._idle[0].idle_since + settings.idle_timeout - time.monotonic())

    def _abandon(self, error: BaseException) -> None:
        """Fail all that is left: a bug has ended this thread, and nobody else would ever answer."""
        self._queue.close()
        calls = self._queue.take_all()
        for performer in self._performers:
            if performer.call is not None:
                calls.append(performer.call)
            performer.child.detach().close()
            try:
                performer.child.kill()
                performer.child.wait(_PATIENCE)
            except ForkcoreError:
                continue  # it is somebody else's by now, or nobody's
        for call in calls:
            call.fail(error)
