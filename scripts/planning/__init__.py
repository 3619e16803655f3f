"""How much a database of messages takes: arithmetic, bytes measured, plots."""
