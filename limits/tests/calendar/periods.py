"""Makes periods.txt, the table that periods.rs compares the calendar with.

It looks at a zone's local clock instant by instant, with Python's zoneinfo and no calendar
arithmetic of ours:   python3 periods.py > periods.txt
"""

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

# Zone, period, starts_on (month, day), from, to, and seconds from one look to the next.
CASES = [
    # Offsets of half and quarter hours; changes by half an hour, by seconds, by two hours.
    ("Europe/Madrid", "hour", (1, 1), "2024-03-30T20:00", "2024-03-31T06:00", 60),
    ("Europe/Madrid", "hour", (1, 1), "2024-10-26T20:00", "2024-10-27T06:00", 60),
    ("Asia/Kolkata", "hour", (1, 1), "2024-03-30T20:00", "2024-03-31T06:00", 60),
    ("Asia/Kathmandu", "hour", (1, 1), "1985-12-31T12:00", "1986-01-01T06:00", 60),
    ("Australia/Lord_Howe", "hour", (1, 1), "2024-04-06T10:00", "2024-04-06T20:00", 60),
    ("Australia/Lord_Howe", "hour", (1, 1), "2024-10-05T10:00", "2024-10-05T20:00", 60),
    ("America/Caracas", "hour", (1, 1), "2007-12-09T02:00", "2007-12-09T12:00", 60),
    ("America/Caracas", "hour", (1, 1), "2016-05-01T02:00", "2016-05-01T12:00", 60),
    ("Asia/Pyongyang", "hour", (1, 1), "2015-08-14T10:00", "2015-08-14T20:00", 60),
    ("Asia/Pyongyang", "hour", (1, 1), "2018-05-04T10:00", "2018-05-04T20:00", 60),
    ("Africa/Monrovia", "hour", (1, 1), "1972-01-06T20:00", "1972-01-07T06:00", 30),
    ("Antarctica/Troll", "hour", (1, 1), "2024-03-30T22:00", "2024-03-31T06:00", 60),
    ("Antarctica/Troll", "hour", (1, 1), "2024-10-26T22:00", "2024-10-27T06:00", 60),
    ("UTC", "hour", (1, 1), "2016-12-31T20:00", "2017-01-01T04:00", 60),
    # Midnights that do not exist, or come twice, and dates that do not exist.
    ("America/Sao_Paulo", "day", (1, 1), "2018-11-01T00:00", "2018-11-07T00:00", 60),
    ("America/Sao_Paulo", "day", (1, 1), "2019-02-14T00:00", "2019-02-20T00:00", 60),
    ("Asia/Beirut", "day", (1, 1), "2022-03-24T00:00", "2022-03-30T00:00", 60),
    ("Asia/Beirut", "day", (1, 1), "2022-10-27T00:00", "2022-11-02T00:00", 60),
    ("Africa/Cairo", "day", (1, 1), "2023-04-25T00:00", "2023-05-01T00:00", 60),
    ("Africa/Cairo", "day", (1, 1), "2023-10-24T00:00", "2023-10-30T00:00", 60),
    ("America/Havana", "day", (1, 1), "2024-03-08T00:00", "2024-03-13T00:00", 60),
    ("America/Havana", "day", (1, 1), "2024-11-01T00:00", "2024-11-06T00:00", 60),
    ("America/St_Johns", "day", (1, 1), "2010-03-12T00:00", "2010-03-17T00:00", 60),
    ("America/St_Johns", "day", (1, 1), "2010-11-05T00:00", "2010-11-10T00:00", 60),
    ("Atlantic/Azores", "day", (1, 1), "2021-03-26T00:00", "2021-03-31T00:00", 60),
    ("Atlantic/Azores", "day", (1, 1), "2021-10-29T00:00", "2021-11-03T00:00", 60),
    ("Asia/Pyongyang", "day", (1, 1), "2015-08-12T00:00", "2015-08-18T00:00", 60),
    ("Pacific/Apia", "day", (1, 1), "2011-12-27T00:00", "2012-01-03T00:00", 60),
    ("Pacific/Kwajalein", "day", (1, 1), "1993-08-18T00:00", "1993-08-24T00:00", 60),
    ("Europe/Madrid", "day", (1, 1), "2024-03-29T00:00", "2024-04-03T00:00", 60),
    ("Europe/Madrid", "day", (1, 1), "2024-10-25T00:00", "2024-10-30T00:00", 60),
    ("Australia/Lord_Howe", "day", (1, 1), "2024-04-04T00:00", "2024-04-09T00:00", 60),
    ("Asia/Kolkata", "day", (1, 1), "2024-02-27T00:00", "2024-03-03T00:00", 60),
    ("UTC", "day", (1, 1), "2023-02-26T00:00", "2023-03-03T00:00", 60),
    # Weeks over the end of a year, over daylight saving, and one of six days.
    ("Europe/Madrid", "week", (1, 1), "2024-10-01T00:00", "2025-01-25T00:00", 900),
    ("America/New_York", "week", (1, 1), "2020-12-01T00:00", "2021-04-01T00:00", 900),
    ("Pacific/Apia", "week", (1, 1), "2011-12-10T00:00", "2012-01-20T00:00", 900),
    ("America/Sao_Paulo", "week", (1, 1), "2018-10-20T00:00", "2018-11-20T00:00", 900),
    # Months that begin on a day that shorter months do not have, leap years and others.
    ("Europe/Madrid", "month", (1, 1), "2023-12-15T00:00", "2025-01-15T00:00", 900),
    ("Europe/Madrid", "month", (1, 15), "2023-12-01T00:00", "2024-12-01T00:00", 900),
    ("Europe/Madrid", "month", (1, 29), "2022-12-01T00:00", "2024-05-10T00:00", 900),
    ("Europe/Madrid", "month", (1, 30), "2022-12-01T00:00", "2024-05-10T00:00", 900),
    ("Europe/Madrid", "month", (1, 31), "2022-12-01T00:00", "2024-05-10T00:00", 900),
    ("Asia/Kolkata", "month", (1, 31), "2024-01-01T00:00", "2024-07-10T00:00", 900),
    ("Pacific/Apia", "month", (1, 30), "2011-09-01T00:00", "2012-04-10T00:00", 900),
    ("America/Sao_Paulo", "month", (1, 4), "2018-09-01T00:00", "2019-03-10T00:00", 900),
    ("America/Sao_Paulo", "month", (1, 17), "2018-09-01T00:00", "2019-04-10T00:00", 900),
    # Years: from the first, of a fiscal year, of a leap day, of a date that was skipped.
    ("UTC", "year", (1, 1), "1970-01-01T00:00", "1974-01-05T00:00", 3600),
    ("Europe/Madrid", "year", (1, 1), "2019-06-01T00:00", "2025-02-01T00:00", 3600),
    ("Europe/Madrid", "year", (2, 29), "2019-01-01T00:00", "2025-06-01T00:00", 3600),
    ("Asia/Kolkata", "year", (4, 1), "2019-01-01T00:00", "2024-06-01T00:00", 1800),
    ("Pacific/Apia", "year", (12, 30), "2008-01-01T00:00", "2014-06-01T00:00", 3600),
    ("America/New_York", "year", (12, 31), "2018-06-01T00:00", "2024-06-01T00:00", 3600),
]


