"""What the machine *is*: domain, recipes, engine, record, access and the local socket."""

__version__ = "0.5.0"
