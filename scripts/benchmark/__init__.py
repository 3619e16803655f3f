"""Measures Parley against named baselines in one run: ``./scripts/bench``."""
