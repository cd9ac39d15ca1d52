"""Tracking: receipts are folded into statuses, which only rise, and say when a delivery is due again.

What a receipt means is decided by pure functions (`fold`, `retry`); the store only writes down what they decided.
"""
