"""Policies of the edge, one file each: configuration and behaviour in one frozen Struct.

Inbound, outermost first: correlation-id, security-headers, audit, problem-details, rate-limit (of
refused tokens), max-body, bearer-token, rate-limit (of calls); scopes are checked inside Litestar.
Outbound, outermost first: retry, circuit-breaker, timeout, then the transport.
"""
