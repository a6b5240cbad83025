"""Which scopes of fixtures are shared: option and ini values."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

SCOPES = ("function", "class", "module", "package", "session")
"""Of fixtures, the narrowest first."""


@dataclasses.dataclass(frozen=True)
class ShareSettings:
    """What the user asked for, for the whole run.

    Attributes:
        widest: Fixtures of scopes up to this one are shared; "function" for none.
        allowed: Names of fixtures that are shared whatever their set-up leaves behind.
        denied: Names of fixtures that are never shared.
    """

    widest: str = SCOPES[0]
    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()


def add_options(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Add the option and the ini values."""
    group.addoption(
        "--fork-share",
        dest="fork_share",
        choices=SCOPES,
        help="Set fixtures of scopes up to this one up once, and start each forked test from a copy of them; "
        "'function' for none.",
    )
    parser.addini("fork_share", "As --fork-share.", default=SCOPES[0])
    parser.addini("fork_share_allow", "Fixtures that are shared whatever they leave open.", type="args", default=[])
    parser.addini("fork_share_deny", "Fixtures that are never shared.", type="args", default=[])


def read_share(config: pytest.Config) -> ShareSettings:
    """Read option and ini values.

    Raises:
        pytest.UsageError: A value is no scope, or a fixture is both allowed and denied.
    """
    allowed = frozenset(config.getini("fork_share_allow"))
    denied = frozenset(config.getini("fork_share_deny"))
    both = sorted(allowed & denied)
    if both:
        raise pytest.UsageError(f"fork_share_allow and fork_share_deny both name {', '.join(both)}; keep one of them")
    option = config.getoption("fork_share", None)
    widest = option or check_scope(config.getini("fork_share"), "the ini option fork_share")
    return ShareSettings(widest, allowed, denied)


def check_scope(value: Any, where: str) -> str:
    """Check the name of a scope.

    Args:
        value: From an ini file or a marker.
        where: What to call it in the error.

    Raises:
        pytest.UsageError: It is none.
    """
    if value not in SCOPES:
        raise pytest.UsageError(f"{where} must be one of {', '.join(SCOPES)}, not {value!r}")
    return str(value)
