"""Opening archive files: containers, checksums, damage."""

import gzip
import hashlib
import zipfile

import numpy as np
import pandas as pd
import pytest
from archive_samples import write_gz, write_zip

from margincast.features.readers.archive_cells import epoch_stamps, numbers, text_stamps
from margincast.features.readers.archive_files import lines_of, open_archive
from margincast.features.readers.archive_periods import Period, missing_periods
from margincast.features.readers.trade_bars import bars_of_trades
from margincast.riskcore.errors import InputError

LINES = ["a,b", *(f"{n},{n * 1.1}" for n in range(3000))]


def test_zip_gz_and_csv_hold_the_same_lines(tmp_path):
    plain = tmp_path / "x.csv"
    plain.write_text("\n".join(LINES) + "\n")
    files = [plain, write_zip(tmp_path / "x.zip", LINES), write_gz(tmp_path / "x.csv.gz", LINES)]
    read = [lines_of(open_archive(file), [("a", "b")]) for file in files]
    for frame in read:
        assert frame["b"].tolist() == [line.split(",")[1] for line in LINES[1:]]
    opened = open_archive(files[1])
    assert opened.sha256 == hashlib.sha256(files[1].read_bytes()).hexdigest()
    assert opened.retrieved.endswith("Z") and not opened.checked


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(LINES).encode())
    assert lines_of(open_archive(tmp_path / "x.csv"), [("a", "b")])["a"].iloc[-1] == "2999"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.99])
@pytest.mark.parametrize("name", ["x.zip", "x.csv.gz"])
def test_a_truncated_file_is_named(tmp_path, name, share):
    path = (write_zip if name == "x.zip" else write_gz)(tmp_path / name, LINES)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=rf"^{name}: (is truncated or damaged|has no rows|begins with)"):
        lines_of(open_archive(path), [("a", "b")])


def test_a_changed_byte_is_found_in_a_zip(tmp_path):
    path = write_zip(tmp_path / "x.zip", LINES)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="is truncated or damaged"):
        open_archive(path)


def test_a_zip_of_two_files_or_none(tmp_path):
    for members in (["a.csv", "b.csv"], ["a.txt"]):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
            for member in members:
                packed.writestr(member, "a,b\n1,2\n")
        with pytest.raises(InputError, match="must hold one CSV file"):
            open_archive(tmp_path / "x.zip")


def test_the_checksum_beside_a_file(tmp_path):
    path = write_zip(tmp_path / "x.zip", LINES, checksum=True)
    assert open_archive(path).checked
    beside = tmp_path / "x.zip.CHECKSUM"
    good = beside.read_text()
    beside.write_text(good.replace("x.zip", "y.zip"))
    with pytest.raises(InputError, match=r"x\.zip\.CHECKSUM: does not hold the hash of x\.zip"):
        open_archive(path)
    beside.write_text("0" * 64 + "  x.zip\n")
    with pytest.raises(InputError, match=r"x\.zip: the bytes are not those the venue published: its CHECKSUM says 000"):
        open_archive(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"x\.zip: cannot be read: No such file"):
        open_archive(tmp_path / "x.zip")


# --- cells ------------------------------------------------------------------------------------------------------------


def test_numbers_are_read_as_python_reads_them():
    rng = np.random.default_rng(1)
    values = rng.lognormal(0, 20, 2000)
    cells = pd.DataFrame({"x": [repr(float(v)) for v in values]})
    assert (numbers(cells, "x", "f") == values).all()


@pytest.mark.parametrize(
    ("unit", "count"),
    [
        ("seconds", 1709251200),
        ("milliseconds", 1709251200123),
        ("microseconds", 1709251200123456),
        ("nanoseconds", 1709251200123456789),
    ],
)
def test_the_unit_of_a_time_follows_from_its_size(unit, count):
    every = ("seconds", "milliseconds", "microseconds", "nanoseconds")
    stamps, found = epoch_stamps(pd.DataFrame({"t": [str(count)]}), "t", "f", every)
    assert found == unit
    assert str(stamps.view("datetime64[ns]")[0])[:19] == "2024-03-01T00:00:00"
    others = tuple(other for other in every if other != unit)
    with pytest.raises(InputError, match="f, row 0, column t: is not in .* since 1970"):
        epoch_stamps(pd.DataFrame({"t": [str(count)]}), "t", "f", others)


def test_a_date_that_is_none():
    with pytest.raises(InputError, match=r"f, row 1, column t: is not a date and time .*\(found '2024-02-30'\)"):
        text_stamps(pd.DataFrame({"t": ["2024-02-29", "2024-02-30"]}), "t", "f", "%Y-%m-%d")


def test_periods_and_the_days_between_them():
    assert Period("2024-02-29").next_text == "2024-03-01" and Period("2024-12").next_text == "2025-01"
    assert missing_periods(["2024-01", "2024-04", "2024-01-01"]) == ("2024-02", "2024-03")
    for text in ("2024-02-30", "2024-13", "yesterday"):
        with pytest.raises(InputError, match="is no day or month"):
            Period(text)


def test_bars_of_trades_are_those_of_pandas():
    rng = np.random.default_rng(2)
    n = 4000
    stamps = np.sort(rng.integers(0, 300, n)) * 10**9
    price, size = rng.uniform(90, 110, n), rng.integers(1, 9, n).astype(float)
    bought, count = rng.random(n) < 0.5, rng.integers(1, 4, n)
    trades = pd.DataFrame({"price": price, "size": size, "bought": size * bought, "count": count})
    minutes = trades.groupby(stamps // (60 * 10**9))
    shuffled = rng.permutation(n)
    shuffled = shuffled[np.argsort(stamps[shuffled], kind="stable")[::-1]]
    bars = bars_of_trades(stamps, price, size, bought, count)
    np.testing.assert_array_equal(bars[["open", "high", "low", "close"]], minutes["price"].ohlc())
    np.testing.assert_array_equal(bars["volume"], minutes["size"].sum())
    np.testing.assert_array_equal(bars["taker_buy_volume"], minutes["bought"].sum())
    np.testing.assert_array_equal(bars["trades"], minutes["count"].sum())
    mixed = bars_of_trades(stamps[shuffled], price[shuffled], size[shuffled], bought[shuffled], count[shuffled])
    unordered = ["timestamp", "high", "low", "volume", "taker_buy_volume", "trades"]
    pd.testing.assert_frame_equal(mixed[unordered], bars[unordered])


def test_trades_that_fall_in_time_are_sorted(tmp_path):
    stamps, one = np.array([70, 20, 10]) * 10**9, np.ones(3)
    bars = bars_of_trades(stamps, np.array([3.0, 2.0, 1.0]), one, one > 0, one.astype(np.int64))
    assert bars[["open", "close"]].to_numpy().tolist() == [[1.0, 2.0], [3.0, 3.0]]


def test_gz_without_its_end(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-4])
    with pytest.raises(InputError, match="is truncated or damaged"):
        open_archive(path)
