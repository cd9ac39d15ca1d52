"""`make bench`: how fast the exchange is on this machine, measured against floors in the same run.

Nothing here is collected by pytest and no time is asserted anywhere: a run prints what moved since the last recorded one.
"""
