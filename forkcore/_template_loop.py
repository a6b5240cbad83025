"""The loop in which a template takes commands, forks children, and waits.

What this module imports, every child of every template pays for.
"""

from __future__ import annotations

import _signal
import posix
import sys

from forkcore import _hazards
from forkcore import _messages as m
from forkcore._call import pack_fork_failure
from forkcore._fds import ANCILLARY_SIZE, NATIVE_ORDER, RECEIVE_FLAGS, TRUNCATED
from forkcore._template import TemplateProcess
from forkcore._title import name_of
from forkcore._wire import HEAD_SIZE, HEADER_SIZE, decode_identifier, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from forkcore._template import Departure

# So small that Python's own allocator serves it: malloc keeps its books all over the heap.
_CHUNK = 448
# A frame that one formatting makes of an identifier, as it stands in a header, and of a number. Blanks fill it up, so
# that the length in the header is right for all.
STARTED_FRAME = encode(m.STARTED, 0, bytes(20))[:HEAD_SIZE] + b"%b%20d"


class TemplateLoop(TemplateProcess):
    """A process that forks on request; commands other than FORK_RUN are the subclass's."""

    __slots__ = ()

    def serve(self) -> Iterator[Departure]:  # noqa: C901, PLR0912, PLR0915 - one function, for the reason that it gives
        """Serve until the parent is gone, or has said CLOSE and the last child is reaped; the process ends then.

        After a fork, each of the two processes pays some 2 microseconds for each page that it is the first to write
        to, and Python writes to all that it looks at, for it counts references. So what makes a child is one function,
        and what is needed after the fork is in its variables before.

        Yields:
            In each child, once: what it is to do. The frames of this module are off the stack then, so that a function
            has as much of it as in a program of its own. To return would give up all the variables, and so write to
            each object that they name.
        """
        function: Any
        close, dup2, write, pwrite = posix.close, posix.dup2, posix.write, posix.pwrite
        current_frames, from_bytes, byte_order = sys._current_frames, int.from_bytes, NATIVE_ORDER
        set_signal, set_wakeup_fd, interrupt = _signal.signal, _signal.set_wakeup_fd, self._interrupt
        sigchld, sigint, default = _signal.SIGCHLD, _signal.SIGINT, _signal.SIG_DFL
        while True:
            # Once more after each command but FORK_RUN: it may have changed anything, or made another process.
            self._has_changed = False
            if self._departure is not None:
                yield self._departure
            if self._used:
                self._heed_again()
            poll, receive, close_control = self._poller.poll, self._control.recvmsg, self._control.close
            wake, inbox, own_fds, out, children = self._wake, self._inbox, self._own_fds, self._out, self._children
            own_title, own_name = self._title, name_of(self._title)
            name_fd, memory_fd, title_start = self._titler.places
            channel, may_refuse = self._renew_spare(), self._failure is not None or _hazards.may_run_loop()
            channel_fd, has_arguments = channel.fileno(), bool(self._arguments)
            # The last FORK_RUN, where it can be repeated: it is mostly.
            last: Any = None
            head = payload = None
            # What came together with the last command.
            call = self._next_call()
            is_empty = self._decoder.is_empty
            while True:
                # Fork.
                while call is not None:
                    failure, pid = None, -1
                    if may_refuse or self._used or len(current_frames()) > 1:
                        failure = self._prepare_fork()
                    if failure is None:
                        function, is_plain, theirs = call.function, call.is_plain and is_empty, call.channel
                        must_build = has_arguments or call.arguments
                        if memory_fd >= 0:
                            try:
                                write(name_fd, call.name)
                                pwrite(memory_fd, call.title, title_start)
                            except OSError:
                                memory_fd = -1  # a system that refuses shows the old one
                        try:
                            pid = posix.fork()
                        except OSError as error:
                            failure = pack_fork_failure(error)
                        if pid == 0:
                            # The child. It calls nothing but what the template has looked up for it.
                            set_wakeup_fd(-1)
                            set_signal(sigchld, default)
                            if not is_plain:
                                yield self._become(call, self._inbox_end)
                            set_signal(sigint, interrupt)
                            for fd in own_fds:
                                close(fd)
                            close_control()
                            dup2(theirs, channel_fd, False)
                            close(theirs)
                            yield function, channel, self._build_arguments(call) if must_build else []
                        if memory_fd >= 0 and own_title:
                            write(name_fd, own_name)
                            pwrite(memory_fd, own_title, title_start)
                    if failure is None:
                        children[pid] = call.identifier
                        if call.is_bound:
                            self._bound.add(pid)
                        out += STARTED_FRAME % (call.identifier, pid)
                    else:
                        out += encode(m.FAILED, decode_identifier(call.identifier), failure)
                    if call is last:
                        close(call.channel)
                        break
                    call.close()
                    call = self._next_call()
                if self._has_changed:
                    break
                # Report, and wait for what comes next.
                if out or self._writing:
                    self._write()
                if self._closing and not children and not out:
                    posix._exit(0)
                call = None
                for fd, _ in poll():
                    if fd == wake:
                        self._reap()
                    elif fd == inbox:
                        self._drain_inbox()
                    else:
                        try:
                            data, ancillary, flags, _ = receive(
                                _CHUNK if is_empty else self._chunk(), ANCILLARY_SIZE, RECEIVE_FLAGS
                            )
                        except BlockingIOError:
                            continue
                        except OSError:
                            self._leave()
                        if data[HEADER_SIZE:] == payload and data[:HEAD_SIZE] == head and not flags & TRUNCATED:
                            call = last
                            call.identifier = data[HEAD_SIZE:HEADER_SIZE]
                            call.channel = from_bytes(ancillary[0][2], byte_order)
                        else:
                            call = self._take(data, ancillary, flags)
                            last = head = payload = None
                            if is_empty and call is not None and call.is_repeatable(data):
                                last, head, payload = call, data[:HEAD_SIZE], data[HEADER_SIZE:]
                            is_empty = self._decoder.is_empty
