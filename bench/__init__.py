"""Measurements beside the peers: run `python -m bench start`."""
