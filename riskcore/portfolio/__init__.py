"""Portfolio margin: risk arrays over scenarios, SPAN, ISDA SIMM, value at risk and expected shortfall."""
