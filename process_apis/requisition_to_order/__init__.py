"""Requisition to order (PRC-01): checked, priced, approved, ordered."""
