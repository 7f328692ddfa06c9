"""Adapters: each turns the inputs of a source's cases into riskcore calls and does no arithmetic of its own."""
