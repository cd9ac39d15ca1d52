"""The broker: one change in, one owed delivery to each organisation that must know, followed to its answer.

Read the stages in the order a change takes: intake, relay, delivery, tracking. They meet only in the store and the log.
"""
