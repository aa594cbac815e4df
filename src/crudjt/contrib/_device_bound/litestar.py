"""The paths of device bound sessions as handlers of Litestar, which runs middleware for those only."""

from litestar import post
from litestar.config.app import AppConfig
from litestar.exceptions import NotFoundException
from litestar.plugins import InitPlugin

from crudjt.contrib._device_bound.settings import PATH, DeviceBound


class DeviceBoundPaths(InitPlugin):
    """Adds the two paths at which browsers prove that they are on the device; the session middleware answers them.

    Litestar runs a middleware for the paths of handlers only: ``Litestar(plugins=[DeviceBoundPaths()], …)``.
    """

    def __init__(self, path: str = PATH) -> None:
        """Take the `device_bound_path` of the session middleware."""
        self._path = path

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the handlers."""
        settings = DeviceBound(offers=True, path=self._path, cookie_name="", same_site="")
        for path in (settings.registration, settings.refresh):
            app_config.route_handlers.append(post(path, include_in_schema=False)(_without_middleware))
        return app_config


async def _without_middleware() -> None:
    raise NotFoundException
