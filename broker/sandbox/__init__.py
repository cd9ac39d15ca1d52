"""Development stand-ins: an OpenID provider shaped like GOV.UK One Login, and sample organisations' systems.

An outsider: it knows `contracts` and the wire, never our stages or store, so that what works here works for others.
Everyone and every address in it is invented. It serves loopback only and is not in the production image.
"""
