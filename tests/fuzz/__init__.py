"""Broken bytes for every parser of ours, and for whole associations: `python -m tests.fuzz` looks for more of them."""
