"""`MetadataFilters` of `BailianRetriever`: each operator, alone, joined and nested (conformance items 60 and 62)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from llama_index_xingchen import BailianRetriever
from llama_index_xingchen._knowledge_filters import to_filter
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian.knowledge import matches
from xingchen_core.emulator import Emulator
from xingchen_core.emulator.bailian_knowledge import SearchService

SIGNED = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo", "api_key": None}

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


@pytest.mark.parametrize("condition", [None, FilterCondition.NOT])
def test_names_of_nodes_metadata(retriever: BailianRetriever, condition: FilterCondition | None) -> None:
    """What is read off a node can be filtered by, under the name it has there, and under the service's."""
    [node] = [node for node in retriever.retrieve("茶") if node.metadata["document_name"] == "乙"]
    for key, value in (
        ("document_id", node.metadata["document_id"]),
        ("document_name", "乙"),
        ("doc_name", "乙"),
    ):
        filters = MetadataFilters(filters=[one(key, O.EQ, value)], condition=condition)
        assert found(retriever, filters) == ("乙" if condition is None else "甲丙丁")
    for key, value in (("index_id", "kbfake"), ("page_numbers", 0)):
        filters = MetadataFilters(filters=[one(key, O.CONTAINS, value)], condition=condition)
        assert found(retriever, filters) == ("甲乙丙丁" if condition is None else "")


# The property: whatever is nested in whatever, what is found is what fits. What "fits" means is said here once more, by
# LlamaIndex's words for its operators, and from nothing of ours.

WRITTEN_NUMBERS = {"20": 20, "20.0": 20, "-1.5": -1.5, "9007199254740993": 9007199254740993}
"""Texts that are numbers: tables answer with text."""

OTHER_TEXTS = [
    "",
    "Hang",
    "hang",
    "hangar",
    "杭州",
    "州",
    "2_0",
    " 20",
    "20 元",
    "nan",
    "inf",
    "100%",
    "a_b",
    "é",
    "e\u0301",
]

NUMBERS = st.sampled_from([-1.5, 0, 20, 20.0, 9007199254740993, 9007199254740992])
TEXTS = st.sampled_from([*WRITTEN_NUMBERS, *OTHER_TEXTS])
FOUND = st.one_of(
    NUMBERS,
    TEXTS,
    st.booleans(),
    st.none(),
    st.lists(NUMBERS, max_size=3),
    st.lists(TEXTS, max_size=3),
    st.lists(st.one_of(NUMBERS, TEXTS, st.booleans()), max_size=3),
)
KEYS = st.sampled_from(["price", "city", "颜色"])
ROW = st.dictionaries(KEYS, FOUND)

leaves = st.one_of(
    st.builds(one, KEYS, st.sampled_from([O.EQ, O.NE, O.GT, O.GTE, O.LT, O.LTE, O.CONTAINS]), NUMBERS | TEXTS),
    st.builds(
        one,
        KEYS,
        st.sampled_from([O.IN, O.NIN, O.ANY, O.ALL]),
        st.lists(NUMBERS.filter(lambda number: isinstance(number, int)), max_size=3) | st.lists(TEXTS, max_size=3),
    ),
    st.builds(one, KEYS, st.sampled_from([O.TEXT_MATCH, O.TEXT_MATCH_INSENSITIVE]), TEXTS),
    st.builds(one, KEYS, st.just(O.IS_EMPTY), st.none()),
)
trees = st.recursive(
    leaves,
    lambda inner: st.builds(
        MetadataFilters,
        filters=st.lists(inner, min_size=1, max_size=3),
        condition=st.sampled_from([*FilterCondition, None]),
    ),
    max_leaves=6,
)