def days_of_month(year, month):
    first_of_next = date(year + month // 12, month % 12 + 1, 1)
    return (first_of_next - timedelta(days=1)).day


def name_of(day, period, starts_on):
    """What the period is called that a local date is in: equal names, same period."""
    month, first = starts_on
    if period == "day":
        return day
    if period == "week":
        return day.isocalendar()[:2]
    if period == "month":
        begun = day.day >= min(first, days_of_month(day.year, day.month))
        return day.year * 12 + day.month - (0 if begun else 1)
    begun = (day.month, day.day) >= (month, min(first, days_of_month(day.year, month)))
    return day.year - (0 if begun else 1)


def edges(zone, period, starts_on, begin, end, step):
    at, found, before = begin, [], None
    latest = date.min
    while at <= end:
        local = at.astimezone(zone)
        # A date that has begun goes on, even where the clock then goes back over midnight.
        latest = max(latest, local.date())
        if period == "hour":
            now = local.utcoffset()
            edge = before is not None and (now != before or (local.minute, local.second) == (0, 0))
        else:
            now = name_of(latest, period, starts_on)
            edge = before is not None and now != before
        if edge:
            found.append(at)
        at, before = at + timedelta(seconds=step), now
    return found


print("# zone, period, starts_on, then the edges, one after the other; made by periods.py.")
for zone, period, starts_on, begin, end, step in CASES:
    begin, end = (datetime.fromisoformat(t).replace(tzinfo=timezone.utc) for t in (begin, end))
    print(f"{zone} {period} {starts_on[0]:02}-{starts_on[1]:02}")
    for edge in edges(ZoneInfo(zone), period, starts_on, begin, end, step):
        print(f"  {edge:%Y-%m-%dT%H:%M:%SZ}")
