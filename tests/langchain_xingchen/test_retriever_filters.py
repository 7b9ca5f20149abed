"""Filters of `BailianRetriever`: whatever is nested in whatever, by every route, what is found is what fits."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from langchain_xingchen import BailianRetriever
from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian.knowledge import Condition, Filter, Group
from xingchen_core.emulator import Emulator
from xingchen_core.emulator.bailian_knowledge import SearchService

SIGNED = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo"}
KEY = {"api_key": "test-key"}
PLACES: dict[str, dict[str, Any]] = {
    "index": KEY,
    "openapi": SIGNED,
    "pipeline": {**KEY, "route": "pipeline"},
    "service": {**KEY, "agent_id": "aid-fake"},
}

ROWS: dict[str, dict[str, Any]] = {
    "甲": {"price": 10, "city": "杭州", "colours": ["red", "blue"]},
    "乙": {"price": 20, "city": "Hangzhou", "colours": ["red"]},
    "丙": {"price": 30, "colours": ["blue", "green"]},
    "丁": {"city": "上海"},
}
TAGS = {"甲": ["新", "茶"], "乙": ["茶"], "丙": [], "丁": ["新"]}


@pytest.fixture(scope="module", params=PLACES)
def retriever(request: pytest.FixtureRequest) -> Iterator[BailianRetriever]:
    """Finds every row, by each route. Only some of the fields were declared searchable: the service ignores others."""
    with Emulator() as emulator:
        knowledge = emulator.bailian.knowledge
        knowledge.add_index("表", "kbfake")
        knowledge.services["aid-fake"] = SearchService("aid-fake", "表", ["kbfake"], "llm-demo", published=1, top_n=20)
        for name, row in ROWS.items():
            knowledge.add_document("kbfake", f"{name}.md", "茶", meta=row, tags=TAGS[name])
        knowledge.indexes["kbfake"].searchable = {"price", "city"}
        fields = {"base_url": emulator.url, "index_id": "kbfake", "k": 20}
        with BailianRetriever(**{**fields, **PLACES[request.param]}) as made:
            yield made


def found(retriever: BailianRetriever, filter: Filter) -> set[str]:
    """The names of what is found."""
    return {document.metadata["document_name"] for document in retriever.invoke("茶", filters=filter)}


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        (Condition("price", "eq", 20), "乙"),
        (Condition("price", "ne", 20), "甲丙丁"),
        (Condition("price", "gt", 10), "乙丙"),
        (Condition("price", "gte", 20), "乙丙"),
        (Condition("price", "lt", 20), "甲"),
        (Condition("price", "lte", 20), "甲乙"),
        (Condition("price", "in", [10, 30]), "甲丙"),
        (Condition("price", "nin", [10, 30]), "乙丁"),
        (Condition("colours", "any", ["green", "blue"]), "甲丙"),
        (Condition("colours", "all", ["red", "blue"]), "甲"),
        (Condition("colours", "contains", "red"), "甲乙"),
        (Condition("city", "text_match", "Hang"), "乙"),
        (Condition("city", "text_match_insensitive", "hang"), "乙"),
        (Condition("city", "is_empty"), "丙"),
        (Group("not", (Condition("city", "eq", "上海"), Condition("price", "gt", 20))), "甲乙"),
        (Group("or", (Condition("city", "eq", "上海"), Condition("price", "gt", 20))), "丙丁"),
        (Condition("tags", "in", ["新"]), "甲丁"),
        (Condition("tags", "all", ["新", "茶"]), "甲"),
        (Condition("document_name", "eq", "乙"), "乙"),
        (Group("not", (Condition("document_name", "in", ["甲", "乙"]),)), "丙丁"),
        (Condition("index_id", "ne", "kbfake"), ""),
        (Condition("page_numbers", "contains", 0), "甲乙丙丁"),
    ],
)
def test_each_operator(retriever: BailianRetriever, filter: Filter, names: str) -> None:
    """Every operator, tags, and the names that the metadata of documents have; the same by every route."""
    assert found(retriever, filter) == set(names)


def test_tags_that_no_route_can_tell(retriever: BailianRetriever) -> None:
    """Answers do not repeat tags: what the service cannot be told of them is refused, and not guessed."""
    with pytest.raises(UnsupportedOperationError, match="Tags"):
        found(retriever, Group("not", (Condition("tags", "in", ["新"]),)))


def test_refused_at_once() -> None:
    """A filter that means nothing is refused where it is written."""
    makers: list[Callable[[], Any]] = [
        lambda: Condition("", "eq", 1),
        lambda: Condition("a", "like", "x%"),  # type: ignore[arg-type]
        lambda: Condition("a", "in", "x"),
        lambda: Condition("a", "text_match", 1),
        lambda: Group("and", ()),
    ]
    for make in makers:
        with pytest.raises(ConfigurationError):
            make()


# What filters mean, said once more, from nothing of ours.


def fits(filter: Filter, row: Mapping[str, Any]) -> bool:
    """Whether a row fits."""
    if isinstance(filter, Group):
        held = sum(fits(each, row) for each in filter.filters)
        return {"and": held == len(filter.filters), "or": held > 0, "not": held == 0}[filter.condition]
    there = row.get(filter.key)
    several = there if isinstance(there, list) else [] if there is None else [there]
    wanted = filter.value
    match filter.operator:
        case "eq" | "contains":
            return wanted in several
        case "ne":
            return wanted not in several
        case "in" | "any":
            return any(each in wanted for each in several)
        case "nin":
            return not any(each in wanted for each in several)
        case "all":
            return there is not None and set(wanted) <= set(several)
        case "is_empty":
            return not several
        case "gt":
            return any(each > wanted for each in several)
        case "lte":
            return any(each <= wanted for each in several)
        case "text_match":
            return any(wanted in each for each in several)
    raise AssertionError(filter.operator)


prices, cities, colours = st.sampled_from([10, 20, 30, 40]), st.sampled_from(["杭州", "上海", "x"]), st.sampled_from(
    ["red", "blue", "green", "x"]
)  # fmt: skip
leaves = st.one_of(
    st.builds(Condition, st.just("price"), st.sampled_from(["eq", "ne", "gt", "lte"]), prices),
    st.builds(Condition, st.just("price"), st.sampled_from(["in", "nin"]), st.lists(prices, min_size=1, max_size=3)),
    st.builds(Condition, st.just("city"), st.sampled_from(["eq", "ne", "text_match"]), cities),
    st.builds(
        Condition, st.just("colours"), st.sampled_from(["any", "all"]), st.lists(colours, min_size=1, max_size=3)
    ),
    st.builds(Condition, st.just("colours"), st.just("contains"), colours),
    st.builds(Condition, st.sampled_from(["price", "city", "colours", "none"]), st.just("is_empty")),
)
trees: st.SearchStrategy[Filter] = st.recursive(
    leaves,
    lambda inner: st.builds(
        Group, st.sampled_from(["and", "or", "not"]), st.lists(inner, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_what_is_found_is_what_fits(retriever: BailianRetriever, tree: Filter) -> None:
    """The service, told what it can be, and the look at its answers."""
    assert found(retriever, tree) == {name for name, row in ROWS.items() if fits(tree, row)}


@pytest.mark.parametrize("filter", [Condition("city", "is_empty"), Condition("document_name", "eq", "丙")])
def test_looked_for_among_all(retriever: BailianRetriever, filter: Filter) -> None:
    """What the service cannot be told is looked at in as many chunks as there can be, so that `k` is not missed."""
    documents: list[Document] = retriever.invoke("茶", k=1, filters=filter)
    assert [document.metadata["document_name"] for document in documents] == ["丙"]
