"""What a registrar says of a death."""

from contracts.changes.bereavement import RegistrationReference
from contracts.text import Strict
from contracts.times import Day


class DeathConfirmation(Strict):
    """That a death is registered under this number, and on which day it was."""

    registration_reference: RegistrationReference
    death_date: Day
    """ISO 8601."""
