"""SAP S/4HANA over its published OData V2 services and Journal Entry - Post (SOAP)."""
