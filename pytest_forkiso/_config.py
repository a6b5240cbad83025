"""Options, ini values and marker arguments, read and checked in one place."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_forkiso import _xdist
from pytest_forkiso._bounds_config import BoundsSettings, attach_bounds, read_bounds
from pytest_forkiso._bounds_config import add_options as add_bounds_options
from pytest_forkiso._profiles import ARGUMENTS
from pytest_forkiso._share_config import SCOPES, ShareSettings, check_scope, read_share
from pytest_forkiso._share_config import add_options as add_share_options

if TYPE_CHECKING:
    import argparse

MARKER_HELP = (
    "forked(*, timeout=None, share=None, profile=None, memory=None, ...): run this test in a process of its own, "
    "freshly forked; after `timeout` seconds it is ended and has failed; fixtures of scopes up to `share` come from a "
    "snapshot. Further arguments say what it may use and touch."
)
LEARNED = "auto"
"""In the place of a module to preload: those that earlier runs have found worth it."""
TEMPLATES = ("auto", "fork", "exec", "bare", "early")
COLLECTED = ("own", "all")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the user asked for, for the whole run.

    Attributes:
        forks_all: Every test runs in a child, marked or not.
        preload: Modules that the template imports before its first fork.
        learns_preload: Modules that tests import late are preloaded in the next run.
        timeout: Seconds for each test; None for ever.
        jobs: Children that run tests at a time.
        template: Where the template comes from: one of `TEMPLATES`.
        output_limit: Bytes of captured output that are kept, for each stream of each phase.
        overlaps: Tests that are not forked run while forked ones do.
        bounds: What tests may use and touch.
        alive_timeout: Seconds from its order to the beginning of a test, after which a child is taken for dead.
        share: Which fixtures come from snapshots.
    """

    forks_all: bool
    preload: tuple[str, ...]
    learns_preload: bool
    timeout: float | None
    jobs: int
    template: str
    output_limit: int
    overlaps: bool
    bounds: BoundsSettings
    alive_timeout: float
    share: ShareSettings


def add_options(parser: pytest.Parser) -> None:
    """Add options and ini values; pytest-forked's ``--forked`` is taken over where it is there already."""
    # The name of pytest-forked's group: pytest itself notices there, and there alone, that --forked is given twice.
    group = parser.getgroup("forked", "a process for each test (pytest-forkiso)")
    # pytest-forked may have been registered before; its option has the same name and meaning.
    with contextlib.suppress(ValueError):
        group.addoption(
            "--forked",
            action="store_true",
            dest="forked",
            default=False,
            help="Run each test in a process of its own, not only those marked with @pytest.mark.forked.",
        )
    group.addoption(
        "--fork-preload",
        action="append",
        dest="fork_preload",
        metavar="MOD[,MOD]",
        help="Modules that are imported once, before the first test's process is forked; 'auto' for those that tests "
        "of earlier runs have imported late. May be repeated.",
    )
    group.addoption(
        "--fork-timeout",
        dest="fork_timeout",
        metavar="SECONDS",
        help="End the process of a test that takes longer; the test has failed.",
    )
    group.addoption(
        "--fork-jobs",
        dest="fork_jobs",
        metavar="N",
        help="Run up to N forked tests at a time; 'auto' for as many as there are processors.",
    )
    group.addoption(
        "--fork-template",
        dest="fork_template",
        choices=TEMPLATES,
        help="Where tests' processes are forked from: this process after collection ('fork'), a fresh interpreter "
        "that collects by itself ('exec') or has not collected anything ('bare'), this process before it has loaded "
        "conftest files ('early'), or whichever is safe ('auto').",
    )
    group.addoption(
        "--fork-workers",
        action="store_true",
        dest="fork_workers",
        default=False,
        help="Fork pytest-xdist's workers of this machine from one template, which has pytest, its plugins and what is "
        "to be preloaded imported.",
    )
    group.addoption(
        "--fork-report",
        action="append",
        dest="fork_report",
        metavar="FILE",
        help="Write what each test took to a page (FILE.html), as data (FILE.json), or as a trace for Perfetto and "
        "Chrome (FILE.trace.json). May be repeated.",
    )
    add_bounds_options(parser, group)
    add_share_options(parser, group)
    parser.addini("fork_template", "As --fork-template.", default="auto")
    parser.addini("fork_preload", "Modules that are imported before the first fork.", type="args", default=[])
    parser.addini(
        "fork_alive_timeout", "Seconds after which a forked process that shows no life is ended.", default="30"
    )
    parser.addini("fork_timeout", "Seconds for each forked test; empty for ever.", default="")
    parser.addini("fork_jobs", "Forked tests at a time: a number, or 'auto'.", default="1")
    parser.addini("fork_jobs_overlap", "Run tests that are not forked beside forked ones.", type="bool", default=False)
    parser.addini(
        "fork_gc",
        "Objects that the garbage collector of a test's process looks at: those that it has made itself ('own'), or "
        "those of the template as well ('all').",
        default="own",
    )
    parser.addini(
        "fork_immortal",
        "Do not count references to what the standard library and pytest define, in templates and tests' processes.",
        type="bool",
        default=True,
    )
    parser.addini("fork_output_limit", "Bytes kept of each captured stream of a forked test.", default=str(16 << 20))


