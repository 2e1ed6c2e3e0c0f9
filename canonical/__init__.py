"""The language everyone speaks: business words, failures and small validated types. No IO, no
framework.
"""
