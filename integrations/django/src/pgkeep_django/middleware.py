"""Refuses what would write while the database is being replaced: such a write would be lost with the old database."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Callable, Union, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase

from .conf import Config, config, read_only_mode
from .fence import is_fenced

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
DETAIL = "Read-only maintenance"

GetResponse = Callable[[HttpRequest], Union[HttpResponseBase, Awaitable[HttpResponseBase]]]


class ReadOnlyModeMiddleware:
    """Answers unsafe methods with 503 while `.restore.lock` is fresh or READ_ONLY_MODE is set; safe ones pass.

    Place it first: what stands before it, such as sessions, may write.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer_later(request)
        return _refusal(request) or cast(HttpResponseBase, self.get_response(request))

    async def _answer_later(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in SAFE_METHODS:
            return await cast("Awaitable[HttpResponseBase]", self.get_response(request))
        refusal = await sync_to_async(_refusal, thread_sensitive=False)(request)
        return refusal or await cast("Awaitable[HttpResponseBase]", self.get_response(request))


def _refusal(request: HttpRequest) -> JsonResponse | None:
    if request.method in SAFE_METHODS:
        return None
    chosen = config()
    if _is_exempt(request.path, chosen) or not (read_only_mode() or is_fenced(chosen.lock_dir)):
        return None
    return JsonResponse(
        {"detail": DETAIL}, status=503, headers={"Retry-After": str(chosen.retry_after), "Cache-Control": "no-store"}
    )


def _is_exempt(path: str, chosen: Config) -> bool:
    return any(
        path == exempt or (exempt.endswith("/") and path.startswith(exempt)) for exempt in chosen.read_only_exempt
    )
