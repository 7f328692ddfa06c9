"""The verb `fetch`: parsing, progress, the closing table, errors in one line."""

import sys

import pytest
from archive_samples import HOUR, KLINE_HEADER, kline, milliseconds, write_zip
from recorded_venue import BinanceUsdm, Fault, Time, recorded

from margincast import __main__ as command_line
from margincast.features.readers.stored_tables import read_stored
from margincast.live import exchange as exchanges


@pytest.fixture
def venue(monkeypatch):
    """A recorded Binance, and a clock of its own for whoever opens an exchange."""
    time, opened = Time(), exchanges.open_exchange
    monkeypatch.setattr(
        exchanges, "open_exchange", lambda name, **rest: opened(name, sleep=time.sleep, clock=time.clock, **rest)
    )
    with BinanceUsdm(time) as served:
        yield served


@pytest.fixture
def run(monkeypatch, capsys, venue, tmp_path):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["margincast", "fetch", "--base-url", venue.url, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


USUAL = ("--exchange", "binanceusdm", "--symbols", "BTC,ETH", "--since", "2024-01-01")


def test_a_market_is_fetched_and_the_table_says_what_came(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(*USUAL, "--tables", "perp,mark,funding,open_interest,depth", "--out", tmp_path / "store")
    assert code == 0, err
    rows = {tuple(line.split()[:2]): line.split() for line in out.splitlines() if "2024-01" in line and ":" in line}
    assert rows["perp", "BTC"][2:5] == ["72", "0", "-"]
    assert rows["perp", "ETH"][2:6] == ["40", "0", "1", "(3"]
    assert "gap: perp ETH, 3 rows missing between 2024-01-03 09:00 and 2024-01-03 13:00" in out
    assert "nothing before 2024-01-02T05:00:00Z" in out
    assert "BTC is BTC/USDT:USDT (BTCUSDT)" in err and "perp BTC: 72 new" in err
    assert max(map(len, out.splitlines()[:12])) <= 80
    assert len(read_stored(tmp_path / "store", "mark")) == 112


def test_the_same_command_again_brings_nothing_new(run, tmp_path):
    for expected in ("72", "0"):
        code, out, _ = run(*USUAL[:2], "--symbols", "BTC", *USUAL[4:], "--tables", "perp", "--out", tmp_path / "store")
        assert code == 0 and next(line for line in out.splitlines() if line.startswith("perp")).split()[2] == expected


def test_times_may_name_the_hour(run, tmp_path):
    span = ("--since", "2024-01-02T06:00", "--until", "2024-01-02T09:00+00:00")
    code, _, err = run(*USUAL[:4], *span, "--tables", "perp", "--out", tmp_path / "store")
    assert code == 0, err
    frame = read_stored(tmp_path / "store", "perp", ["ETH"])
    assert frame["timestamp"].dt.hour.tolist() == [6, 7, 8]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--since", "yesterday"), "is not a date such as"),
        (("--tables", "trades"), "is not a table that can be fetched"),
        (("--exchange", "mtgox"), "is not a venue of ccxt"),
        (("--symbols", "DOGE"), "lists no perpetual DOGE/USDT:USDT"),
    ],
)
def test_a_mistake_is_told_in_one_line(run, tmp_path, arguments, said):
    code, _, err = run(*USUAL, "--out", tmp_path / "store", *arguments)
    assert code == 2 and said in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "store").exists()


def test_a_failing_venue_ends_with_code_2_and_no_trace(run, venue, tmp_path):
    venue.faults = [Fault("klines", 500, times=10**6)]
    code, _, err = run(*USUAL, "--tables", "perp", "--out", tmp_path / "store")
    assert code == 2 and "gave up after 6 tries" in err and "Traceback" not in err


def test_ctrl_c_says_how_to_go_on(run, tmp_path, monkeypatch):
    def interrupted(*arguments, **rest):
        raise KeyboardInterrupt

    monkeypatch.setattr("margincast.live.fetch.fetch", interrupted)
    code, _, err = run(*USUAL, "--out", tmp_path / "store")
    assert code == 130 and "the same command goes on" in err


@pytest.mark.parametrize("verb", ["fetch", "import"])
def test_help_reads_well_at_80_columns(verb, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["margincast", verb, "--help"])
    with pytest.raises(SystemExit):
        command_line.main()
    out, _ = capsys.readouterr()
    assert "Usage" in out and "…" not in out and max(map(len, out.splitlines())) <= 80


# -- import -------------------------------------------------------------------------------------------------------


def test_archives_are_imported_and_a_refused_file_is_told(monkeypatch, capsys, tmp_path):
    folder = tmp_path / "data" / "futures" / "um" / "daily" / "klines" / "BTCUSDT" / "1h"
    for day in ("2024-01-01", "2024-01-03"):
        opened = milliseconds(day)
        lines = [KLINE_HEADER, *(kline(opened + hour * HOUR) for hour in range(24))]
        write_zip(folder / f"BTCUSDT-1h-{day}.zip", lines)
    (folder / "BTCUSDT-1h-2024-01-04.zip").write_bytes(b"no zip")
    command = ["margincast", "import", str(tmp_path / "data"), "--out", str(tmp_path / "store")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    out, _ = capsys.readouterr()
    assert ended.value.code == 1, "a file was refused"
    assert "3 files: 2 imported, 0 known, 1 refused; 48 new rows" in out and "perp: 48 new" in out
    assert "no file of 2024-01-02" in out and "BTCUSDT-1h-2024-01-04.zip" in out
    assert len(read_stored(tmp_path / "store", "perp")) == 48


def test_an_import_says_stored_only_where_rows_were(monkeypatch, capsys, tmp_path):
    """The README's command: a file on its own needs --kind; refused or known already, nothing is stored."""
    opened = milliseconds("2024-01-01")
    lines = [KLINE_HEADER, *(kline(opened + hour * HOUR) for hour in range(24))]
    file = tmp_path / "BTCUSDT-1h-2024-01-01.zip"
    write_zip(file, lines)
    ends = []
    for kind in ((), ("--kind", "um/klines"), ("--kind", "um/klines")):
        monkeypatch.setattr(sys, "argv", ["margincast", "import", str(file), *kind, "--out", str(tmp_path / "store")])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        out, _ = capsys.readouterr()
        ends.append((int(ended.value.code or 0), "stored in" in out, "nothing was stored" in out))
    assert ends == [(1, False, True), (0, True, False), (0, False, True)]


def test_a_fetch_goes_on_where_an_archive_ends(run, tmp_path, monkeypatch, capsys):
    """The archive's last bar is the venue's: the same row, not a contradiction."""
    rows = [row for row in recorded("binanceusdm", "klines_BTCUSDT_1h") if row[0] < milliseconds("2024-01-02")]
    folder = tmp_path / "data" / "futures" / "um" / "daily" / "klines" / "BTCUSDT" / "1h"
    write_zip(folder / "BTCUSDT-1h-2024-01-01.zip", [KLINE_HEADER, *(",".join(map(str, row)) for row in rows)])
    monkeypatch.setattr(sys, "argv", ["margincast", "import", str(tmp_path / "data"), "--out", str(tmp_path / "store")])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code in (0, None), capsys.readouterr()
    code, out, err = run(
        "--exchange", "binanceusdm", "--symbols", "BTC", "--tables", "perp", "--out", tmp_path / "store"
    )
    assert code == 0, err
    assert next(line for line in out.splitlines() if line.startswith("perp")).split()[2:4] == ["48", "1"]
