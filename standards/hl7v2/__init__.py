"""HL7 v2 in ER7 encoding: reader, batches, acknowledgements, MLLP frames, value types."""
