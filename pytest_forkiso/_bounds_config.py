"""What tests may use, touch and leave behind: options and ini values."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_forkiso._profiles import BOUNDS, SANDBOX_ARGUMENTS, Profiles, check_policy, read_profiles

AUDITS = ("list", "fail")


@dataclasses.dataclass(frozen=True)
class BoundsSettings:
    """What the user asked for, for the whole run.

    Attributes:
        profiles: Marker arguments that were set outside of markers.
        sandbox_missing: What happens to a test whose sandbox cannot be had.
    """

    profiles: Profiles
    sandbox_missing: str


def add_options(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Add the options and the ini values."""
    group.addoption(
        "--fork-profile",
        dest="fork_profile",
        metavar="NAME",
        help="Bind all forked tests to what this profile says, as far as nothing else is said for them.",
    )
    group.addoption(
        # An optional value would swallow a path that stands behind it; so these are options without a value.
        "--fork-audit",
        "--fork-audit=list",
        dest="fork_audit",
        action="store_const",
        const="list",
        help="List what each forked test leaves behind: processes, threads, files, changed settings and globals.",
    )
    group.addoption(
        "--fork-audit=fail",
        dest="fork_audit",
        action="store_const",
        const="fail",
        help="As --fork-audit; a test that leaves anything behind fails.",
    )
    parser.addini("fork_audit", "As --fork-audit: list or fail; empty for none.", default="")
    parser.addini("fork_profile", "As --fork-profile.", default="")
    parser.addini("fork_profiles", "Profiles: 'name: memory = \"512M\", network = false'.", type="linelist", default=[])
    parser.addini(
        "fork_overrides", "Marker arguments by path: 'tests/db: network = true'.", type="linelist", default=[]
    )
    parser.addini(
        "fork_sandbox_missing",
        "What becomes of a test whose sandbox the system does not give: fail, skip or ignore.",
        default="fail",
    )


def read_bounds(config: pytest.Config) -> BoundsSettings:
    """Read options, ini values, and the table in pyproject.toml.

    Raises:
        pytest.UsageError: Something there cannot be understood; says where.
    """
    default = config.getoption("fork_profile", None)
    return BoundsSettings(
        read_profiles(config, config.getini("fork_profile") if default is None else default),
        check_policy(config.getini("fork_sandbox_missing"), "the ini option fork_sandbox_missing"),
    )


def read_audit(config: pytest.Config) -> str:
    """Say what is to be done about what tests leave behind: one of `AUDITS`, or empty for nothing.

    Raises:
        pytest.UsageError: The ini option has another value.
    """
    value = config.getoption("fork_audit", None) or str(config.getini("fork_audit"))
    if value and value not in AUDITS:
        raise pytest.UsageError(f"the ini option fork_audit must be one of {', '.join(AUDITS)}, not {value!r}")
    return value


def attach_bounds(item: pytest.Item, settings: BoundsSettings) -> None:
    """Find what a forked test is bound to, and remember it at the item.

    Raises:
        pytest.UsageError: A value is wrong; names the test and where the value stands.
    """
    arguments = settings.profiles.arguments(item)
    if any(arguments[name].value is not None for name in SANDBOX_ARGUMENTS.intersection(arguments)):
        from pytest_forkiso._bounds import make_bounds

        item.stash[BOUNDS] = make_bounds(item, arguments, settings.sandbox_missing)
