"""What a source of templates is asked, and what it gives; the steps that all of them have in common."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NamedTuple

import pytest

import forkcore
from pytest_forkiso._learning import learned

if TYPE_CHECKING:
    from pytest_forkiso._choice import Choice
    from pytest_forkiso._config import Settings
    from pytest_forkiso._slots import SlotTable
    from pytest_forkiso._source_exec import Collecting


FAILURES = (forkcore.RemoteError, forkcore.TemplateDied)
"""What comes of the user's code in a template: it raises, or ends the process."""
NOT_READY = "the template could not be made ready for its first fork"


class Request(NamedTuple):
    """What a source has to make a template of.

    Attributes:
        session: After collection.
        settings: Of the run.
        table: The output files of children, borrowed.
        forks: How many tests are forked, as far as that is known.
        collecting: A template that collects by itself; consumed. None where the source needs none.
        forked: A fork of this process, after collection; consumed. None where the source needs none.
    """

    session: pytest.Session
    settings: Settings
    table: SlotTable
    forks: int
    collecting: Collecting | None
    forked: forkcore.Template | None = None


class NotAlive(Exception):
    """A template does not answer: a lock was held when its process was forked."""


class Source(NamedTuple):
    """A template that is ready for its first fork.

    Attributes:
        template: Owned by whoever asked for it.
        target: What its children run, as for `forkcore.Template.run`; it waits for the order to run a test.
        choice: Where the template comes from, and why.
    """

    template: forkcore.Template
    target: str
    choice: Choice


def prepare(template: forkcore.Template, request: Request, code: str) -> forkcore.Template:
    """Import the preloads, and execute the source's own code.

    Args:
        template: Consumed where this fails.
        request: For which it is made.
        code: For `forkcore.Template.eval`.

    Raises:
        pytest.UsageError: A preload or the code has failed, with the traceback from there.
    """
    try:
        _preload(template, request)
        return template.eval(code).ready()
    except FAILURES as error:
        template.close()
        raise explain_failure(NOT_READY, error) from error
    except BaseException:
        template.close()
        raise


def explain_failure(words: str, error: forkcore.ForkcoreError) -> pytest.UsageError:
    """Make an error for the user.

    Args:
        words: What has failed.
        error: One of `FAILURES`; what is known of it from the template is shown.
    """
    text = error.remote_traceback if isinstance(error, forkcore.RemoteError) else ""
    return pytest.UsageError(f"{words}:\n{text or error}")


def check_alive(template: forkcore.Template, seconds: float) -> None:
    """Wait for the first answer of a template that was forked from this process.

    Args:
        template: Ended and closed if it does not answer.
        seconds: How long.

    Raises:
        NotAlive: It has not answered, or has ended.
    """
    try:
        template.ready(seconds)
    except forkcore.TemplateDied as error:
        template.close()
        raise NotAlive(f"a fork of pytest has ended at once: {error}; try --fork-template=bare") from None
    except forkcore.TimeoutExpired:
        os.kill(template.pid, signal.SIGKILL)  # our own child, and not waited for yet
        template.close()
        raise NotAlive(
            f"a fork of pytest was not alive after {seconds:g} s: a lock was held; try --fork-template=bare"
        ) from None


def _preload(template: forkcore.Template, request: Request) -> None:
    modules = [*request.settings.preload, *(["auto"] if request.settings.learns_preload else [])]
    try:
        queue_preloads(template, request.session.config, request.settings)
        template.ready()
    except FAILURES as error:
        raise explain_failure(f"--fork-preload {','.join(modules)} failed in the template", error) from error


def queue_preloads(template: forkcore.Template, config: pytest.Config, settings: Settings) -> None:
    """Let a template import modules, and look after each one whether it has started a thread."""
    for name in learned(config) if settings.learns_preload else ():
        template.eval("from pytest_forkiso._preload import load; load(*args)", name)
    for name in settings.preload:
        template.preload(name).eval("from pytest_forkiso._preload import check; check(*args)", name)
