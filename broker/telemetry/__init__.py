"""Logs, metrics and health: what operators see of the machine, never of a person.

Names only: nothing here decides, stores, or knows what a change is. No personal data may enter, by any door.
"""
