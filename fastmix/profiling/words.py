"""Numbers as people read them."""

from __future__ import annotations


def significant(value: float | None, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent; "-" for None."""
    if value is None:
        return "-"
    if value >= 10**digits:
        return f"{value:.0f}"
    text = f"{value:#.{digits}g}"
    return f"{value:.6f}" if "e" in text else text.rstrip(".")


def percent(fraction: float | None) -> str:
    """A fraction as whole percents, below 10 with one digit more; "-" for None."""
    if fraction is None:
        return "-"
    return f"{100 * fraction:.1f} %" if 100 * fraction < 9.95 else f"{100 * fraction:.0f} %"


def grouped(number: int) -> str:
    """An integer with its digits in groups of three."""
    return f"{number:,}".replace(",", " ")
