"""FHIR R4: the resources we read and write, as Structs, with named failures."""
