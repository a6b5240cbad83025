"""The steps that put a process into a sandbox, in the order of what each of them needs.

Whatever is not needed for a sandbox is not imported for it: each module costs its child page faults.
"""

from __future__ import annotations

import errno
import os
import sys

from forkcore import _sandbox_environment
from forkcore._sandbox_limits import NAMES, Limits
from forkcore._sandbox_missing import LANDLOCK_SIGNALS, LINUX, MOUNTS, NAMESPACES, ROOT, SECCOMP, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any


class Application:
    """One sandbox on its way.

    Attributes:
        missing: What was asked for and cannot be had.
        means: What was done for each thing that can be had in several ways.
        limits: Those that are set.
    """

    def __init__(self, fields: dict[str, Any], vanishing: Collection[int]) -> None:
        """Prepare it.

        Args:
            fields: As `forkcore.sandbox.Sandbox.fields` gives them.
            vanishing: Descriptors that will be closed before the user's code runs.
        """
        self.missing: list[Missing] = []
        self.means: dict[str, str] = {}
        self.limits = Limits({name: fields[name] for name in NAMES if name in fields})
        self.fields = fields
        self._vanishing = vanishing
        self._in_own_user = False
        self._needs_landlock = False
        self._needs_seccomp = False

    def run(self) -> None:
        """Take all steps.

        Raises:
            OSError: A path is not there, or the system refused what it should allow.
        """
        if sys.platform == "linux":
            if "group" in self.fields:
                self._enter_group(self.fields["group"])
            if "/proc" in self.fields.get("hide", ()):
                self.limits.count_early(self.fields["user"][0] if "user" in self.fields else os.getuid())
            self._enter_namespaces()
        else:
            self.missing += [
                Missing(name, LINUX, "this is another system") for name in _LINUX_ONLY if name in self.fields
            ]
        self._change_place()
        if sys.platform == "linux":
            self._change_user()
            self._give_up_rights()
        self._limit()
        _sandbox_environment.change(self.fields, has_private_folder="private_tmp" in self.means)

    def _enter_group(self, path: str) -> None:
        from forkcore import _sandbox_group

        _sandbox_group.enter(path)
        self.limits.group = path
        self.means["memory"] = "address space and group"
        if _sandbox_group.binds_processes(path):
            self.means["processes"] = "group"

    # Namespaces, and what is arranged in them.

    def _enter_namespaces(self) -> None:
        wanted = self._wanted_namespaces()
        if not wanted:
            return
        from forkcore import _sandbox_namespaces as namespaces

        entered = namespaces.enter(list(wanted))
        self._in_own_user = entered.in_own_user
        for flag, (use, substitute) in wanted.items():
            if flag not in entered.refused:
                try:
                    use()
                except Missing as error:
                    self.missing.append(error)
            else:
                reason = entered.refused[flag]
                substitute(reason)

    def _wanted_namespaces(self) -> dict[int, tuple[Callable[[], None], Callable[[OSError], None]]]:
        from forkcore import _sandbox_system as system

        fields = self.fields
        wanted: dict[int, tuple[Callable[[], None], Callable[[OSError], None]]] = {}
        if "network" in fields:
            wanted[system.CLONE_NEWNET] = (self._arrange_network, self._do_without_network_namespace)
        if "hostname" in fields:
            wanted[system.CLONE_NEWUTS] = (self._name_host, self._do_without_host_name)
        if any(name in fields for name in _PLACES):
            wanted[system.CLONE_NEWNS] = (self._arrange_mounts, self._do_without_mounts)
        return wanted

    def _do_without_host_name(self, reason: OSError) -> None:
        self.missing.append(Missing("hostname", NAMESPACES, reason))

    def _arrange_network(self) -> None:
        self.means["network"] = "namespace"
        if self.fields["network"] == "loopback":
            from forkcore._sandbox_namespaces import start_loopback

            try:
                start_loopback()
            except OSError as error:
                raise Missing("network=False", NAMESPACES, error) from error

    def _do_without_network_namespace(self, reason: OSError) -> None:
        from forkcore._sandbox_seccomp import is_known_machine

        if self.fields["network"] == "loopback":
            self.missing.append(Missing("network=False", NAMESPACES, reason))
        elif is_known_machine():
            self._needs_seccomp = True
        else:
            self.missing.append(Missing("network='none'", SECCOMP, "the machine is of another kind"))

    def _name_host(self) -> None:
        import _socket

        try:
            _socket.sethostname(self.fields["hostname"])
        except OSError as error:
            raise Missing("hostname", NAMESPACES, error) from error

    def _arrange_mounts(self) -> None:
        from forkcore import _sandbox_mounts

        fields = self.fields
        try:
            _sandbox_mounts.arrange(
                read_only="read_only" in fields,
                writable=fields.get("writable", ()),
                visible=(*fields.get("visible", ()), *(fields[name] for name in ("cwd", "home") if name in fields)),
                hidden=fields.get("hide", ()),
                private_size=fields.get("private_tmp"),
            )
        except OSError as error:
            is_of_path = error.filename in fields.get("writable", ())
            if is_of_path or error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
                raise
            self._lack_mounts(MOUNTS, error)
        else:
            self.means |= {name: "mounts" for name in _PLACES if name in fields}

    def _do_without_mounts(self, reason: OSError) -> None:
        self._lack_mounts(NAMESPACES, reason)

    def _lack_mounts(self, facility: str, reason: OSError) -> None:
        from forkcore import _sandbox_landlock as landlock

        if "read_only" in self.fields:
            self._needs_landlock = landlock.version() >= landlock.READ_ONLY_SINCE
        for name in _PLACES:
            if name not in self.fields or (name == "read_only" and self._needs_landlock):
                continue
            also = "; nor is there Landlock of Linux 6.2, which would do" if name == "read_only" else ""
            self.missing.append(Missing(name, facility, f"{reason.strerror}{also}"))

    # Who and where.

    def _change_place(self) -> None:
        if "umask" in self.fields:
            os.umask(self.fields["umask"])
        if "nice" in self.fields:
            os.nice(self.fields["nice"])
        if "cwd" in self.fields:
            os.chdir(self.fields["cwd"])

    def _change_user(self) -> None:
        if "user" not in self.fields:
            return
        from forkcore import _sandbox_credentials as credentials

        user, group, groups = self.fields["user"]
        try:
            credentials.become(user, group, groups)
        except OSError as error:
            self.missing.append(Missing("user", ROOT, error))

    def _give_up_rights(self) -> None:
        fields = self.fields
        if "processes" in fields and not self._in_own_user and os.getuid() != 0:
            self._count_alone()
        if "capabilities" in fields or (self._in_own_user and os.geteuid() != 0):
            # In a user namespace of its own the process would be mightier than it was before.
            from forkcore import _sandbox_credentials as credentials

            credentials.keep_capabilities(fields.get("capabilities", ()))
        own_signals = "own_signals" in fields and self._may_scope_signals()
        if self._needs_landlock or self._needs_seccomp or own_signals or "no_new_privs" in fields:
            from forkcore import _sandbox_credentials as credentials

            credentials.forbid_new_privileges()
        if self._needs_landlock or own_signals:
            self._use_landlock(own_signals=own_signals)
        if self._needs_seccomp:
            self._use_seccomp()

    def _count_alone(self) -> None:
        """RLIMIT_NPROC counts all processes of a user; in a user namespace of its own, those in there alone."""
        from forkcore._sandbox_namespaces import enter_user

        try:
            enter_user()
        except OSError:
            return  # those of others are counted before, then
        self._in_own_user = True

    def _may_scope_signals(self) -> bool:
        from forkcore import _sandbox_landlock as landlock

        known = landlock.version()
        if known >= landlock.SIGNALS_SINCE:
            return True
        reason = f"its version is {known}" if known else "the kernel has none"
        self.missing.append(Missing("signal_others=False", LANDLOCK_SIGNALS, reason))
        return False

    def _use_landlock(self, *, own_signals: bool) -> None:
        from forkcore import _sandbox_landlock as landlock

        landlock.restrict(
            writable=self.fields.get("writable", ()) if self._needs_landlock else None, own_signals=own_signals
        )
        if self._needs_landlock:
            self.means["read_only"] = "Landlock"

    def _use_seccomp(self) -> None:
        from forkcore import _sandbox_seccomp

        try:
            _sandbox_seccomp.refuse_network()
        except OSError as error:
            self.missing.append(Missing("network='none'", SECCOMP, error))
        else:
            self.means["network"] = "seccomp"

    def _limit(self) -> None:
        if "no_core_dumps" in self.fields:
            import resource

            # Where cores go to a program (core_pattern begins with a pipe), the kernel takes no notice of a limit of 0;
            # 1 keeps it from dumping there as well, see fs/coredump.c. A file would need a page.
            is_forbidden = resource.getrlimit(resource.RLIMIT_CORE)[1] == 0
            limit = 0 if is_forbidden or sys.platform != "linux" else 1
            resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
        for name in self.limits.values:
            try:
                self.limits.apply(name, vanishing=self._vanishing, is_alone=self._in_own_user)
            except Missing as error:
                if name in self.means:
                    self.limits.leave_to_group(name)
                else:
                    self.missing.append(error)


_PLACES = ("read_only", "hide", "private_tmp")
_LINUX_ONLY = ("network", "hostname", *_PLACES, "user", "capabilities", "own_signals", "no_new_privs", "group")
