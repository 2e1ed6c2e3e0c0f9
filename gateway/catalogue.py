"""The one list of what `pipeline` in gateway.toml may name."""

from policies.audit import Audit
from policies.bearer_token import BearerToken
from policies.body_shape import BodyShape
from policies.body_time import BodyTime
from policies.correlation_id import CorrelationId
from policies.cors import Cors
from policies.lifecycle import Lifecycle
from policies.max_body import MaxBody
from policies.problem_details import ProblemDetails
from policies.public_hosts import PublicHosts
from policies.rate_limit import RateLimit
from policies.request_limits import RequestLimits
from policies.security_headers import SecurityHeaders
from policies.strict_framing import StrictFraming
from policies.tracing import Tracing

Policy = (
    Audit
    | BearerToken
    | BodyShape
    | BodyTime
    | CorrelationId
    | Cors
    | Lifecycle
    | MaxBody
    | ProblemDetails
    | PublicHosts
    | RateLimit
    | RequestLimits
    | SecurityHeaders
    | StrictFraming
    | Tracing  # policies are told apart by their `policy` key
)
