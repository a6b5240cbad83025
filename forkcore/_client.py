"""What `Template` does, the same for both drivers; nothing here waits."""

from __future__ import annotations

import socket
import weakref
from typing import Generic

from forkcore import _messages as m
from forkcore._fds import close_quietly, socket_pair
from forkcore._items import Item, option_fields
from forkcore._link import LinkT, RemoteProcess, check_alive
from forkcore._running import ChildCore
from forkcore.errors import ObjectSpent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from forkcore._messages import Field
    from forkcore._proc import DirectProcess
    from forkcore._state import ChildRecord


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
        factory: Callable[[int, DirectProcess | None], LinkT],
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
            if self.has_process:  # another thread was faster
                return self.materialise()
            check_alive(parent, origin.process)
            ours, theirs = socket_pair()
            try:
                link = self.factory(ours, None)
            except BaseException:
                close_quietly(theirs)
                raise
            record = parent.connection.new_child()
            parent.connection.queue(m.FORK, record.identifier, m.pack(self.options), [theirs])
            # A directory that is not there fails in the new process, as eval does.
            link.connection.is_unconfirmed = bool(self.options)
            self.process = RemoteProcess(parent, record)
            self.link = link
            origin.forget(self)
            items, self.items = self.items, []
            for item in items:
                link.connection.queue(m.SEND, 0, m.pack([item.field]), item.take_fd())
            parent.write_some()
            link.write_some()
        return link

    @property
    def has_process(self) -> bool:
        """Whether it is more than a promise."""
        return self.link is not None

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
            for clone in list(self.clones.values()):
                clone.materialise()

    def send(self, item: Item) -> None:
        """Queue one argument."""
        self.check()
        if self.link is None:
            self.items.append(item)
            return
        self.materialise_clones()
        self._queue(m.SEND, m.pack([item.field]), item.take_fd())

    def command(self, kind: int, fields: list[Field]) -> None:
        """Queue EVAL, PRELOAD or CONFIGURE."""
        self.check()
        self.materialise()
        self.materialise_clones()
        self._queue(kind, m.pack(fields), [])

    def _queue(self, kind: int, payload: bytes, fds: list[int]) -> None:
        link = self.materialise()
        with link.lock:
            try:
                check_alive(link, self.process)
                link.connection.queue(kind, 0, payload, fds)
            except BaseException:
                for fd in fds:
                    close_quietly(fd)
                raise
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
            link.read_some()
            check_alive(link, self.process)
            in_place = not (bound or self.is_adopted or link.connection.children)
            kind = m.RUN if in_place else m.FORK_RUN
            channel, record = start_child(link, kind, fields, [])
            process = self.process
            if process is None or not in_place:
                process = RemoteProcess(link, record)
                link.connection.queue(m.CLOSE)
            self.spend("run")
        return ChildCore(channel, process, link, record)

    def _run_fused(self, origin: TemplateCore[LinkT], fields: list[Field]) -> ChildCore[LinkT]:
        link = origin.materialise()
        with link.lock:
            check_alive(link, origin.process)
            fields = [*self.options, *fields, *(item.field for item in self.items)]
            channel, record = start_child(link, m.FORK_RUN, fields, self.items)
            self.items = []
            self.spend("run")
        return ChildCore(channel, RemoteProcess(link, record), link, record)

    # The end.

    def spend(self, by: str) -> None:
        """Give up the process: its link belongs to the child, or to the children, from here on."""
        self.spent = by
        if self.origin is not None:
            self.origin.forget(self)
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


def start_child(link: LinkT, kind: int, fields: list[Field], items: list[Item]) -> tuple[socket.socket, ChildRecord]:
    """Make a channel and queue RUN or FORK_RUN; the caller holds the link's lock.

    Returns:
        The parent's end of the channel, and the record of the child.

    Raises:
        OSError: EMFILE; nothing has changed.
    """
    payload = m.pack(fields)
    ours, theirs = socket_pair()
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=ours)
    fds = [theirs]
    for item in items:
        fds += item.take_fd()
    if (m.BOUND, b"") in fields:
        link.keep()
    record = link.connection.new_child()
    link.connection.queue(kind, record.identifier, payload, fds)
    return channel, record
