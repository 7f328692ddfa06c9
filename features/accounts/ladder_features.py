"""What a ladder of liquidation prices says of each instrument: how much is forced how near, and if it can cascade."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...riskcore.arrays import FloatArray, require, require_shape
from ...riskcore.errors import InputError
from ..engine.step import Declaration
from .ladder import LiquidationLadder

WITHIN = (0.01, 0.02, 0.05, 0.10)
SIDES = {"down": -1.0, "up": 1.0}
BIN, REACH = 0.005, 0.25
"""Width of the bins in which clusters are looked for, and how far from the mark; fractions of the price."""
TOTH = "B. Toth et al., Anomalous price impact and the critical nature of liquidity, Physical Review X 1 (2011)"


def signed_moves(within: ArrayLike = WITHIN) -> FloatArray:
    """Moves down, nearest first, then moves up.

    Examples
    --------
    >>> signed_moves([0.01, 0.05]).tolist()
    [-0.01, -0.05, 0.01, 0.05]
    """
    sizes = np.atleast_1d(np.asarray(within, np.float64))
    require((sizes > 0.0) & (sizes < 1.0), sizes, "must be between 0 and 1", "within")
    return np.concatenate((-sizes, sizes))


def forced_over(ladder: LiquidationLadder, base: FloatArray, within: ArrayLike = WITHIN) -> FloatArray:
    """Forced notional within each move over what the market can take.

    Parameters
    ----------
    ladder
        The ladder.
    base
        Quote units: traded a day, shape (n,), or resting within each move, shape (n, 2k): bids for moves down, then
        asks for moves up, in the order of `signed_moves`.
    within
        Sizes of the moves, shape (k,).

    Returns
    -------
    FloatArray
        Shape (n, 2k); NaN where the base is not known or zero.

    Examples
    --------
    >>> ladder = LiquidationLadder(("BTC",), [0], [0], [-0.02], [98.0], [1.0], [98.0])
    >>> forced_over(ladder, np.array([980.0]), [0.01, 0.05]).tolist()
    [[0.0, 0.1, 0.0, 0.0]]
    """
    forced = ladder.forced_within(signed_moves(within))
    room = np.asarray(base, np.float64)
    room = room[:, None] if room.ndim == 1 else room
    if room.shape not in ((len(forced), 1), forced.shape):
        raise InputError(f"has shape {np.shape(base)}, expected {forced.shape}", column="base")
    return forced / np.where(room > 0.0, room, np.nan)


def nearest_cluster(ladder: LiquidationLadder, share: float = 0.05) -> FloatArray:
    """Distance to the nearest bin of half a per cent in which much is forced, on each side of the mark.

    Parameters
    ----------
    ladder
        The ladder.
    share
        What counts as much: a fraction of all that the ladder forces of the instrument.

    Returns
    -------
    FloatArray
        Shape (n, 2), down and up: the near edge of the bin, positive fractions of the price; NaN where there is none
        within a quarter of the price. What is forced already is not a cluster ahead.

    Examples
    --------
    >>> ladder = LiquidationLadder(("BTC",), [0, 0], [0, 1], [-0.021, -0.082], [97.9, 91.8], [0.1, 9.0], [9.79, 826.2])
    >>> nearest_cluster(ladder).round(4).tolist()
    [[0.08, nan]]
    """
    if not 0.0 < share < 1.0:
        raise InputError("must be between 0 and 1", column="share", value=share)
    edges = np.arange(0.0, REACH + BIN / 2, BIN)
    total = np.bincount(ladder.instrument[ladder.has_rung], np.abs(ladder.value[ladder.has_rung]), len(ladder.symbols))
    out = np.full((len(ladder.symbols), 2), np.nan)
    for column, sign in enumerate(SIDES.values()):
        inside = np.diff(ladder.forced_within(sign * edges), axis=1)
        much = inside >= share * np.where(total > 0.0, total, np.inf)[:, None]
        out[:, column] = np.where(much.any(axis=1), edges[much.argmax(axis=1)], np.nan)
    return out


def cascade_pressure(
    ladder: LiquidationLadder,
    volatility: FloatArray,
    volume: FloatArray,
    within: ArrayLike = WITHIN,
    coefficient: float = 1.0,
) -> FloatArray:
    """Whether what is forced on the way to a move would carry the price there by itself.

    Forced orders of Q in a market that trades V a day at a daily volatility s move the price by Y s sqrt(Q / V), the
    square-root law. The pressure is the largest, over the moves m, of that impact over m: from 1 on a fall to the rung
    forces enough to go on to it without anybody else selling. Source: Toth et al. 2011; Y is about one.

    Parameters
    ----------
    ladder
        The ladder.
    volatility, volume
        Standard deviation of daily log returns, and traded value a day in quote units, shape (n,).
    within
        Sizes of the moves.
    coefficient
        Y.

    Returns
    -------
    FloatArray
        Shape (n, 2), down and up; NaN where a figure is not known or nothing is traded.

    Examples
    --------
    1% of a day's volume is forced within 2%, at 4% a day: an impact of 0.4% over 2%.

    >>> ladder = LiquidationLadder(("BTC",), [0], [0], [-0.02], [98.0], [1.0], [98.0])
    >>> cascade_pressure(ladder, np.array([0.04]), np.array([9800.0])).round(6).tolist()
    [[0.2, 0.0]]
    """
    moves = signed_moves(within)
    for name, values in (("volatility", volatility), ("volume", volume)):
        require_shape(values, (len(ladder.symbols),), name)
    forced = np.maximum(ladder.forced_within(moves), 0.0)
    impact = coefficient * volatility[:, None] * np.sqrt(forced / np.where(volume > 0.0, volume, np.nan)[:, None])
    half = len(moves) // 2
    over = impact / np.abs(moves)
    return np.column_stack((over[:, :half].max(axis=1), over[:, half:].max(axis=1)))


def ladder_declarations(within: ArrayLike = WITHIN) -> tuple[Declaration, ...]:
    """What the features of a ladder say of themselves: forced over volume and depth, clusters, cascade pressure.

    Examples
    --------
    >>> [one.name for one in ladder_declarations([0.01])][:2]
    ['forced_over_volume_down_1pct', 'forced_over_volume_up_1pct']
    """
    missing = "NaN where the known book, the volume, depth or volatility of the instrument is missing"
    out = []
    for base, said in (("volume", "traded value of a day"), ("depth", "depth resting within it")):
        for side in SIDES:
            for size in np.atleast_1d(within):
                name = f"forced_over_{base}_{side}_{100 * size:g}pct"
                summary = f"Net notional of the known book forced by a move {side} of {100 * size:g}%, over the {said}"
                out.append(Declaration(name, summary, "fraction", ("close",), 0.0, missing))
    for side in SIDES:
        summary = f"Distance to the nearest half per cent {side} in which a twentieth of all that is forced is forced"
        out.append(Declaration(f"cluster_{side}", summary, "fraction of the price", ("close",), 0.0, "NaN without one"))
        summary = f"Largest impact of what is forced on a move {side} over the move, by the square-root law"
        out.append(Declaration(f"cascade_pressure_{side}", summary, "ratio", ("close",), 0.0, missing, TOTH))
    return tuple(out)
