"""The thread of a `forkcore.ForkExecutor`: gives calls to children, and takes their results.

It alone touches the template and the children; it sleeps in a selector until something happens.
"""

from __future__ import annotations

import selectors
import socket
import threading

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
        max_workers: How many children at a time.
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
        calls_per_child: int | None,
        initializer: bytes,
        preload: Sequence[str],
        origin: Template | None,
        sandbox: Sandbox | None,
    ) -> None:
        self.max_workers = max_workers
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
                for key, _ in self._selector.select():
                    key.data()
        except BaseException as error:
            self._abandon(error)
            raise
        finally:
            self._keeper.close()
            self._selector.close()
            self._queue.hang_up()

    def _assign(self) -> bool:
        """Begin what can begin; gives False once all is done."""
        self._take_leave()
        while self._idle or len(self._performers) < self._settings.max_workers:
            call = self._queue.take()
            if call is None:
                break
            performer = self._idle.pop() if self._idle else self._make_performer(call)
            if performer is not None:
                performer.begin(call)
                self._watch(performer)
            # Making a child may have taken in what the template has reported of others.
            self._take_leave()
        is_done = self._queue.is_done
        if is_done:
            self._dismiss_idle()
        return not is_done or bool(self._performers)

    def _make_performer(self, call: Call) -> Performer | None:
        settings = self._settings
        clone = None
        try:
            clone = self._keeper.fork(needs_main=call.needs_main)
            clone.send_arg(settings.initializer, b"%d" % (settings.calls_per_child or _executor_child.NO_LIMIT))
            child = clone.run(_executor_child.TARGET, die_with_parent=True, sandbox=settings.sandbox)
        except (ForkcoreError, OSError, LookupError) as error:
            if clone is not None:
                clone.close()
            call.future.set_exception(error)
            return None
        performer = Performer(child, settings.calls_per_child, settings.sandbox)
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

    def _dismiss_idle(self) -> None:
        """Let the performers that wait for calls end."""
        while self._idle:
            channel = self._idle.pop().child.channel
            try:
                channel.shutdown(socket.SHUT_WR)
            except OSError:
                continue  # it has ended by itself

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
            if not call.future.done():
                call.future.set_exception(error)
