"""The schema's history: `versions/NNNN_name.sql`, each with a small Alembic file beside it. Forward only.

A version that has been released is never edited; the next one changes what it made. No data of a person may enter here.
"""
