"""Times as people type them, and how results are stamped.

Pure but for the local time zone, which an operator's time without an offset is taken in.
"""

import re
from datetime import datetime

import click

# Numeric dates are accepted year first only: 03/04/2026 means two different days.
_FORMATS = (
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d %b %Y %H:%M",
    "%d %B %Y %H:%M",
    "%b %d %Y %H:%M",
    "%B %d %Y %H:%M",
    "%b %d, %Y %H:%M",
    "%B %d, %Y %H:%M",
    "%d %b %Y %H:%M:%S",
    "%b %d %Y %H:%M:%S",
)


def parse_moment(text: str) -> datetime | None:
    """A moment with a zone; None for an unreadable or ambiguous text.

    Accepted are ISO 8601, year-first dates, dates with the month's name, and seconds since 1970.
    Without an offset the local zone is meant.
    """
    cleaned = " ".join(text.split())
    if re.fullmatch(r"\d{9,11}(\.\d+)?", cleaned):
        return datetime.fromtimestamp(float(cleaned)).astimezone()
    body, zone = _split_zone(cleaned)
    moment = _parse_naive(cleaned)
    if moment is None and zone:
        naive = _parse_naive(body)
        offset = _parse_naive(f"2000-01-01 00:00{zone}")
        moment = naive.replace(tzinfo=offset.tzinfo) if naive is not None and offset else None
    if moment is None:
        return None
    try:
        return moment if moment.tzinfo is not None else moment.astimezone()
    except (ValueError, OverflowError):
        return None


def _parse_naive(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None


def _split_zone(text: str) -> tuple[str, str]:
    """Split a trailing `+02:00`, `+0200` or `Z` off; the zone is empty when there is none."""
    match = re.fullmatch(r"(.*?\d{2})\s*(Z|[+-]\d{2}:?\d{2})", text)
    return (match[1], match[2]) if match else (text, "")


def parse_schedule(text: str | None) -> datetime | None:
    """The moment of a `--scheduled` option; None means now.

    Raises ClickException for a time that is unreadable or past.
    """
    if text is None or text.strip().lower() in ("", "now"):
        return None
    moment = parse_moment(text)
    if moment is None:
        raise click.ClickException(
            f"Unable to parse scheduled timestamp ({text}). It should be in an unambiguous format"
            " (e.g. ISO 8601: 2026-09-01T02:00+02:00)"
        )
    if moment <= datetime.now().astimezone():
        raise click.ClickException(f"Scheduled time {moment.isoformat()} is in the past")
    return moment


def stamp() -> str:
    """The local time in front of a result: `2026-09-01 02:00:00.12345`."""
    return f"{datetime.now():%Y-%m-%d %H:%M:%S.%f}"[:-1]


def example_time() -> str:
    """An example for prompts: this time, one hour on, to the minute."""
    now = datetime.now()
    return f"{now.replace(hour=(now.hour + 1) % 24):%Y-%m-%dT%H:%M}"
