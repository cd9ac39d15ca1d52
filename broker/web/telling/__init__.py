"""How something is told on pages, whatever it is: questions one by one, who will be told, the answers again, the sending.

`journey` is the order and the way from step to step; `beginning`, `questions`, `addresses` and `sending` are its pages.
Each type of change has a journey of its own, in `broker.web.move` and `broker.web.changed`.
"""
