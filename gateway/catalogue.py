"""The one list of what `pipeline` in gateway.toml may name."""

from policies.audit import Audit
from policies.bearer_token import BearerToken
from policies.correlation_id import CorrelationId
from policies.max_body import MaxBody
from policies.problem_details import ProblemDetails
from policies.rate_limit import RateLimit
from policies.security_headers import SecurityHeaders
from policies.tracing import Tracing

Policy = (
    Audit
    | BearerToken
    | CorrelationId
    | MaxBody
    | ProblemDetails
    | RateLimit
    | SecurityHeaders
    | Tracing  # policies are told apart by their `policy` key
)
