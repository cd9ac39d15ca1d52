"""The only wiring: settings become rooms, rooms become roles, roles become tasks. Only this room reads settings.

No decision and no query may enter.
"""
