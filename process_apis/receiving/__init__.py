"""Receiving (PRC-02, 34): what a person counts at the dock becomes a goods receipt."""
