"""`init_xingchen_model`: what LangChain's `init_chat_model` cannot be taught, as its list of providers is closed."""

from collections.abc import Sequence
from typing import Any, Literal, overload

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import ConfigurableField, Runnable

import langchain_xingchen
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core._config import ConnectionSettings

MODELS = {
    "xingchen": ("ChatXingchen", "character_id"),
    "beebot": ("ChatBeebot", "instance_id"),
    "bailian-app": ("ChatBailianApp", "app_id"),
    "bailian": ("ChatBailian", "model"),
}
"""Prefix -> class of this package, and the argument that takes what follows the prefix."""


@overload
def init_xingchen_model(
    model: str, *, configurable_fields: None = None, config_prefix: str | None = None, **kwargs: Any
) -> BaseChatModel: ...


@overload
def init_xingchen_model(
    model: str,
    *,
    configurable_fields: Literal["any"] | Sequence[str],
    config_prefix: str | None = None,
    **kwargs: Any,
) -> Runnable[Any, Any]: ...


def init_xingchen_model(
    model: str,
    *,
    configurable_fields: Literal["any"] | Sequence[str] | None = None,
    config_prefix: str | None = None,
    **kwargs: Any,
) -> BaseChatModel | Runnable[Any, Any]:
    """Make a chat model from a text.

    ```python
    init_xingchen_model("xingchen:<character_id>", user_id="u1")

    model = init_xingchen_model("xingchen:", configurable_fields=["character_id", "temperature"])
    model.invoke("你好", {"configurable": {"character_id": "..."}})
    ```

    Args:
        model: `xingchen:<character_id>`, `beebot:<instance_id>`, `bailian-app:<app_id>` or `bailian:<model>`. What
            follows the colon may be left out if it is given per call.
        configurable_fields: Fields that `config["configurable"]` may change per call: their names, or `any` for all
            that shape a request. Keys, addresses, timeouts and retries are never among them.
        config_prefix: With `"a"` the key of `temperature` is `a_temperature`.
        kwargs: Passed to the class.

    Raises:
        ConfigurationError: The prefix is unknown, or a field cannot be configured.
        UnsupportedOperationError: This release does not have that class yet.
    """
    prefix, colon, name = model.partition(":")
    if prefix not in MODELS or not colon:
        raise ConfigurationError(f"The model must begin with {', '.join(f'{p}:' for p in MODELS)}; got {model!r}.")
    class_name, parameter = MODELS[prefix]
    kind: type[BaseChatModel] | None = getattr(langchain_xingchen, class_name, None)
    if kind is None:
        raise UnsupportedOperationError(f"This release has no {class_name} yet, so it has no model for '{prefix}:'.")
    named: dict[str, Any] = {parameter: name} if name else {}
    made = kind(**named, **kwargs)
    if configurable_fields is None:
        return made
    return made.configurable_fields(
        **{
            field: ConfigurableField(id=f"{config_prefix}_{field}" if config_prefix else field)
            for field in _configurable(kind, configurable_fields)
        }
    )


def _configurable(kind: type[BaseChatModel], asked: Literal["any"] | Sequence[str]) -> Sequence[str]:
    settings = (c for c in kind.__mro__ if issubclass(c, ConnectionSettings) and not issubclass(c, BaseChatModel))
    fields = set(kind.model_fields).difference(BaseChatModel.model_fields, *(c.model_fields for c in settings))
    if asked == "any":
        return sorted(fields)
    if refused := [field for field in asked if field not in fields]:
        raise ConfigurationError(
            f"{', '.join(refused)} of {kind.__name__} cannot be configured per call; choose from "
            f"{', '.join(sorted(fields))}."
        )
    return asked
