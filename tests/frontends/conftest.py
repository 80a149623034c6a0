"""What the tests with real front ends share."""

from __future__ import annotations

import pytest
from frontend_session import Screen, Session, Terminal


@pytest.fixture
def session(idle_daemon):
    """A session with a daemon that is not started yet."""
    session = Session(idle_daemon)
    yield session
    session.close()


@pytest.fixture
def screen(session):
    return Screen(session)


@pytest.fixture
def terminal(session):
    terminal = Terminal(session)
    yield terminal
    terminal.close()
