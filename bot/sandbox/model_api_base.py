"""The model API's paths on a port of 127.0.0.1; subclasses give the answers."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from aiohttp import web


class ModelApiBase(ABC):
    """Both generations of the API, v4 and v6. Use `url` as its host while the context is open."""

    def __init__(self, shutdown_timeout: float) -> None:
        self.url = ""
        app = web.Application()
        app.router.add_post("/api/v4/dreambooth/model_reload", self._reload)
        app.router.add_post("/api/v6/images/model_reload", self._reload)
        app.router.add_post("/api/v4/dreambooth", self._render)
        app.router.add_post("/api/v6/images/text2img", self._render)
        app.router.add_post("/api/v4/dreambooth/fetch", self._fetch)
        app.router.add_post("/api/v6/images/fetch/{job}", self._fetch)
        app.router.add_get("/picture.png", self._picture)
        app.router.add_post("/api/v4/dreambooth/model_list", self._list)
        app.router.add_post("/api/wallet_balance", self._balance)
        self._runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def picture_url(self) -> str:
        """The address of a rendered picture."""
        return f"{self.url}/picture.png"

    @abstractmethod
    async def _reload(self, request: web.Request) -> web.StreamResponse: ...

    @abstractmethod
    async def _render(self, request: web.Request) -> web.StreamResponse: ...

    @abstractmethod
    async def _fetch(self, request: web.Request) -> web.StreamResponse: ...

    @abstractmethod
    async def _picture(self, request: web.Request) -> web.StreamResponse: ...

    @abstractmethod
    async def _list(self, request: web.Request) -> web.StreamResponse: ...

    @abstractmethod
    async def _balance(self, request: web.Request) -> web.StreamResponse: ...
