"""`python -m broker.cli`."""

from broker.cli.commands import app

if __name__ == "__main__":
    app(prog_name="unwaith")
