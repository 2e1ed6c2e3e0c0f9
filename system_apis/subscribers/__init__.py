"""Subscribers: who is told of events, by webhook, by stream, or while they listen (EVT-18,
MID-34).
"""
