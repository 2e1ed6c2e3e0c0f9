"""Surgical case demand (PRC-14): what a scheduled case needs, what is reserved, what is short."""
