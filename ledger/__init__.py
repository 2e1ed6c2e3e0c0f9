"""The durable record of business transactions, on PostgreSQL. It stores, orders, wakes and
proves.
"""
