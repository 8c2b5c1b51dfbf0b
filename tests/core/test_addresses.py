"""Which addresses cannot be ours by their range."""

from __future__ import annotations

import pytest

from watchfloor_core.addresses import is_outside


@pytest.mark.parametrize(
    ("address", "outside"),
    [
        ("45.77.3.9", True),
        ("203.0.113.66", True),
        ("2001:db8::1", True),
        ("10.0.0.1", False),
        ("172.31.255.255", False),
        ("100.64.0.1", False),
        ("169.254.1.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:45.77.3.9", True),
        ("host", False),
        ("", False),
    ],
)
def test_an_address_is_outside_where_its_range_is_nobodys_own(address: str, *, outside: bool) -> None:
    assert is_outside(address) is outside
