"""`MetadataFilters` of `BailianRetriever`: each operator, alone, joined and nested (conformance items 60 and 62)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from llama_index_xingchen import BailianRetriever
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.emulator import Emulator

ROWS: dict[str, dict[str, Any]] = {
    "甲": {"price": 10, "city": "杭州", "colours": ["red", "blue"]},
    "乙": {"price": 20, "city": "Hang", "colours": ["red"]},
    "丙": {"price": 30, "city": "hangar", "colours": []},
    "丁": {"price": 20},
}

O = FilterOperator  # noqa: E741


@pytest.fixture(scope="module")
def retriever() -> Iterator[BailianRetriever]:
    """Finds every row of a knowledge base."""
    with Emulator() as emulator:
        knowledge = emulator.bailian.knowledge
        knowledge.add_index("表", "kbfake")
        for name, row in ROWS.items():
            knowledge.add_document("kbfake", f"{name}.md", "茶", meta=row)
        with BailianRetriever(
            index_id="kbfake", similarity_top_k=20, api_key="test-key", base_url=emulator.url
        ) as made:
            yield made


def found(retriever: BailianRetriever, filters: MetadataFilters) -> str:
    """Which rows are found."""
    nodes = retriever.model_copy(update={"filters": filters}).retrieve("茶")
    return "".join(name for name in ROWS if name in {node.metadata["document_name"] for node in nodes})


def one(key: str, operator: FilterOperator, value: Any) -> MetadataFilter:
    """A filter."""
    return MetadataFilter(key=key, operator=operator, value=value)


@pytest.mark.parametrize(
    ("key", "operator", "value", "rows"),
    [
        ("price", O.EQ, 20, "乙丁"),
        ("price", O.NE, 20, "甲丙"),
        ("price", O.GT, 20, "丙"),
        ("price", O.GTE, 20, "乙丙丁"),
        ("price", O.LT, 20, "甲"),
        ("price", O.LTE, 20, "甲乙丁"),
        ("price", O.IN, [10, 30], "甲丙"),
        ("price", O.NIN, [10, 30], "乙丁"),
        ("colours", O.ANY, ["blue", "green"], "甲"),
        ("colours", O.ALL, ["red", "blue"], "甲"),
        ("colours", O.CONTAINS, "red", "甲乙"),
        ("city", O.TEXT_MATCH, "ang", "乙丙"),
        ("city", O.TEXT_MATCH, "Hang", "乙"),
        ("city", O.TEXT_MATCH_INSENSITIVE, "HANG", "乙丙"),
        ("colours", O.IS_EMPTY, None, "丙丁"),
        ("city", O.NE, "杭州", "乙丙丁"),
    ],
)
def test_operators(retriever: BailianRetriever, key: str, operator: FilterOperator, value: Any, rows: str) -> None:
    """Each operator finds what it says, and negated the rest."""
    assert found(retriever, MetadataFilters(filters=[one(key, operator, value)])) == rows
    negated = MetadataFilters(filters=[one(key, operator, value)], condition=FilterCondition.NOT)
    assert found(retriever, negated) == re.sub(f"[{rows}]", "", "甲乙丙丁")


def test_conditions(retriever: BailianRetriever) -> None:
    """All, one, or none hold; groups may be in groups; no condition means all, and no filter everything."""
    parts = [one("price", O.EQ, 20), one("city", O.EQ, "Hang")]
    for condition, rows in ((FilterCondition.AND, "乙"), (FilterCondition.OR, "乙丁"), (FilterCondition.NOT, "甲丙")):
        assert found(retriever, MetadataFilters(filters=parts, condition=condition)) == rows
    assert found(retriever, MetadataFilters(filters=parts, condition=None)) == "乙"
    nested = MetadataFilters(
        filters=[
            MetadataFilters(filters=[one("price", O.GT, 10)]),
            MetadataFilters(filters=[one("city", O.EQ, "Hang"), one("price", O.EQ, 30)], condition=FilterCondition.NOT),
        ]
    )
    assert found(retriever, nested) == "丁"
    assert found(retriever, MetadataFilters(filters=[])) == "甲乙丙丁"
    assert found(retriever, MetadataFilters(filters=[MetadataFilters(filters=[])])) == "甲乙丙丁"


def test_fewer_are_left(retriever: BailianRetriever) -> None:
    """`similarity_top_k` holds for what is left after the answers were looked at."""
    filters = MetadataFilters(filters=[one("price", O.EQ, 30), one("colours", O.IS_EMPTY, None)])
    other = retriever.model_copy(update={"filters": filters, "similarity_top_k": 1})
    assert [node.metadata["document_name"] for node in other.retrieve("茶")] == ["丙"]


@pytest.mark.parametrize(
    ("part", "error", "words"),
    [
        (one("price", O.EQ, None), ConfigurationError, "is_empty"),
        (one("price", O.IN, 10), ConfigurationError, "list"),
        (one("price", O.TEXT_MATCH, 10), ConfigurationError, "text"),
    ],
)
def test_refused_at_construction(part: MetadataFilter, error: type[Exception], words: str) -> None:
    """A value that does not go with its operator is refused when the retriever is made."""
    with pytest.raises(error, match=words):
        BailianRetriever(index_id="kbfake", api_key="test-key", filters=MetadataFilters(filters=[part]))


def test_refused_before_it_is_sent() -> None:
    """Tags are in no answer: what the service cannot be told of them cannot be done."""
    filters = MetadataFilters(filters=[one("tags", O.NE, "旧")])
    retriever = BailianRetriever(index_id="kbfake", api_key="test-key", filters=filters, base_url="http://127.0.0.1:9")
    with pytest.raises(UnsupportedOperationError, match="Tags"):
        retriever.retrieve("茶")


def holds(filter: MetadataFilter | MetadataFilters, row: Mapping[str, Any]) -> bool:
    """What the filters of the property test mean, said once more."""
    if isinstance(filter, MetadataFilters):
        results = [holds(inner, row) for inner in filter.filters]
        return {"and": all(results), "or": any(results), "not": not any(results)}[str(filter.condition.value)]  # type: ignore[union-attr]
    value = row.get(filter.key)
    if filter.operator is O.EQ:
        return bool(value == filter.value)
    if filter.operator is O.NE:
        return bool(value != filter.value)
    if filter.operator is O.IS_EMPTY:
        return value is None
    return value is not None and (value > filter.value if filter.operator is O.GT else value in filter.value)


leaves = st.one_of(
    st.builds(one, st.just("price"), st.sampled_from([O.EQ, O.NE, O.GT]), st.sampled_from([10, 20, 30])),
    st.builds(one, st.just("price"), st.just(O.IN), st.lists(st.sampled_from([10, 20, 30]), min_size=1)),
    st.builds(one, st.just("city"), st.sampled_from([O.EQ, O.NE]), st.sampled_from(["杭州", "Hang"])),
    st.builds(one, st.just("city"), st.just(O.IS_EMPTY), st.none()),
)
trees = st.recursive(
    leaves,
    lambda inner: st.builds(
        MetadataFilters, filters=st.lists(inner, min_size=1, max_size=3), condition=st.sampled_from(FilterCondition)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_trees(retriever: BailianRetriever, tree: MetadataFilter | MetadataFilters) -> None:
    """Whatever is nested in whatever: what is found is what fits."""
    filters = tree if isinstance(tree, MetadataFilters) else MetadataFilters(filters=[tree])
    assert found(retriever, filters) == "".join(name for name, row in ROWS.items() if holds(filters, row))
