"""The one guarded way out to others' systems: HTTP through `GuardedClient`, the rest through `GuardedConnections`.

The address is vetted before it is connected to, TLS is verified, nothing is followed, everything has an end.
May not enter: what is sent and why, retries, an organisation's rules; no URL with a query and no body in any message.
"""
