"""What a system may lack that a sandbox needs, and what to do about it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LINUX = "Linux"
NAMESPACES = "namespaces"
MOUNTS = "changes of mounts"
LANDLOCK_SIGNALS = "Landlock of Linux 6.12"
SECCOMP = "seccomp filters"
ROOT = "root"
GROUPS = "a control group of its own (cgroup v2)"
ORDINARY_USER = "an ordinary user"

_REMEDIES = {
    LINUX: "leave it out on this platform",
    NAMESPACES: "run as root with CAP_SYS_ADMIN (in a container: --privileged or --cap-add SYS_ADMIN), or let the "
    "system allow user namespaces (sysctl user.max_user_namespaces and its like above 0, "
    "kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu; in a container, its seccomp profile)",
    MOUNTS: "as for namespaces; some containers forbid mounts all the same. The kernel must be Linux 5.12 or newer",
    LANDLOCK_SIGNALS: "a kernel of Linux 6.12 or newer with Landlock, or user= with a user of its own",
    SECCOMP: "a kernel with CONFIG_SECCOMP_FILTER on x86-64, ARM64 or RISC-V",
    ROOT: "run as root, or leave it out",
    GROUPS: "run it alone in a delegated group: systemd-run --user --scope -p Delegate=yes COMMAND (without --user as "
    "root)",
    ORDINARY_USER: "add user='nobody', say, or run as an ordinary user",
}


class Missing(Exception):
    """One thing that was asked for and cannot be had here.

    Args:
        wanted: As the user wrote it: "network=False".
        facility: What it needs: one of the constants above.
        reason: What the system said.
    """

    def __init__(self, wanted: str, facility: str, reason: object) -> None:
        self.wanted = wanted
        self.facility = facility
        text = (reason.strerror or str(reason)) if isinstance(reason, OSError) else str(reason)
        super().__init__(f"{wanted} needs {facility}, which cannot be had here: {text}. Remedy: {_REMEDIES[facility]}")


def texts(missing: Sequence[Missing]) -> list[str]:
    """Give what each of them says."""
    return [str(one) for one in missing]
