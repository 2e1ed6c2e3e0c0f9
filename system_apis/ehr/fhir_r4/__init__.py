"""An EHR that speaks FHIR R4: usage comes in, charge-review records go out."""
