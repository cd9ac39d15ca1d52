"""The only wiring: settings become rooms, rooms become roles, roles become tasks. Only this room reads settings.

No decision and no query may enter.
"""

from broker.main.roles import ROLES, Role, work
from broker.main.rooms import Rooms, open_rooms
from broker.main.serving import Listener, PortBusy

__all__ = ["ROLES", "Listener", "PortBusy", "Role", "Rooms", "open_rooms", "work"]
