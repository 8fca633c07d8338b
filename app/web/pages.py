"""Serves the web pages that were built from console/."""

import os
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from sync.intake.problems import problem


def page(file: Path, status: HTTPStatus = HTTPStatus.OK) -> Callable[[Request], Response]:
    def answer(_request: Request) -> Response:
        if not file.is_file():
            return problem(
                HTTPStatus.NOT_FOUND, "This page was not built: `console/build.py` builds it."
            )
        # The names of scripts and styles change with their content; that of the page does not.
        return FileResponse(file, status, headers={"Cache-Control": "no-cache"})

    return answer


def or_page(otherwise: ASGIApp, file: Path) -> ASGIApp:
    """Answers browsers with a page that says that nothing is at their address; programs get the
    answer of `otherwise`."""
    not_found = page(file, HTTPStatus.NOT_FOUND)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if is_read and "text/html" in Headers(scope=scope).get("accept", ""):
            await not_found(Request(scope))(scope, receive, send)
        else:
            await otherwise(scope, receive, send)

    return answer


# Vite puts a hash of the content into the names of scripts, styles and fonts.
_NAMED_BY_CONTENT = re.compile(r"-[\w-]{8}\.\w+$")


class BuiltFiles(StaticFiles):
    """Serves what was built, compressed where the build has left a compressed copy beside it.

    Answers of the API are not compressed: where a secret stands beside what a stranger can make the
    client send, the length of the compressed answer tells the secret.
    """

    def __init__(self, directory: Path, *, html: bool = False) -> None:
        super().__init__(directory=directory, html=html, check_dir=False)

    def file_response(
        self,
        full_path: "os.PathLike[str] | str",
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        packed = Path(f"{full_path}.gz")
        is_packed = _takes_gzip(Headers(scope=scope)) and packed.is_file()
        if is_packed:
            full_path, stat_result = packed, packed.stat()
        response = super().file_response(full_path, stat_result, scope, status_code)
        if is_packed and isinstance(response, FileResponse):
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        name = Path(full_path).name.removesuffix(".gz")
        lasting = "public, max-age=31536000, immutable"
        response.headers["Cache-Control"] = (
            lasting if _NAMED_BY_CONTENT.search(name) else "no-cache"
        )
        return response


def _takes_gzip(headers: Headers) -> bool:
    accepted = [part.partition(";") for part in headers.get("accept-encoding", "").split(",")]
    return any(
        name.strip().lower() == "gzip" and not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", quality)
        for name, _, quality in accepted
    )
