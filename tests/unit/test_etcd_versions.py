"""Which versions of etcd are warned of."""

from __future__ import annotations

import pytest

from shell.stores.attempts import AttemptFailed
from shell.stores.etcd3_versions import VersionWarnings, mended_in


@pytest.mark.parametrize(
    ("version", "better"),
    [
        ("3.3.27", "3.4.31"),
        ("3.4.23", "3.4.31"),
        ("3.4.31", ""),
        ("3.5.1", "3.5.13"),
        ("3.5.12-rc.0", "3.5.13"),
        ("3.5.13", ""),
        ("3.6.0", ""),
        ("4.0.0", ""),
        ("", ""),
        ("3.5", ""),
        ("three.five.one", ""),
    ],
)
def test_the_version_to_upgrade_to(version: str, better: str) -> None:
    """The mended patch of the same minor version, or the oldest minor version that has one."""
    assert mended_in(version) == better


def test_a_member_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """One that did not tell is asked again; one that told is not."""
    answers = [b"no JSON", b'{"etcdserver": "3.5.1"}']
    asked: list[str] = []

    def get(url: str, path: str, _seconds: float) -> bytes:
        asked.append(url + path)
        if not answers:
            raise AttemptFailed("asked once too often", maybe_done=False)
        return answers.pop(0)

    warnings = VersionWarnings(get)
    for _ in range(4):
        warnings.look("http://one:2379", 1.0)
    assert asked == ["http://one:2379/version"] * 2
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "upgrade etcd to 3.5.13 or later" in warning
