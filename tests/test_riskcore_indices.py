"""The kernels' own tests once more, with numba checking every index."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CHOSEN = "block or plain or layout or very_end or threads or without"
LATER = ("test_live_margin", "test_options_passage", "test_portfolio_scenarios", "test_waterfall_cascade")
CHOSEN_LATER = "ticks or every_bar or bound or exercise or twin or runs_out or one_unit"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [(["test_riskcore_margin", "test_riskcore_passage", "test_riskcore_bound"], CHOSEN), (LATER, CHOSEN_LATER)],
    ids=["margin", "options, scenarios, cascade"],
)
def test_no_kernel_reads_or_writes_beyond_its_arrays(tmp_path, names, chosen):
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("nothing is compiled")
    files = [str(TESTS / f"{name}.py") for name in names]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *files]
    # the cache on disk does not tell checked code from unchecked
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, cwd=TESTS.parent, env=checked, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_the_check_is_on(tmp_path):
    """A kernel made as ours are, reading one beyond the end, is told so."""
    code = (
        "import numpy as np\n"
        "from margincast.riskcore.margin_kernel import search_band\n"
        "search_band(np.zeros(5), np.array([0, 50], np.uint64), 0, 1.0)\n"
    )
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=checked, capture_output=True, text=True)
    assert "IndexError" in done.stderr