def fits(filter: MetadataFilter | MetadataFilters, row: Mapping[str, Any]) -> bool:
    """Whether a row fits."""
    if isinstance(filter, MetadataFilters):
        inner = [fits(each, row) for each in filter.filters]
        if filter.condition == FilterCondition.NOT:
            return True not in inner
        return (True in inner) if filter.condition == FilterCondition.OR else (False not in inner)
    there, wanted = row.get(filter.key), filter.value
    if filter.operator == O.IS_EMPTY:
        return there is None or there == "" or there == []
    if filter.operator == O.NE:
        return not fits(one(filter.key, O.EQ, wanted), row)
    if filter.operator == O.NIN:
        return not fits(one(filter.key, O.IN, wanted), row)
    if there is None:
        return False
    several = there if isinstance(there, list) else [there]
    match filter.operator:
        case O.CONTAINS if isinstance(there, str):
            return isinstance(wanted, str) and there.find(wanted) >= 0
        case O.EQ | O.CONTAINS:
            return any(equal(each, wanted) for each in several)
        case O.IN | O.ANY:
            return any(equal(each, value) for each in several for value in wanted)  # type: ignore[union-attr]
        case O.ALL:
            return not [value for value in wanted if not any(equal(each, value) for each in several)]  # type: ignore[union-attr]
        case O.TEXT_MATCH:
            return any(isinstance(each, str) and each.find(wanted) >= 0 for each in several)  # type: ignore[arg-type]
        case O.TEXT_MATCH_INSENSITIVE:
            return any(isinstance(each, str) and each.lower().find(wanted.lower()) >= 0 for each in several)  # type: ignore[union-attr]
    return any(ordered(each, filter.operator, wanted) for each in several)


def equal(there: Any, wanted: Any) -> bool:
    """Texts are equal to texts; numbers to numbers, and to texts that are numbers."""
    if isinstance(wanted, str):
        return isinstance(there, str) and there == wanted
    return not isinstance(there, bool) and bool(WRITTEN_NUMBERS.get(str(there), there) == wanted)


def ordered(there: Any, operator: FilterOperator, wanted: Any) -> bool:
    """Texts are compared with texts; numbers with numbers, and with texts that are numbers."""
    if isinstance(there, bool):
        return False
    if not isinstance(wanted, str):
        there = WRITTEN_NUMBERS.get(there, there) if isinstance(there, str) else there
    if isinstance(there, str) != isinstance(wanted, str):
        return False
    before, same = there < wanted, there == wanted
    return {O.LT: before, O.LTE: before or same, O.GT: not (before or same), O.GTE: not before}[operator]


@settings(max_examples=2000, deadline=None)
@example(one("price", O.EQ, 9007199254740993), {"price": "9007199254740993"})  # more digits than a float has
@given(tree=trees, row=ROW)
def test_what_filters_mean(tree: MetadataFilter | MetadataFilters, row: dict[str, Any]) -> None:
    """Every operator, on values of every kind, present and missing, joined and nested."""
    filters = tree if isinstance(tree, MetadataFilters) else MetadataFilters(filters=[tree])
    meant = to_filter(filters)
    assert meant is not None
    assert matches(meant, row) is fits(filters, row)


TABLE: dict[str, dict[str, Any]] = {
    "甲": {"price": 20, "city": "杭州", "颜色": ["hang", "杭州"]},
    "乙": {"price": "20.0", "city": "Hang", "颜色": []},
    "丙": {"price": -1.5, "city": "hang"},
    "丁": {"price": "20 元", "city": "100%"},
    "戊": {"city": "a_b", "颜色": ["é"]},
    "己": {"price": 9007199254740993},
}


@pytest.fixture(scope="module", params=["index", "openapi", "pipeline", "service"])
def table(request: pytest.FixtureRequest) -> Iterator[BailianRetriever]:
    """Finds every row, by each route. The service heeds filters on price and city, and on nothing else."""
    places = {"service": {"agent_id": "aid-fake"}, "openapi": SIGNED}
    with Emulator() as emulator:
        knowledge = emulator.bailian.knowledge
        knowledge.add_index("表", "kbfake")
        knowledge.services["aid-fake"] = SearchService("aid-fake", "表", ["kbfake"], "llm-demo", published=1, top_n=20)
        for name, row in TABLE.items():
            knowledge.add_document("kbfake", f"{name}.md", "茶", meta=row)
        knowledge.indexes["kbfake"].searchable = {"price", "city"}
        fields = {"api_key": "test-key", "base_url": emulator.url, "index_id": "kbfake", "similarity_top_k": 20}
        with BailianRetriever(route=request.param, **{**fields, **places.get(request.param, {})}) as made:
            yield made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_what_is_found(table: BailianRetriever, tree: MetadataFilter | MetadataFilters) -> None:
    """The service, told what it can be, and the look at its answers find what is meant, by every route."""
    filters = tree if isinstance(tree, MetadataFilters) else MetadataFilters(filters=[tree])
    nodes = table.model_copy(update={"filters": filters}).retrieve("茶")
    assert {node.metadata["document_name"] for node in nodes} == {
        name for name, row in TABLE.items() if fits(filters, row)
    }
