"""What a run must not do, and what counts as a fault."""

import os

import schemathesis

SPARED = set(os.environ["PGKEEP_SPARED"].split(","))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Spares the token and the account that the run logs in with; all others may go."""
    if case.method.upper() == "GET":
        return
    for name, value in (case.path_parameters or {}).items():
        if value in SPARED:
            case.path_parameters[name] = "somebody-else"


@schemathesis.check
def no_fault(ctx, response, case):
    """A server that is busy, for another request of the run has it prune, says when to come again; that is no fault."""
    if response.status_code < 500:
        return
    comes_again = response.status_code == 503 and "retry-after" in response.headers
    assert comes_again, f"a fault: {response.status_code} {response.text}"
