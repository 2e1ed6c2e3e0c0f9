"""The patient context: the only canonical object that names a patient. It lives sealed in the
ledger.
"""

import msgspec


class PatientContext(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Patient-linked values of one clinical event, all optional text as the EHR sent them.

    Never logged, never in a flow's record: flows carry the context token, and only a step with the
    `phi` grant gets
    this object from the ledger, which audits the opening.
    """

    patient_id: str = ""
    patient_name: str = ""
    encounter: str = ""
    account: str = ""
    case_number: str = ""
    procedure_id: str = ""

    def __repr__(self) -> str:
        return "PatientContext(sealed)"
