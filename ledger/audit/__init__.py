"""The audit trail: records in chains, signed checkpoints over them, and what proves them."""
