"""What `Template` does, the same for both drivers; nothing here waits."""

from __future__ import annotations

import weakref
from typing import Generic

from forkcore import _messages as m
from forkcore._items import Item, option_fields
from forkcore._link import LinkT, RemoteProcess, check_alive
from forkcore._owned import make_pair
from forkcore._running import ChildCore
from forkcore.errors import ObjectSpent

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from typing import Any

    from forkcore._messages import Field
    from forkcore._owned import OwnedFd
    from forkcore._proc import DirectProcess


# What goes with one FORK_RUN through the template; more of it goes to a process of its own first.
_FUSED_BYTES = 32 * 1024
_FUSED_FDS = 64


class TemplateCore(Generic[LinkT]):
    """An idle process, or the promise of one.

    `fork` makes no process yet: where `run` follows, one command does for both. Anything that
    needs the process, or that changes the one it is forked from, makes it first.
    """

    def __init__(
        self,
        factory: Callable[[socket.socket, DirectProcess | None], LinkT],
        *,
        link: LinkT | None = None,
        process: RemoteProcess[LinkT] | DirectProcess | None = None,
        origin: TemplateCore[LinkT] | None = None,
        options: list[Field] | None = None,
    ) -> None:
        self.factory = factory
        self.link = link
        self.process = process
        self.origin = origin
        self.options = options or []
        self.items: list[Item] = []
        self.spent: str | None = None
        # Promises that were made of this one; most never make any.
        self.clones: weakref.WeakValueDictionary[int, TemplateCore[LinkT]] | None = None
        # What is not in place: the status of a process that was handed over is nobody's to tell.
        self.is_adopted = link is not None and process is None

    def check(self) -> None:
        """Refuse to go on with an object that is used up.

        Raises:
            ObjectSpent: After `run`, `close` or `detach`.
        """
        if self.spent is not None:
            raise ObjectSpent(f"this template is spent: {self.spent} was called before")

    # Queueing.

    def fork(self, **options: Any) -> TemplateCore[LinkT]:
        """Promise a clone."""
        self.check()
        clone = TemplateCore(self.factory, origin=self, options=option_fields(**options))
        if self.link is None:
            self.materialise()
        if self.clones is None:
            self.clones = weakref.WeakValueDictionary()
        self.clones[id(clone)] = clone
        return clone

    def materialise(self) -> LinkT:
        """Make the process, with everything that was queued for it.

        Raises:
            OSError: EMFILE; nothing has changed.
            TemplateDied: The template is gone.
        """
        if self.link is not None:
            return self.link
        origin = self._require_origin()
        parent = origin.materialise()
        with parent.lock:
            if self.link is not None:  # another thread was faster
                return self.link  # type: ignore[unreachable]
            check_alive(parent, origin.process)
            ours, theirs = make_pair()
            link = self.factory(ours, None)
            # A directory that is not there fails in the new process, as eval does.
            link.connection.is_unconfirmed = bool(self.options)
            for item in self.items:
                link.connection.queue(m.SEND, 0, m.pack([item.field]), item.fds)
            connection = parent.connection
            record = connection.new_record()
            process = RemoteProcess(parent, record)
            command = connection.prepare(m.FORK, record.identifier, m.pack(self.options), [theirs])
            queue = connection.outgoing.extend
            if self.link is not None:  # a destructor or a handler of a signal was faster
                return self.link  # type: ignore[unreachable]
            # One step, as far as interruptions go: either there is a process now, or nothing has changed.
            self.process, self.link, connection.children[record.identifier] = process, link, record
            queue(command)
            self.items = []
            origin.forget(self)
            parent.write_some()
            link.write_some()
        return link

    def _require_origin(self) -> TemplateCore[LinkT]:
        if self.origin is None:
            raise ObjectSpent("this template is spent: another thread has used it up")
        return self.origin

    def forget(self, clone: TemplateCore[LinkT]) -> None:
        """Note that a clone is a promise no more."""
        if self.clones is not None:
            self.clones.pop(id(clone), None)

    def materialise_clones(self) -> None:
        """Make the clones that were promised before what comes now."""
        if not self.clones:
            return
        # Under the lock, lest another thread runs one of them in this moment.
        with self.materialise().lock:
            # By references, since other threads may promise clones meanwhile.
            for reference in self.clones.valuerefs():
                clone = reference()
                if clone is not None:
                    clone.materialise()

    def send(self, item: Item) -> None:
        """Queue one argument."""
        self.check()
        if self.link is None:
            self.items.append(item)
            return
        self.materialise_clones()
        self._queue(m.SEND, m.pack([item.field]), item.fds)

    def command(self, kind: int, fields: list[Field]) -> None:
        """Queue EVAL, PRELOAD or CONFIGURE."""
        self.check()
        self.materialise()
        self.materialise_clones()
        self._queue(kind, m.pack(fields), [])

    def _queue(self, kind: int, payload: bytes, fds: Sequence[OwnedFd]) -> None:
        link = self.materialise()
        with link.lock:
            check_alive(link, self.process)
            link.connection.queue(kind, 0, payload, fds)
            link.write_some()

    # Running.

    @property
    def nearest_link(self) -> LinkT | None:
        """The control socket of the process, or of the one that it will be forked from."""
        one: TemplateCore[LinkT] | None = self
        while one is not None and one.link is None:
            one = one.origin
        return None if one is None else one.link

    @property
    def unconfirmed_link(self) -> LinkT | None:
        """The control socket that must be asked before `run`, lest it run after a failure."""
        link = self.nearest_link
        if link is None or not (link.connection.is_unconfirmed or link.connection.failure):
            return None
        return link

    @property
    def _can_fuse(self) -> bool:
        if self.link is not None or self.clones:
            return False
        size = sum(len(item.field[1]) for item in self.items)
        return size <= _FUSED_BYTES and len(self.items) <= _FUSED_FDS

    def run(self, target: str, options: list[Field], *, bound: bool) -> ChildCore[LinkT]:
        """Queue the command that runs the function; the object is spent.

        Args:
            target: "package.module:function" or ":name".
            options: Of the child.
            bound: It dies with this process.

        Raises:
            OSError: EMFILE; nothing has changed.
            TemplateDied: The template is gone.
        """
        self.check()
        fields = [*options, (m.TARGET, target.encode())]
        if bound:
            fields.append((m.BOUND, b""))
        if self._can_fuse:
            return self._run_fused(self._require_origin(), fields)
        link = self.materialise()
        self.materialise_clones()
        with link.lock:
            self.check()  # another thread may have been faster
            link.read_some()
            check_alive(link, self.process)
            in_place = not (bound or self.is_adopted or link.connection.children)
            kind = m.RUN if in_place else m.FORK_RUN
            start = Start(link, kind, fields, [])
            process = self.process
            if process is None or not in_place:
                process = RemoteProcess(link, start.record)
                start.commands += link.connection.prepare(m.CLOSE)
            child = ChildCore(start.channel, process, link, start.record)
            start.go(self)
        return child

    def _run_fused(self, origin: TemplateCore[LinkT], fields: list[Field]) -> ChildCore[LinkT]:
        link = origin.materialise()
        with link.lock:
            self.check()  # another thread may have been faster
            check_alive(link, origin.process)
            # Those of this moment: a destructor or a handler of a signal may make a process of this promise meanwhile.
            items = self.items
            fields = [*self.options, *fields, *(item.field for item in items)]
            start = Start(link, m.FORK_RUN, fields, items)
            child = ChildCore(start.channel, RemoteProcess(link, start.record), link, start.record)
            start.go(self)
        return child

    # The end.

    def spend(self, by: str) -> None:
        """Give up the process: its link belongs to the child, or to the children, from here on."""
        self.spent = by
        if self.origin is not None:
            self.origin.forget(self)
        self.items = []
        self.link = self.process = self.origin = None

    def close(self) -> tuple[LinkT, RemoteProcess[LinkT] | DirectProcess | None] | None:
        """Queue the end: the process leaves once it has no children; the object is spent.

        Returns:
            Its control socket and itself, for the driver to look after; None where there is none.
        """
        if self.spent is not None:
            return None
        link, process = self.link, self.process
        if link is not None and not link.connection.is_lost:
            self.materialise_clones()
        self.items = []
        self.spend("close")
        if link is None:
            return None
        with link.lock:
            if not link.connection.is_lost:
                link.connection.queue(m.CLOSE)
                link.write_some()
        return link, process


