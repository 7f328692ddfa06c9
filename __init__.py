"""margincast: forecasts which margin accounts will be liquidated, and proposes margin parameters.

Three uses, each a verb of the command line and a few lines of Python: *train* on historical
data, *score* live accounts for early warning, *tune* regime-aware margin parameters. One
deterministic margin core (`margincast.riskcore`) decides what an account is worth and when it
is liquidated; everything else asks it.
"""

__version__ = "0.1.0"
