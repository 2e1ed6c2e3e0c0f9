"""Policies of the edge, one file each: configuration and behaviour in one frozen Struct.

Inbound, outermost first: correlation-id, security-headers, audit, problem-details, strict-framing,
request-limits, public-hosts, cors, body-time, max-body, body-shape, rate-limit (of refused tokens),
bearer-token, rate-limit (of calls), lifecycle; scopes are checked inside Litestar.
Outbound, outermost first: retry, circuit-breaker, timeout, then the transport.
"""
