"""ASC X12: envelopes, syntax and acknowledgements. Business meaning lives in the system APIs."""
