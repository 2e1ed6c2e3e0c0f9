"""A simulated EHR: schedules cases and reports usage over HL7 v2 and FHIR, reviews charges."""
