"""One page to read, and to write to."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def page(request: HttpRequest) -> HttpResponse:
    """Tells how it was asked."""
    return HttpResponse(f"{request.method} was let through")


urlpatterns = [path("", page), path("health/", page), path("hooks/paid", page)]
