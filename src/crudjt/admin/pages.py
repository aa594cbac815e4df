"""Templates to responses."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

HERE = Path(__file__).parent


class Pages:
    """Renders the pages, each with what all of them have."""

    def __init__(self, location: str, *, signs_in: bool, read_only: bool, has_keys: bool) -> None:
        """Take what every page shows.

        Args:
            location: the location of the store.
            signs_in: whether to offer to sign out.
            read_only: whether to leave out what ends sessions.
            has_keys: whether to link to the page of the secret keys.

        """
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._always = {"location": location, "signs_in": signs_in, "read_only": read_only, "has_keys": has_keys}

    def show(self, request: Request, name: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """Return a page.

        Args:
            request: what it answers.
            name: of the template, without its suffix.
            status: of HTTP.
            context: what the template needs.

        """
        operator = getattr(request.state, "operator", None)
        always = {**self._always, "base": request.scope.get("root_path", ""), "operator": operator}
        return HTMLResponse(self._environment.get_template(f"{name}.html").render(always, **context), status)

    def message(self, request: Request, title: str, text: str, *, status: int = 200) -> HTMLResponse:
        """Return a page that says one thing."""
        return self.show(request, "message", status=status, title=title, text=text, failed=status >= 400)  # noqa: PLR2004
