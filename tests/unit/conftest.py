"""For tests that have pytest configured in their own process."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep plugins that are installed out of it: some start threads, and later tests fork this process."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
