"""The package's errors as LangChain knows them: each is an instance of both trees."""

import langchain_core.exceptions as langchain

import xingchen_core as core


def _blocked() -> type[Exception]:
    """Return what a blocked request is for LangChain: an invalid one, and since langchain-core 1.7.5 a refusal too.

    A refusal is made of a message; where the request was blocked there is none.
    """
    refusal: type[Exception] | None = getattr(langchain, "ModelRefusalError", None)
    if refusal is None:
        return langchain.ModelInvalidRequestError
    return type("ModelRefusalError", (refusal, langchain.ModelInvalidRequestError), {"raw_message": None})


_COUNTERPARTS: dict[type[core.XingchenError], type[Exception]] = {
    core.APITimeoutError: langchain.ModelTimeoutError,
    core.APIConnectionError: langchain.ModelConnectionError,
    core.APIResponseError: langchain.ModelAPIError,
    core.ContextOverflowError: langchain.ContextOverflowError,
    core.ContentFilterError: _blocked(),
    core.BadRequestError: langchain.ModelInvalidRequestError,
    core.AuthenticationError: langchain.ModelAuthenticationError,
    core.PermissionDeniedError: langchain.ModelPermissionDeniedError,
    core.BillingError: langchain.ModelPermissionDeniedError,
    core.NotFoundError: langchain.ModelNotFoundError,
    core.RateLimitError: langchain.ModelRateLimitError,
    core.InternalServerError: langchain.ModelAPIError,
    core.APIStatusError: langchain.ModelError,  # a status with no class of its own, such as 405 or 408
}


_made: dict[type[core.XingchenError], type[core.XingchenError]] = {}


def model_error_class(kind: type[core.XingchenError]) -> type[core.XingchenError]:
    """Return the class that is both `kind` and LangChain's counterpart; `kind` itself if there is none."""
    if kind not in _made:
        _made[kind] = _joined(kind)
    return _made[kind]


def _joined(kind: type[core.XingchenError]) -> type[core.XingchenError]:
    counterpart = next((_COUNTERPARTS[base] for base in kind.__mro__ if base in _COUNTERPARTS), None)
    if counterpart is None or issubclass(kind, counterpart):
        return kind
    return type(kind.__name__, (kind, counterpart), {"__doc__": kind.__doc__, "__module__": __name__})


def __getattr__(name: str) -> type[core.XingchenError]:
    """Give pickle the made classes by name, in a process that has not met such an error yet."""
    kind = getattr(core, name, None)
    if isinstance(kind, type) and issubclass(kind, core.XingchenError):
        return model_error_class(kind)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _ModelErrors:
    """Raises the package's errors as LangChain's too, with everything they carry."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, core.XingchenError):
            made = model_error_class(type(error))
            if made is not type(error):
                raise error.as_type(made) from error.__cause__


_MODEL_ERRORS = _ModelErrors()


def model_errors() -> _ModelErrors:
    """Return what raises the package's errors as LangChain's too: one object, since each call of a model needs it."""
    return _MODEL_ERRORS
