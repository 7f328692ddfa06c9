"""Funding of perpetuals: intervals that differ by instrument and change in time, what is paid, what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import FloatArray, IntArray, TimeArray, frozen, require, require_pointers, require_shape
from .errors import InputError
from .instruments import INVERSE, contract_value

HOUR = np.timedelta64(3600 * 10**9, "ns")
Durations = NDArray[np.timedelta64]


@dataclass(frozen=True)
class FundingSchedule:
    """When each instrument is charged funding: its interval, from which instant on.

    Charges fall on whole multiples of the interval since midnight UTC of 1970-01-01 (an interval of 8 hours charges at
    00, 08 and 16 o'clock). An interval holds from its first instant, which it may itself charge, until the next one's.

    Parameters
    ----------
    pointer
        Rows of instrument i: pointer[i] : pointer[i + 1]; one without rows is never charged. Shape (n + 1,).
    effective_from
        First instant of each row, UTC, datetime64[ns], rising for each instrument.
    interval
        Time between charges, timedelta64[ns], positive; NaT: none from then on (delisted).

    Raises
    ------
    InputError
        A pointer that is none, times that do not rise or are NaT, an interval that is not positive.

    Examples
    --------
    >>> schedule = FundingSchedule.of(["BTC", "SOL"], {"BTC": [("2024-01-01", 8)],
    ...     "SOL": [("2024-01-01", 8), ("2024-01-02T00:00", 4)]})
    >>> schedule.count(np.datetime64("2024-01-01T12:00"), np.datetime64("2024-01-02T12:00")).tolist()
    [3, 5]
    """

    pointer: IntArray
    effective_from: TimeArray
    interval: Durations

    def __post_init__(self) -> None:
        object.__setattr__(self, "pointer", frozen(self.pointer, np.int64))
        object.__setattr__(self, "effective_from", frozen(self.effective_from, "datetime64[ns]"))
        object.__setattr__(self, "interval", frozen(self.interval, "timedelta64[ns]"))
        n = len(self.effective_from)
        require_pointers(self.pointer, len(self.pointer) - 1, n, "pointer")
        require_shape(self.interval, (n,), "interval")
        rises = np.ones(n, np.bool_)
        rises[1:] = np.diff(self.effective_from) > np.timedelta64(0)
        rises[self.pointer[:-1][np.diff(self.pointer) > 0]] = True
        rises &= ~np.isnat(self.effective_from)
        require(rises, self.effective_from.astype(str), "must rise for each instrument", "effective_from")
        positive = np.isnat(self.interval) | (self.interval > np.timedelta64(0))
        require(positive, self.interval.astype(str), "must be positive", "interval")

    @classmethod
    def of(cls, symbols: Sequence[str], hours: Mapping[str, Sequence[tuple[str, float | None]]]) -> FundingSchedule:
        """Schedule of instruments by name: for each its (first instant, hours between charges), None for no more."""
        unknown = sorted(hours.keys() - set(symbols))
        if unknown:
            raise InputError("is not one of the instruments", column="symbol", value=unknown[0])
        rows = [hours.get(name, ()) for name in symbols]
        told = [(np.datetime64(at, "ns"), length) for row in rows for at, length in row]
        spans = [np.timedelta64("NaT", "ns") if h is None else np.timedelta64(round(h * 3.6e12), "ns") for _, h in told]
        pointer = np.concatenate(([0], np.cumsum([len(row) for row in rows])))
        return cls(
            pointer.astype(np.int64),
            np.array([at for at, _ in told], "datetime64[ns]"),
            np.array(spans, "timedelta64[ns]"),
        )

    def __len__(self) -> int:
        return len(self.pointer) - 1

    def charges(self, instrument: int, start: np.datetime64, end: np.datetime64) -> TimeArray:
        """Instants in (start, end] at which an instrument is charged: who enters at a charge does not pay it.

        Examples
        --------
        >>> schedule = FundingSchedule.of(["BTC"], {"BTC": [("2024-01-01", 8)]})
        >>> day = np.datetime64("2024-03-05")
        >>> schedule.charges(0, day, day + np.timedelta64(16, "h")).astype("datetime64[h]").astype(str).tolist()
        ['2024-03-05T08', '2024-03-05T16']
        """
        rows = range(int(self.pointer[instrument]), int(self.pointer[instrument + 1]))
        found = [np.zeros(0, np.int64)]
        for row in rows:
            first, last, step = self._span(row, rows[-1], start, end)
            if step > 0 and last > first:
                found.append(np.arange(first // step + 1, last // step + 1) * step)
        return np.concatenate(found).astype("datetime64[ns]")

    def count(self, start: np.datetime64, end: np.datetime64) -> IntArray:
        """Number of charges of each instrument in (start, end]."""
        out = np.zeros(len(self), np.int64)
        for i in range(len(self)):
            rows = range(int(self.pointer[i]), int(self.pointer[i + 1]))
            for row in rows:
                first, last, step = self._span(row, rows[-1], start, end)
                out[i] += max(last // step - first // step, 0) if step > 0 and last > first else 0
        return out

    def interval_at(self, time: np.datetime64) -> Durations:
        """Interval of each instrument in force at an instant; NaT where none is."""
        out = np.full(len(self), "NaT", "timedelta64[ns]")
        for i in range(len(self)):
            first, last = int(self.pointer[i]), int(self.pointer[i + 1])
            row = first + int(np.searchsorted(self.effective_from[first:last], time, side="right")) - 1
            if row >= first:
                out[i] = self.interval[row]
        return out

    def _span(self, row: int, last_row: int, start: np.datetime64, end: np.datetime64) -> tuple[int, int, int]:
        """Part (first, last] of (start, end] in which a row holds, and its interval; nanoseconds, 0 for none."""
        ends, begins = [_nanoseconds(end)], [_nanoseconds(start), int(self.effective_from[row].astype(np.int64)) - 1]
        if row < last_row:
            ends.append(int(self.effective_from[row + 1].astype(np.int64)) - 1)
        step = 0 if np.isnat(self.interval[row]) else int(self.interval[row].astype(np.int64))
        return max(begins), min(ends), step


def _nanoseconds(time: np.datetime64) -> int:
    return int(np.asarray(time, "datetime64[ns]").astype(np.int64))


def funding_payment(
    quantity: ArrayLike, multiplier: ArrayLike, mark: ArrayLike, rate: ArrayLike, kind: ArrayLike = 0
) -> FloatArray:
    """What positions receive at one charge, settlement asset; negative is paid. Arguments broadcast.

    -quantity * multiplier * mark * rate, for inverse contracts -quantity * multiplier / mark * rate: longs pay a
    positive rate to shorts.

    Examples
    --------
    >>> funding_payment([2.0, -2.0], 1.0, 50_000.0, 0.0001).tolist()
    [-10.0, 10.0]
    """
    size, price = np.multiply(quantity, multiplier), np.asarray(mark, np.float64)
    value = contract_value(size, price, np.asarray(kind) == INVERSE)
    return np.asarray(-value * np.asarray(rate, np.float64))


def accrued_funding(
    schedule: FundingSchedule,
    instrument: int,
    times: TimeArray,
    rate: FloatArray,
    mark: FloatArray,
    start: np.datetime64,
    end: np.datetime64,
    *,
    inverse: bool = False,
) -> float:
    """What one unit of size of an instrument receives over (start, end], settlement asset; summed in order of time.

    Parameters
    ----------
    schedule, instrument
        When it is charged, and which one.
    times, rate, mark
        Instants, UTC, with the rate charged and the mark it is charged on; every charge must be among them.
    start, end
        From after `start` to `end`.
    inverse
        Whether the contract is inverse; size is then in quote units.

    Raises
    ------
    InputError
        A charge of which no rate or mark is given, or a NaN one: nothing is filled in.

    Examples
    --------
    >>> schedule = FundingSchedule.of(["BTC"], {"BTC": [("2024-01-01", 8)]})
    >>> times = np.array(["2024-03-05T08", "2024-03-05T16"], "datetime64[ns]")
    >>> rate, mark = np.array([0.0001, -0.0002]), np.array([60_000.0, 61_000.0])
    >>> round(accrued_funding(schedule, 0, times, rate, mark, times[0] - HOUR, times[1]), 9)
    6.2
    """
    charges = schedule.charges(instrument, start, end)
    place = np.searchsorted(times, charges)
    there = place < len(times)
    there[there] = times[place[there]] == charges[there]
    require(there, charges.astype(str), "a funding charge has no rate", "funding")
    paid = funding_payment(1.0, 1.0, mark[place], rate[place], INVERSE if inverse else 0)
    require(np.isfinite(paid), charges.astype(str), "a funding charge has no rate or mark", "funding")
    return float(np.cumsum(paid)[-1]) if len(paid) else 0.0


def continuous_funding(rate: ArrayLike, interval: np.timedelta64, held: ArrayLike) -> FloatArray:
    """Rate accrued by a venue that charges without pause: rate of one interval * time held / interval.

    Source: Deribit perpetuals (8-hour rate accrued each millisecond); indices of dYdX, Drift and Synthetix.

    Examples
    --------
    >>> float(continuous_funding(0.0008, 8 * HOUR, 30 * HOUR / 60))
    5e-05
    """
    share = np.asarray(held, "timedelta64[ns]") / np.timedelta64(interval, "ns")
    return np.asarray(np.asarray(rate, np.float64) * share)


def predicted_rate(
    premium: ArrayLike,
    interest: ArrayLike = 0.0001,
    *,
    damping: float = 0.0005,
    cap: ArrayLike = np.inf,
    hours: ArrayLike = 8.0,
    base_hours: float = 8.0,
) -> FloatArray:
    """Funding rate a venue predicts from its average premium, fraction of notional for one interval.

    (premium + clamp(interest - premium, -damping, damping)) / (base_hours / hours), clamped to [-cap, cap]. `premium`
    and `interest` are for `base_hours`; the cap is of one interval.

    Notes
    -----
    Source: Binance, "Introduction to Futures Funding Rates" (damping 0.05%, interest 0.01% for 8 hours); Bybit and OKX
    share the form. NaN in gives NaN.

    Examples
    --------
    >>> predicted_rate([0.0003, 0.002, 0.03], cap=0.003).round(9).tolist()
    [0.0001, 0.0015, 0.003]
    >>> float(predicted_rate(0.002, hours=4.0).round(9))
    0.00075
    """
    average, carry = np.asarray(premium, np.float64), np.asarray(interest, np.float64)
    rate = average + np.clip(carry - average, -damping, damping)
    limit = np.asarray(cap, np.float64)
    return np.clip(rate / (base_hours / np.asarray(hours, np.float64)), -limit, limit)
