"""What our parts and outsiders agree on: changes, deliveries, receipts, statuses, agreements, topics.

Imports nothing of ours and needs only pydantic, so an organisation can install this room alone.
No I/O, no clock, no policy may enter here.
"""
