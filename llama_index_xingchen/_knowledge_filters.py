"""LlamaIndex's metadata filters as those of the core."""

from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters

from xingchen_core import ConfigurationError
from xingchen_core.bailian.knowledge import Condition, Filter, Group, Operator

_OPERATORS: dict[FilterOperator, Operator] = {
    FilterOperator.EQ: "eq",
    FilterOperator.NE: "ne",
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
    FilterOperator.IN: "in",
    FilterOperator.NIN: "nin",
    FilterOperator.ANY: "any",
    FilterOperator.ALL: "all",
    FilterOperator.TEXT_MATCH: "text_match",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "text_match_insensitive",
    FilterOperator.CONTAINS: "contains",
    FilterOperator.IS_EMPTY: "is_empty",
}


def to_filter(filters: MetadataFilters) -> Filter | None:
    """Return filters as the core's, `None` if there are none. Without a condition all must hold.

    Keys are those of a node's metadata, and the service's own, which are the same but for what we call otherwise.

    Raises:
        ConfigurationError: A value does not go with its operator.
    """
    parts = tuple(part for each in filters.filters if (part := _part(each)) is not None)
    return Group("and" if filters.condition is None else filters.condition.value, parts) if parts else None


def _part(filter: MetadataFilter | MetadataFilters) -> Filter | None:
    if isinstance(filter, MetadataFilters):
        return to_filter(filter)
    operator = _OPERATORS[filter.operator]
    if filter.value is None and operator != "is_empty":
        raise ConfigurationError(f"The filter on {filter.key!r} has no value: to look for none, use 'is_empty'.")
    return Condition(filter.key, operator, filter.value)
