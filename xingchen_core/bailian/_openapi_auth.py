"""Either a bearer key or a signature, as each request needs it."""

from collections.abc import AsyncGenerator, Generator

import httpx

from xingchen_core._errors import ConfigurationError


class EitherAuth(httpx.Auth):
    """Signs the requests that name an action, and sends the others with the key and the workspace.

    Whether the public host heeds the workspace's header for knowledge bases is UNVERIFIED; it does no harm.

    Raises:
        ConfigurationError: While sending: the credentials for this request are missing.
    """

    requires_request_body = True

    def __init__(self, bearer: httpx.Auth | None, signature: httpx.Auth | None, workspace_id: str | None) -> None:
        self._bearer = bearer
        self._signature = signature
        self._workspace_id = workspace_id

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Authenticate and send."""
        return self._for(request).sync_auth_flow(request)

    def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Authenticate and send."""
        return self._for(request).async_auth_flow(request)

    def _for(self, request: httpx.Request) -> httpx.Auth:
        if "x-acs-action" in request.headers:
            if self._signature is None:
                raise ConfigurationError(
                    "This call is signed: pass access_key_id=... and access_key_secret=... besides the API key."
                )
            return self._signature
        if self._bearer is None:
            raise ConfigurationError("This call needs an API key: pass api_key=... or set DASHSCOPE_API_KEY.")
        if self._workspace_id:
            request.headers["X-DashScope-WorkSpace"] = self._workspace_id
        return self._bearer
