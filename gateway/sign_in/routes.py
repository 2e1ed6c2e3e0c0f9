"""The router of everything that people meet; failures are shown as pages, never as JSON."""

from litestar import Router

from canonical.errors import Failure
from gateway.sign_in.authorize import ask_for_consent, consent
from gateway.sign_in.devices import (
    answer_device,
    ask_for_device_code,
    authorize_device,
    show_device,
)
from gateway.sign_in.own_password import ask_for_new_password, change_password
from gateway.sign_in.signing_in import (
    ask_to_sign_out,
    failed_page,
    read_style,
    sign_in,
    sign_out,
)

router = Router(
    "/oauth",
    route_handlers=[
        Router(
            "/",
            route_handlers=[
                ask_for_consent,
                consent,
                sign_in,
                ask_to_sign_out,
                sign_out,
                ask_for_new_password,
                change_password,
                ask_for_device_code,
                show_device,
                answer_device,
                read_style,
            ],
            exception_handlers={Failure: failed_page},
        ),
        authorize_device,
    ],
)
