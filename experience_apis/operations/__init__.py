"""For IT operations: every transaction, live, hop by hop (EXP-06, EXP-10)."""
