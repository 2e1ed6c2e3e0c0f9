"""A simulated SAP S/4HANA: the OData V2 and SOAP faces a hospital integrates with, in memory."""
