"""What a worker of pytest-xdist with several jobs hands out of the tests that it is given, and gives away again."""

from __future__ import annotations

import select
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_forkiso._xdist_jobs import Assignment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_forkiso._session import ForkedSession


class Interactor:
    """Stands for pytest-xdist's: keeps what it is to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.channel = self
        self.item_index = -1
        self.command: Callable[[tuple[str, dict[str, Any]]], None] = lambda _: None

    def setcallback(self, callback: Callable[[tuple[str, dict[str, Any]]], None], endmarker: object) -> None:
        """Keep what commands are given to."""
        assert endmarker == ("shutdown", {})
        self.command = callback

    def sendevent(self, name: str, **values: object) -> None:
        """Keep an event."""
        self.sent.append((name, values))


class Given:
    """An assignment of ten tests, of which those whose names begin with "here" are not forked."""

    def __init__(self, *, looks_ahead: bool = False, here: tuple[int, ...] = ()) -> None:
        names = [f"here{number}" if number in here else f"test{number}" for number in range(10)]
        items = [SimpleNamespace(nodeid=name) for name in names]
        forked = SimpleNamespace(is_forked=lambda item: item.nodeid.startswith("test"))
        self.interactor = Interactor()
        self.assignment = Assignment(
            cast("pytest.Session", SimpleNamespace(items=items)),
            cast("ForkedSession", forked),
            self.interactor,
            looks_ahead=looks_ahead,
        )

    def hear(self, name: str, *indices: int) -> None:
        """Let the controller say something."""
        self.interactor.command((name, {"indices": list(indices)}))

    def take(self, most: int = 10) -> list[str]:
        """Give the names of those that are handed out."""
        return [item.nodeid for item in self.assignment.take(most)]

    def stolen(self, *indices: int) -> list[int]:
        """Let the controller ask for some, and give the answer."""
        self.hear("steal", *indices)
        name, values = self.interactor.sent.pop()
        assert name == "unscheduled"
        return list(values["indices"])


@pytest.fixture
def make() -> Iterator[Callable[..., Given]]:
    """Give what makes assignments; all are closed."""
    made: list[Given] = []

    def make_one(**options: Any) -> Given:
        made.append(Given(**options))
        return made[-1]

    yield make_one
    for one in made:
        one.assignment.close()
        one.hear("shutdown")  # comes to nobody, as when the connection ends later


def test_handing_out(make: Callable[..., Given]) -> None:
    """In the order in which they came, as many as there is room for."""
    given = make()
    given.hear("runtests", 3, 1)
    given.hear("runtests", 2)
    assert given.take(2) == ["test3", "test1"]
    assert given.assignment.following is not None
    assert given.assignment.following.nodeid == "test2"
    assert given.take() == ["test2"]
    ends = [(given.assignment.is_exhausted, given.assignment.is_complete)]
    given.hear("shutdown")
    ends.append((given.assignment.is_exhausted, given.assignment.is_complete))
    assert ends == [(False, False), (True, True)]


def test_all_of_them(make: Callable[..., Given]) -> None:
    """--dist=each."""
    given = make()
    given.hear("runtests_all")
    assert len(given.take()) == 10


def test_looking_ahead(make: Callable[..., Given]) -> None:
    """Where fixtures are shared, no test is handed out before its follower is known, or that there is none."""
    given = make(looks_ahead=True)
    given.hear("runtests", 0, 1)
    assert given.take() == ["test0"]
    given.hear("shutdown")
    assert given.take() == ["test1"]


def test_stealing(make: Callable[..., Given]) -> None:
    """All that are asked for, or none where one of them is handed out."""
    given = make()
    given.hear("runtests", 0, 1, 2, 3)
    assert given.take(1) == ["test0"]
    assert given.stolen(0, 3) == []
    assert given.stolen(2, 3) == [2, 3]
    assert given.take() == ["test1"]


def test_the_one_that_follows_is_not_given_away(make: Callable[..., Given]) -> None:
    """Shared fixtures are kept for it."""
    given = make(looks_ahead=True)
    given.hear("runtests", 0, 1, 2)
    assert given.take(1) == ["test0"]
    assert given.stolen(1, 2) == []
    assert given.stolen(2) == [2]


def test_tests_that_are_not_forked(make: Callable[..., Given]) -> None:
    """They are not handed out to jobs, nor those behind them; they come with the one that follows."""
    given = make(here=(1,))
    given.hear("runtests", 0, 1, 2)
    assert given.take() == ["test0"]
    assert given.assignment.is_exhausted
    assert not given.assignment.is_complete
    item, following = given.assignment.take_other()
    assert following is not None
    assert (item.nodeid, following.nodeid) == ("here1", "test2")
    assert given.take() == ["test2"]


def test_what_the_controller_is_told(make: Callable[..., Given]) -> None:
    """Of each test by its index, in the order in which they are over."""
    given = make()
    given.hear("runtests", 4, 5)
    first, second = given.assignment.take(2)
    given.assignment.address(second.nodeid)
    assert given.interactor.item_index == 5
    given.assignment.done(second)
    given.assignment.done(first)
    assert [(name, values["item_index"]) for name, values in given.interactor.sent] == [
        ("runtest_protocol_complete", 5),
        ("runtest_protocol_complete", 4),
    ]


def test_the_bell(make: Callable[..., Given]) -> None:
    """The descriptor can be read from a command until that is noted."""
    given = make()

    def rings() -> bool:
        return bool(select.select([given.assignment], [], [], 0)[0])

    assert not rings()
    given.hear("runtests", 0)
    given.hear("runtests", 1)
    assert rings()
    given.assignment.note_change()
    assert not rings()
