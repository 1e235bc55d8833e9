"""A test that lacks what it needs is skipped on a laptop and fails in CI."""

import pytest
from requirements import require


def test_what_is_there_passes(monkeypatch):
    monkeypatch.setenv("CI", "true")
    require(True, "not said")


def test_what_is_missing_is_skipped_or_fails(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        require(None, "no browser")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        require(None, "no browser")
