"""`ledger`: what the ledger does in a second, and what it costs."""
