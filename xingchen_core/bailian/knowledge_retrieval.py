"""Retrieval by whatever route the credentials allow."""

from xingchen_core._call import Call, Flow
from xingchen_core._errors import BadRequestError, ConfigurationError, NotFoundError
from xingchen_core.bailian._openapi import KnowledgeSettings
from xingchen_core.bailian.knowledge_indexes import find_index
from xingchen_core.bailian.knowledge_pipelines import find_pipeline
from xingchen_core.bailian.knowledge_routes import (
    Nodes,
    RetrieveRequest,
    from_index,
    from_openapi,
    from_pipeline,
    from_service,
    lacking,
)
from xingchen_core.bailian.knowledge_search_filters import Route


def choose_route(request: RetrieveRequest, settings: KnowledgeSettings) -> Route:
    """Return the route of a request: `route`, else what its ids and the credentials allow.

    An `agent_id` means `service`. An index is asked with the API key (`index`), or with the AccessKey (`openapi`) where
    there is no API key, or where there are both and the request asks for what only the latter has.

    Raises:
        ConfigurationError: The credentials do not fit.
    """
    has_key, can_sign = settings.has_key, settings.has_access_key and bool(settings.workspace_id)
    if request.route is not None:
        route = request.route
    elif request.agent_id is not None:
        route = "service"
    elif not has_key or (can_sign and (not _serves_keys(settings) or lacking(request, "index"))):
        route = "openapi"
    else:
        route = "index"
    if route == "openapi":
        if not can_sign:
            raise ConfigurationError(
                "The route 'openapi' is signed: pass access_key_id=..., access_key_secret=... and workspace_id=..., or "
                "set ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and DASHSCOPE_WORKSPACE_ID."
            )
    elif not has_key:
        raise ConfigurationError(f"The route {route!r} needs an API key: pass api_key=... or set DASHSCOPE_API_KEY.")
    elif not _serves_keys(settings):
        raise ConfigurationError(
            f"The route {route!r} is documented for region 'cn-beijing' only: use an AccessKey, or try a base_url=..."
        )
    return route


def retrieve(request: RetrieveRequest, settings: KnowledgeSettings, known: dict[str, str] | None = None) -> Flow[Nodes]:
    """Retrieve chunks: the same ones, in the same shape, whatever the route. None at all is a good answer.

    One call, and more where a name must be found first, or where a retrieval service takes no filters but tags. `known`
    is {index_name: id}, as far as these settings have found them; what is found is noted in it, what is gone taken out.

    Raises:
        UnsupportedOperationError: At once: the route lacks what is asked for; the message says which has it.
        ConfigurationError: At once: the credentials do not fit, or the request cannot be sent.
        NotFoundError: There is no such index.
    """
    route = choose_route(request, settings)
    workspace = settings.workspace_id or ""
    is_for_filters_only = route == "service" and not (request.filters or request.search_filters)
    if request.index_id is not None or request.index_name is None or is_for_filters_only:
        return _send(_call(request, route, workspace), request)
    _call(request.model_copy(update={"index_id": request.index_name}), route, workspace)  # refuses what it must now
    return _find_and_send(request, route, workspace, {} if known is None else known)


def _call(request: RetrieveRequest, route: Route, workspace: str) -> Call[Nodes]:
    if route == "openapi":
        return from_openapi(request, signed_for=workspace)
    if route == "service":
        return from_service(request)
    return from_pipeline(request) if route == "pipeline" else from_index(request)


def _find_and_send(request: RetrieveRequest, route: Route, workspace: str, known: dict[str, str]) -> Flow[Nodes]:
    name = request.index_name or ""
    if name not in known:
        if route == "pipeline":
            found = yield from find_pipeline(name)
        else:
            found = (yield from find_index(name, signed_for=workspace if route == "openapi" else None)).id
        known[name] = found
    request = request.model_copy(update={"index_id": known[name]})
    try:
        return (yield from _send(_call(request, route, workspace), request))
    except NotFoundError:
        known.pop(name, None)  # another one may have the name by now
        raise


def _send(call: Call[Nodes], request: RetrieveRequest) -> Flow[Nodes]:
    """Send a retrieval, and once more with less of the filters if a retrieval service takes tags only.

    UNVERIFIED: its examples filter by fields, its list of messages has "Only 'tags' and 'meta' are allowed".
    """
    try:
        nodes: Nodes = yield call
    except BadRequestError as error:
        if request.agent_id is None or request.filters is None or "invalid key" not in error.message.lower():
            raise
        nodes = yield from_service(request, tags_only=True)
    return nodes


def _serves_keys(settings: KnowledgeSettings) -> bool:
    return settings.base_url is not None or settings.region in (None, "cn-beijing")
