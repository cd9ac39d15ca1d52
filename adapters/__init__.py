"""Adapters: one module for each way of reaching an organisation, and the suite every one of them must pass.

An adapter turns one delivery into one request and one answer into one receipt or one failure. It may import
`contracts` and libraries of its protocol only; no log, no retry, no storage, no other adapter may enter.
"""
