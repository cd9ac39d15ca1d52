"""The delivery engine on a seeded scheduler, in virtual time: relay, worker, gate and tracker are the real ones.

Modelled are time and order (`loop`), the way there and back (`network`), the store (`tables`, `store`), the log
(`log`) and the organisations. `docs/simulation.md` says what that shows and what it cannot.
"""
