"""Who is calling, and what they may do.

Three trust domains that never mix: citizens (tokens of a named authorization server), organisations (tokens of our
own endpoint), operators. Tokens are judged here and nowhere else. No routes, no sessions, no settings, no queries.
"""
