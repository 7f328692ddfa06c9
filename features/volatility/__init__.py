"""How much each price moves: estimators over bars, seasons, forecasts."""
