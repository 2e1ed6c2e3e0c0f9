"""The EHR as a sender of HL7 v2: surgical scheduling (SIU) and usage charges (DFT), over MLLP."""
