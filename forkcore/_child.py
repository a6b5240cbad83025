"""What happens in a forked process before the user's function is called.

Loaded by templates: it imports next to nothing at the top.
"""

from __future__ import annotations

import _socket
import posix
import sys

from forkcore import _messages as m
from forkcore.errors import SandboxUnavailable, TargetNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any, Self

    from forkcore._messages import Field

_PLACE = __file__.rpartition("/")[0] + "/"
# Bytes of what is told of an exception: with the head of its frame, it has to go into one datagram, which the template
# takes with one read.
_MESSAGE_LIMIT = 16 * 1024
_NAME_LIMIT = 1024
_TRACEBACK_LIMIT = 32 * 1024


class Channel(_socket.socket):
    """The child's end of its channel where the module ``socket`` is not loaded.

    A blocking, close-on-exec stream socket with all methods of the built-in socket type, usable in
    a ``with`` statement. `upgrade` gives a full ``socket.socket``.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def upgrade(self) -> Any:
        """Turn into a ``socket.socket``; this object is spent. Imports ``socket``."""
        import socket

        return socket.socket(fileno=self.detach())

    def makefile(self, *args: Any, **kwargs: Any) -> Any:
        """As ``socket.socket.makefile``, but the file owns a duplicate of the descriptor."""
        import socket

        with socket.socket(fileno=posix.dup(self.fileno())) as duplicate:
            return duplicate.makefile(*args, **kwargs)


def channel_type() -> type[Any]:
    """Give the type of a channel: a full ``socket.socket`` where that module is loaded."""
    module = sys.modules.get("socket")
    return Channel if module is None else module.socket


def make_channel(fd: int) -> Any:
    """Wrap the descriptor of a channel; it is consumed."""
    return channel_type()(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)


def build_argument(field: Field, fd: int | None) -> Any:
    """Make an argument of the function from a field and its descriptor, which is consumed."""
    tag, data = field
    if tag == m.BYTES:
        return data
    if tag == m.SOCKET:
        import socket

        return socket.socket(fileno=fd)
    if tag == m.FILE:
        return _open_file(data, fd)
    return fd


def _open_file(description: bytes, fd: Any) -> Any:
    mode, encoding, errors, newline, line_buffering = description.decode().split("\0")
    if "b" in mode:
        return open(fd, mode, 0 if line_buffering == "0" else -1)
    return open(
        fd,
        mode,
        1 if line_buffering == "1" else -1,
        encoding or None,
        errors or None,
        None if newline == "-" else newline,
    )


def apply_options(options: Iterable[Field], vanishing: Collection[int] = ()) -> None:  # noqa: C901 - a branch for each
    """Set what was asked for this very process: environment, directory, umask, search path; and its sandbox, last.

    Args:
        options: Fields of a command.
        vanishing: Descriptors that will be closed before the user's code runs.

    Raises:
        OSError: No such directory, or no access to it.
        SandboxUnavailable: This system does not give what the sandbox asks for.
    """
    sandbox: bytes | None = None
    environment: dict[bytes, bytes] | None = None
    path: list[str] = []
    for tag, data in options:
        if tag == m.ENVIRONMENT:
            name, _, value = data.partition(b"=")
            environment = environment or {}
            environment[name] = value
        elif tag == m.EMPTY_ENVIRONMENT:
            environment = {}
        elif tag == m.DIRECTORY:
            posix.chdir(data)
        elif tag == m.UMASK:
            posix.umask(int(data))
        elif tag == m.SEARCH_PATH:
            path.append(data.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()))
        elif tag == m.SANDBOX:
            sandbox = data
    if environment is not None:
        _replace_environment(environment)
    if path:
        sys.path[:] = path
        sys.path_importer_cache.clear()
    if sandbox is not None:
        from forkcore._sandbox_apply import apply_encoded

        apply_encoded(sandbox, vanishing)


def _replace_environment(environment: dict[bytes, bytes]) -> None:
    os = sys.modules.get("os")
    if os is not None:
        # os.environb and os.environ share their storage, and set the environment of C as well.
        os.environb.clear()
        os.environb.update(environment)
    else:
        for name in list(posix.environ):
            posix.unsetenv(name)
        for name, value in environment.items():
            posix.putenv(name, value)
    # What a later "import os" starts from.
    posix.environ.clear()
    posix.environ.update(environment)


def reseed() -> None:
    """Give this process its own random numbers.

    ``random`` and ``ssl`` see to themselves after a fork; numpy's global generator does not.
    """
    if needs_seed():
        sys.modules["numpy.random"].seed()


def needs_seed() -> bool:
    """Whether there is something to do for `reseed`."""
    return "numpy.random" in sys.modules


def resolve(target: str, namespace: dict[str, Any]) -> Callable[..., object]:
    """Find the function.

    Args:
        target: "package.module:qualified.name", or ":name" for one in the template's namespace.
        namespace: Of the template.

    Raises:
        TargetNotFound: No such module or name, or it is not callable. An exception that the
            import of the module itself raised is its cause.
    """
    module_name, colon, name = target.partition(":")
    if not colon or not name:
        raise TargetNotFound(f"{target!r} is not of the form 'module:function'")
    first, *rest = name.split(".")
    try:
        found: Any = _find_module(module_name, first) if module_name else namespace[first]
        if module_name:
            found = getattr(found, first)
        for part in rest:
            found = getattr(found, part)
    except KeyError as error:
        raise TargetNotFound(f"{target!r} was not found: no such name in the template") from error
    except (AttributeError, ImportError) as error:
        raise TargetNotFound(f"{target!r} was not found: {error}") from error
    if not callable(found):
        raise TargetNotFound(f"{target!r} is not callable")
    return found  # type: ignore[no-any-return]


def find_loaded(target: str, namespace: dict[str, Any]) -> Callable[..., object] | None:
    """Find the function without running any code of the user, or not at all.

    The template does this before it forks, lest each child do it anew.
    """
    module_name, _, name = target.partition(":")
    if not module_name:
        found = namespace.get(name)
    else:
        module = sys.modules.get(module_name)
        if type(module) is not type(sys):
            return None
        found = module.__dict__.get(name)
    return found if callable(found) else None


def _find_module(module_name: str, name: str) -> Any:
    module = sys.modules.get(module_name)
    if module is None or not hasattr(module, name):
        __import__(module_name)
        module = sys.modules[module_name]
    return module


def describe_failure(error: BaseException) -> bytes:
    """Encode an exception, with its traceback, as the payload of FAILED or ERROR."""
    if isinstance(error, SandboxUnavailable):
        return m.pack_failure(m.UNAVAILABLE, *error.missing)
    category = m.NOT_FOUND if isinstance(error, TargetNotFound) else m.REMOTE
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return m.pack_failure(category, _text_of(error), _first_bytes(name, _NAME_LIMIT), _format_traceback(error))


def _text_of(error: BaseException) -> str:
    try:
        return _first_bytes(str(error), _MESSAGE_LIMIT)
    except Exception as secondary:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"<the exception has no text: {type(secondary).__name__}>"


def _format_traceback(error: BaseException) -> str:
    try:
        import traceback

        text = "".join(traceback.format_exception(type(error), error, users_part(error)))
    except Exception as secondary:  # noqa: BLE001 - the import of traceback too
        text = f"{type(error).__name__} (no traceback: {secondary!r})\n"
    data = _encode(text)
    if len(data) <= _TRACEBACK_LIMIT:
        return text
    return "...\n" + data[-_TRACEBACK_LIMIT:].decode("utf-8", "ignore")


def _first_bytes(text: str, limit: int) -> str:
    return _encode(text)[:limit].decode("utf-8", "ignore")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def users_part(error: BaseException) -> Any:
    """Give the traceback without the frames of this package that it begins with."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_PLACE):
        traceback = traceback.tb_next
    return traceback


def annotate(error: BaseException) -> None:
    """Add to an exception of the user's function which limit of this process's sandbox it speaks of, if any.

    That makes room to report it as well.
    """
    sandbox = sys.modules.get("forkcore._sandbox_apply")
    if sandbox is not None:
        sandbox.annotate(error)
