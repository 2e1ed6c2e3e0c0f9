"""Units of measure: hospital codes against X12, UN/ECE and UCUM."""
