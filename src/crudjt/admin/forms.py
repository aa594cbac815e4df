"""The fields of a form that was sent."""

from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

_MAX_BODY_BYTES = 16 * 1024
_MAX_FIELDS = 10
_FORM = "application/x-www-form-urlencoded"


async def fields(request: Request) -> dict[str, str]:
    """Return the fields of the body of a request, without white space around them.

    Raises:
        HTTPException: the body is too long, or no form.

    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(415)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise HTTPException(413)
    try:
        found = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise HTTPException(400) from None
    return {name: values[0].strip() for name, values in found.items()}
