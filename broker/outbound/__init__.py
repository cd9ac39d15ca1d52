"""The one guarded way out: every HTTP request of ours to somebody else's system goes through `GuardedClient`.

The address is vetted before it is connected to, TLS is verified, nothing is followed, everything has an end.
May not enter: what is sent and why, retries, an organisation's rules; no URL with a query and no body in any message.
"""