class Start(Generic[LinkT]):
    """A child that is about to be asked for.

    Attributes:
        channel: The parent's end.
        record: Of the child.
        commands: What is to be sent.
    """

    def __init__(self, link: LinkT, kind: int, fields: list[Field], items: list[Item]) -> None:
        """Make the channel and the command; the caller holds the link's lock.

        Args:
            link: To the template.
            kind: RUN or FORK_RUN.
            fields: Of the command.
            items: Those among the fields that have descriptors.

        Raises:
            OSError: EMFILE; nothing has changed.
        """
        self._link = link
        self.channel, theirs = make_pair()
        fds = [theirs]
        for item in items:
            fds += item.fds
        if (m.BOUND, b"") in fields:
            link.keep()
        self.record = link.connection.new_record()
        self.commands = link.connection.prepare(kind, self.record.identifier, m.pack(fields), fds)

    def go(self, core: TemplateCore[LinkT]) -> None:
        """Queue the command, and spend the template: both or neither, whatever interrupts this."""
        connection, record = self._link.connection, self.record
        queue = connection.outgoing.extend
        if core.spent is not None:
            core.check()
        # One step, as far as interruptions go: there is no call but that one.
        core.spent, connection.children[record.identifier] = "run", record
        queue(self.commands)
        core.spend("run")
