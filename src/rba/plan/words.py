"""Numbers and bytes as a person reads them."""

from __future__ import annotations


def number(value: float) -> str:
    """Three digits with a unit of thousands: 1.23 k, 4.5 M, 6 G, 7 T, 8 P, 9 E, 1 Z."""
    for unit in ("", "k", "M", "G", "T", "P", "E", "Z"):
        if abs(value) < 999.5 or unit == "Z":
            break
        value /= 1000
    return f"{value:.3g} {unit}".rstrip() if abs(value) >= 0.001 else f"{value:.1g}"


def size(value: float) -> str:
    """Bytes in GiB, MiB or KiB."""
    for unit, many in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if value >= many:
            return f"{value / many:.3g} {unit}"
    return f"{value / 1024:.3g} KiB"
