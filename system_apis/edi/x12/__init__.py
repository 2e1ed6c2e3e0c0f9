"""X12 004010/005010: purchase orders out; acknowledgements, ship notices and invoices in."""
