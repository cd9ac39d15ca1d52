"""The proof by crashing: the exchange as separate processes on real servers, killed until something would have to give.

Run by `make faults`, not by `make test`. What it proves and how a run is repeated stands in `docs/faults.md`.
"""
