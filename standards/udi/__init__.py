"""Unique device identifiers: GS1, HIBCC and ICCBBA carriers into one Udi."""
