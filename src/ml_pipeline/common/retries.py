"""Which requests to an API are sent again: those that never arrived, and those that it asks to repeat."""

import urllib3

AGAIN = urllib3.Retry(
    total=4,
    connect=2,
    read=2,
    redirect=False,
    other=0,  # a wrong certificate stays wrong
    backoff_factor=0.2,
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=None,  # any
    raise_on_status=False,
)