def read_settings(config: pytest.Config) -> Settings:
    """Read options and ini values.

    Raises:
        pytest.UsageError: A value is no number, or out of range.
    """
    read_collected(config)  # checked here, and read in children
    return Settings(
        forks_all=bool(config.getoption("forked", False)),
        preload=read_modules(config, config.option),
        learns_preload=learns_preload(config),
        timeout=_read_timeout(config),
        jobs=_read_jobs(config),
        template=_read_template(_option_or_ini(config, "fork_template")),
        output_limit=_read_number(config.getini("fork_output_limit"), "the ini option fork_output_limit"),
        overlaps=bool(config.getini("fork_jobs_overlap")),
        bounds=read_bounds(config),
        alive_timeout=check_timeout(config.getini("fork_alive_timeout"), "the ini option fork_alive_timeout"),
        share=read_share(config),
    )


def _option_or_ini(config: pytest.Config, name: str) -> Any:
    value = config.getoption(name, None)
    return config.getini(name) if value is None else value


def read_modules(config: pytest.Config, options: argparse.Namespace) -> tuple[str, ...]:
    """Read which modules a template shall import, from the ini file and from options.

    Args:
        config: Of the session.
        options: Its own, or those that are known earlier.
    """
    return tuple(name for name in _preload_words(config, options) if name != LEARNED)


def learns_preload(config: pytest.Config) -> bool:
    """Tell whether modules that tests import late are preloaded in the next run."""
    return LEARNED in _preload_words(config, config.option)


def _preload_words(config: pytest.Config, options: argparse.Namespace) -> list[str]:
    values = [*config.getini("fork_preload"), *(getattr(options, "fork_preload", None) or [])]
    names = [name.strip() for value in values for name in value.split(",")]
    return list(dict.fromkeys(name for name in names if name))


def _read_timeout(config: pytest.Config) -> float | None:
    value = _option_or_ini(config, "fork_timeout")
    if value in (None, ""):
        return None
    return check_timeout(value, "--fork-timeout (or the ini option fork_timeout)")


def check_timeout(value: Any, where: str) -> float:
    """Check a number of seconds, which may be text.

    Args:
        value: From an option, an ini file or a marker.
        where: What to call it in the error.

    Raises:
        pytest.UsageError: It is no number above 0.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"{where} must be a number of seconds above 0, not {value!r}")
    return seconds


def _read_jobs(config: pytest.Config) -> int:
    value = _option_or_ini(config, "fork_jobs")
    if value == "auto":
        return max(1, _processors() // _xdist.workers_here(config))
    return _read_number(value, "--fork-jobs")


def _read_number(value: str, where: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise pytest.UsageError(f"{where} must be a whole number above 0, not {value!r}")
    return number


def _read_template(value: str) -> str:
    if value not in TEMPLATES:
        raise pytest.UsageError(f"the ini option fork_template must be one of {', '.join(TEMPLATES)}, not {value!r}")
    return value


def read_template_early(config: pytest.Config) -> str:
    """Give the kind of template that the user has asked for, before the command line is parsed to its end."""
    value = getattr(config.known_args_namespace, "fork_template", None)
    return str(config.getini("fork_template") if value is None else value)


def read_collected(config: pytest.Config) -> str:
    """Read which objects the garbage collector looks at in a child: one of `COLLECTED`.

    Raises:
        pytest.UsageError: It is another word.
    """
    value = config.getini("fork_gc")
    if value not in COLLECTED:
        raise pytest.UsageError(f"the ini option fork_gc must be one of {', '.join(COLLECTED)}, not {value!r}")
    return str(value)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_live(config: pytest.Config) -> bool:
    """Tell whether what a test shows goes to the terminal at once, between the reports, and not into them."""
    option = config.option
    if _read_jobs(config) > 1:
        return False  # tests that run at a time show what they show at a time
    # What a plugin has not added that the user has switched off is not there.
    if getattr(option, "capture", "no") in ("no", "tee-sys") or getattr(option, "setupshow", False):
        return True
    has_logging = config.pluginmanager.hasplugin("logging")
    return has_logging and (option.log_cli_level is not None or bool(config.getini("log_cli")))


def is_forked(item: pytest.Item, settings: Settings) -> bool:
    """Tell whether this test runs in a process of its own."""
    return settings.forks_all or item.get_closest_marker("forked") is not None


def item_timeout(item: pytest.Item, settings: Settings) -> float | None:
    """Give the seconds that a forked test may take; None for ever. The closest marker with ``timeout=`` decides."""
    argument = settings.bounds.profiles.arguments(item).get("timeout")
    if argument is None:
        return settings.timeout
    if argument.value is None:
        return None
    return check_timeout(argument.value, f"{item.nodeid}: timeout= of {argument.source}")


def item_share(item: pytest.Item, settings: Settings) -> str:
    """Give the widest scope of fixtures that a forked test shares. The closest marker with ``share=`` decides.

    Raises:
        pytest.UsageError: It is no scope; names the test and where it stands.
    """
    argument = settings.bounds.profiles.arguments(item).get("share")
    if argument is None:
        return settings.share.widest
    if argument.value is None:
        return SCOPES[0]
    return check_scope(argument.value, f"{item.nodeid}: share= of {argument.source}")


def check_marker(item: pytest.Item, settings: Settings) -> None:
    """Check the marker's arguments, and note what the test is bound to.

    Raises:
        pytest.UsageError: Unknown or wrong arguments; names the test.
    """
    for marker in item.iter_markers("forked"):
        if marker.args:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker 'forked' takes no positional arguments: {marker.args!r}"
            )
        unknown = sorted(set(marker.kwargs) - ARGUMENTS)
        if unknown:
            known = ", ".join(sorted(ARGUMENTS))
            raise pytest.UsageError(
                f"{item.nodeid}: the marker 'forked' has no argument {unknown[0]!r}; it takes: {known}"
            )
    item_timeout(item, settings)
    attach_bounds(item, settings.bounds)
    item_share(item, settings)
