"""Which versions of etcd are warned of."""

import pytest

from shell.stores.etcd3_versions import mended_in


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
