"""Test how the comparison starts programs."""

from types import SimpleNamespace
from typing import cast

import pytest

from bench.plan import Plan
from bench.record import Book
from bench.scenarios import lifetime


def test_programs_start_with_compiled_modules_in_every_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(
        lifetime, "STARTS", {"probe": ["-c", "import sys; sys.exit(sys.dont_write_bytecode)"]}
    )
    book = Book()
    lifetime.starting(cast("Plan", SimpleNamespace(rounds=1, starts=2)), book)
    assert not book.failures
    assert len(book.rows["starting", "probe", 0, False]) == 2
