"""GET /client/: the page, from files beside this package; nothing of it comes from elsewhere."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

router = APIRouter()

FILES: Final = Path(__file__).parent.parent / "static" / "client"
HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data:; media-src 'self' blob: mediastream:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "permissions-policy": "microphone=(self), camera=(self), autoplay=(self)",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
}


class Page(StaticFiles):
    """The page's files, with headers that keep everything else out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve whole files only: they are small, and a bad range is answered in plain text."""
        headers = [each for each in scope["headers"] if each[0] != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file.

        Raises:
            HTTPException: There is no such file.
        """
        if "\0" in path:
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


@router.get("/", include_in_schema=False)
@router.get("/client", include_in_schema=False)
async def to_page() -> RedirectResponse:
    """Lead a browser to the page."""
    return RedirectResponse("/client/", status_code=307)
