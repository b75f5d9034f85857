"""Errors of the API as RFC 9457 problem details: what is wrong, where, and how to mend it."""

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class ProblemKind(StrEnum):
    """What went wrong; the last part of the problem's `type`."""

    INVALID_REQUEST = "invalid-request"
    UNREADABLE_BODY = "unreadable-body"
    BODY_TOO_LARGE = "body-too-large"
    UNAUTHORIZED = "unauthorized"
    NO_SUCH_ROUTE = "no-such-route"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    NO_SUCH_DEVICE = "no-such-device"
    NO_SUCH_DELIVERY = "no-such-delivery"
    NO_SUCH_ALERT = "no-such-alert"
    NO_EXPLANATION = "no-explanation"
    ALERT_RESOLVED = "alert-resolved"
    ALERT_ACKNOWLEDGED = "alert-acknowledged"
    INVALID_CURSOR = "invalid-cursor"
    STORE_UNAVAILABLE = "store-unavailable"
    INTERNAL = "internal"
    REFUSED = "refused"


class Fault(BaseModel):
    """One wrong part of a request."""

    where: Annotated[str, Field(examples=["query.limit"])]
    what: Annotated[str, Field(examples=["Input should be less than or equal to 500"])]


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:attendant:problem:no-such-alert",
                    "title": "No such alert",
                    "status": 404,
                    "detail": "There is no alert 0b7f0a3e-64c5-5b5e-9a57-3f1c2f0f7a11.",
                    "instance": "/api/v1/alerts/0b7f0a3e-64c5-5b5e-9a57-3f1c2f0f7a11",
                    "mend": "List the alerts at /api/v1/alerts; alerts past the retention time are removed.",
                    "request_id": "6f1f0a9c2d6b4f0f8f0a4f6f3a2b1c0d",
                }
            ]
        }
    )

    type: str
    """A URN: the same for every problem of a kind."""
    title: str
    status: int
    detail: str
    """What is wrong with this request."""
    instance: str
    """The path that was asked for."""
    mend: str
    """What to do about it."""
    request_id: str
    """To find the request in the logs."""
    errors: list[Fault] | None = None
    """Each wrong part, where there are several."""


class ProblemError(HTTPException):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: ProblemKind,
        detail: str,
        mend: str,
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind
        self.mend = mend


def problem_response(
    path: str,
    request_id: str,
    status: int,
    kind: ProblemKind,
    detail: str,
    mend: str,
    *,
    errors: Sequence[Fault] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The problem as a response."""
    problem = Problem(
        type=f"urn:attendant:problem:{kind}",
        title=kind.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        instance=path,
        mend=mend,
        request_id=request_id,
        errors=list(errors) or None,
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), status_code=status, headers=headers, media_type=MEDIA_TYPE
    )


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can end with these problems."""
    return {
        int(status): {
            "description": status.phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)


def request_id_of(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    faults = _faults(error) if isinstance(error, RequestValidationError) else []
    return problem_response(
        request.url.path,
        request_id_of(request),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        ProblemKind.INVALID_REQUEST,
        "; ".join(f"{fault.where}: {fault.what}" for fault in faults),
        "Correct what `errors` names; /api/v1/openapi.json says what each route takes.",
        errors=faults,
    )


def _faults(error: RequestValidationError) -> list[Fault]:
    # The offending input is left out: it may be a secret in the wrong place.
    return [Fault(where=".".join(str(part) for part in e["loc"]), what=str(e["msg"])) for e in error.errors()]


KINDS = {
    HTTPStatus.NOT_FOUND: (ProblemKind.NO_SUCH_ROUTE, "The routes are listed in /api/v1/openapi.json."),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        ProblemKind.METHOD_NOT_ALLOWED,
        "Use a method that the header Allow names.",
    ),
    HTTPStatus.BAD_REQUEST: (ProblemKind.UNREADABLE_BODY, "Send the body as UTF-8 JSON."),
}


async def _refused(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error, ProblemError):
        kind, mend = error.kind, error.mend
    else:
        kind, mend = KINDS.get(
            HTTPStatus(error.status_code),
            (ProblemKind.REFUSED, "See /api/v1/openapi.json for what the route takes."),
        )
    headers = dict(error.headers) if error.headers else None
    return problem_response(
        request.url.path,
        request_id_of(request),
        error.status_code,
        kind,
        str(error.detail),
        mend,
        headers=headers,
    )


async def unavailable(request: Request, _error: Exception) -> JSONResponse:
    """The database is away."""
    # Which database, and why, stands in /readyz and in the logs.
    return problem_response(
        request.url.path,
        request_id_of(request),
        HTTPStatus.SERVICE_UNAVAILABLE,
        ProblemKind.STORE_UNAVAILABLE,
        "The database of the alerts does not answer.",
        "Try again in some seconds; /readyz says when it is back. Nothing is lost meanwhile.",
        headers={"retry-after": "5"},
    )
