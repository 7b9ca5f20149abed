"""Filters: what they mean, what each route is told, and that both together let through what they mean."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xingchen_core import ConfigurationError, UnsupportedOperationError
from xingchen_core.bailian.knowledge import Condition, Filter, Group, Route, matches, translate
from xingchen_core.bailian.knowledge_search_filters import check_size, for_openapi

ROUTES: list[Route] = ["index", "service", "openapi", "pipeline"]

A, B, C = Condition("a", "eq", 1), Condition("b", "eq", "男"), Condition("c", "gt", 3)


def tags(operator: Any, value: Any) -> Condition:
    """A condition on tags."""
    return Condition("tags", operator, value)


MEANINGS: list[tuple[Condition, Any, bool]] = [
    (Condition("k", "eq", "M"), "M", True),
    (Condition("k", "eq", "M"), "m", False),
    (Condition("k", "eq", "M"), ["F", "M"], True),
    (Condition("k", "eq", "M"), None, False),
    (Condition("k", "eq", 25), "25.0", True),
    (Condition("k", "eq", 25), "1_0", False),
    (Condition("k", "eq", 9007199254740993), "9007199254740993", True),
    (Condition("k", "eq", 9007199254740992), "9007199254740993", False),
    (Condition("k", "eq", True), "true", True),
    (Condition("k", "eq", True), 1, False),
    (Condition("k", "eq", 1), True, False),
    (Condition("k", "ne", "M"), "F", True),
    (Condition("k", "ne", "M"), None, True),
    (Condition("k", "ne", "M"), ["F", "M"], False),
    (Condition("k", "gt", 20), 20, False),
    (Condition("k", "gt", 20), "20.5", True),
    (Condition("k", "gt", 20), "many", False),
    (Condition("k", "gt", 20), None, False),
    (Condition("k", "gte", 20), 20, True),
    (Condition("k", "lt", "2026-02"), "2026-01", True),
    (Condition("k", "lt", "2026-02"), 5, False),
    (Condition("k", "lte", 3), 3, True),
    (Condition("k", "in", ["张", "李"]), "李", True),
    (Condition("k", "in", ["张", "李"]), "王", False),
    (Condition("k", "in", []), "王", False),
    (Condition("k", "in", [1, "x"]), "1", True),
    (Condition("k", "nin", ["张"]), "李", True),
    (Condition("k", "nin", ["张"]), None, True),
    (Condition("k", "nin", ["张"]), "张", False),
    (Condition("k", "any", ["a", "b"]), ["b", "c"], True),
    (Condition("k", "any", ["a", "b"]), ["c"], False),
    (Condition("k", "all", ["a", "b"]), ["b", "c", "a"], True),
    (Condition("k", "all", ["a", "b"]), ["b"], False),
    (Condition("k", "contains", "a"), ["a", "b"], True),
    (Condition("k", "contains", "a"), "cat", True),
    (Condition("k", "contains", "a"), "dog", False),
    (Condition("k", "contains", 1), "1", False),
    (Condition("k", "text_match", "tech"), "a technician", True),
    (Condition("k", "text_match", "Tech"), "a technician", False),
    (Condition("k", "text_match", "1"), 1, False),
    (Condition("k", "text_match_insensitive", "Tech"), "a technician", True),
    (Condition("k", "is_empty"), None, True),
    (Condition("k", "is_empty"), "", True),
    (Condition("k", "is_empty"), [], True),
    (Condition("k", "is_empty"), 0, False),
]


@pytest.mark.parametrize(("condition", "found", "fits"), MEANINGS)
def test_what_each_operator_means(condition: Condition, found: Any, fits: bool) -> None:
    """Missing fields fit `ne`, `nin` and `is_empty` only; text can be a number; one of several values is enough."""
    assert matches(condition, {} if found is None else {"k": found}) is fits


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("and", [False, False, False, True]), ("or", [False, True, True, True]), ("not", [True, False, False, False])],
)
def test_what_groups_mean(condition: Any, expected: list[bool]) -> None:
    """All, one, none of two filters."""
    group = Group(condition, (A, B))
    found = [matches(group, {"a": a, "b": b}) for a, b in [(0, "女"), (0, "男"), (1, "女"), (1, "男")]]
    assert found == expected


def test_a_service_that_ignores_a_field_does_no_harm() -> None:
    """A condition on a field that was not declared searchable is silently ignored, so all is looked at once more."""
    told = translate(Group("and", (A, B)), "index")
    assert told.check == Group("and", (A, B))


TOLD: list[tuple[Filter, list[dict[str, Any]], bool]] = [
    (B, [{"b": "男"}], True),
    (A, [{"a": 1}], True),
    (Condition("k", "ne", 7), [{"k": {"neq": 7}}], True),
    (Condition("k", "gt", 2), [{"k": {"gt": 2}}], True),
    (Condition("k", "gte", 2), [{"k": {"gte": 2}}], True),
    (Condition("k", "lt", 2.5), [{"k": {"lt": 2.5}}], True),
    (Condition("k", "lte", 2), [{"k": {"lte": 2}}], True),
    (Condition("k", "in", ["张", "李"]), [{"k": ["张", "李"]}], True),
    (Condition("k", "text_match", "tech"), [{"k": {"like": "%tech%"}}], True),
    (Condition("k", "text_match", "50%_"), [{"k": {"like": "%50__%"}}], True),
    (Group("and", (A, B)), [{"a": 1}, {"b": "男"}], True),
    (Group("and", (C, Condition("c", "lt", 9))), [{"c": {"gt": 3}}, {"c": {"lt": 9}}], True),
    (Group("or", (A, Condition("a", "in", [2, 3]))), [{"a": [1, 2, 3]}], True),
    (Group("or", (A,)), [{"a": 1}], True),
    (Group("not", (B,)), [{"b": {"neq": "男"}}], True),
    (Group("not", (A, B)), [{"a": {"neq": 1}}, {"b": {"neq": "男"}}], True),
    (Group("not", (Group("not", (B,)),)), [{"b": "男"}], True),
    (Group("not", (Group("or", (A, B)),)), [{"a": {"neq": 1}}, {"b": {"neq": "男"}}], True),
    (tags("eq", "A"), [{"tags": ["A"]}], True),
    (tags("any", ["A", "B"]), [{"tags": ["A", "B"]}], True),
    (tags("all", ["A", "B"]), [{"tags": ["A"]}, {"tags": ["B"]}], True),
    (Group("or", (tags("eq", "A"), tags("in", ["B"]))), [{"tags": ["A", "B"]}], True),
    # What no route can be told is left to the look at the answers:
    (Condition("k", "gt", "b"), [], False),
    (Condition("k", "nin", ["a"]), [], False),
    (Condition("k", "any", ["a"]), [], False),
    (Condition("k", "all", ["a"]), [], False),
    (Condition("k", "contains", "a"), [], False),
    (Condition("k", "text_match_insensitive", "a"), [], False),
    (Condition("k", "ne", "M"), [], False),  # `m` may be the same to the service
    (Condition("k", "ne", "20"), [], False),
    (Condition("k", "gt", 2**53), [], False),
    (Condition("k", "lt", float("inf")), [], False),
    (Condition("k", "is_empty"), [], False),
    (Condition("k", "in", []), [], False),
    (Condition("k", "in", [1, "a"]), [], False),
    (Condition("k", "eq", True), [], False),
    (Condition("k", "eq", ""), [], False),
    (Condition("_id", "eq", "a"), [], False),
    (Condition("meta", "eq", "a"), [], False),
    (Group("not", (C,)), [], False),
    (Group("not", (Group("and", (A, B)),)), [], False),
    (Group("and", (A, Condition("k", "is_empty"))), [{"a": 1}], False),
]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("filter", "search_filters", "is_complete"), TOLD)
def test_what_every_route_is_told(
    filter: Filter, search_filters: list[dict[str, Any]], is_complete: bool, route: Route
) -> None:
    """Groups that all must hold, one for each condition; whatever cannot be said is left out."""
    told = translate(filter, route)
    assert list(told.search_filters) == search_filters
    assert told.is_complete is is_complete


MIXED = Group("or", (A, Group("and", (C, Condition("c", "lt", 9), B))))


def test_or_across_fields_is_told_to_services_only() -> None:
    """A retrieval service knows `_operator`; elsewhere such an `or` is looked at in the answers."""
    told = translate(MIXED, "service")
    conditions = [{"a": 1}, {"c": {"gt": 3, "lt": 9}, "b": "男"}]
    assert told.search_filters == ({"_operator": "OR", "_conditions": conditions},)
    for route in ("index", "openapi", "pipeline"):
        other = translate(MIXED, route)
        assert (other.search_filters, other.check, other.is_complete) == ((), MIXED, False)


@pytest.mark.parametrize(
    "branch",
    [
        Group("and", (B, Condition("b", "eq", "y"))),
        Group("and", (C, Condition("c", "gt", 5))),
        Condition("k", "is_empty"),
        Group("or", (A, B)),
    ],
)
def test_or_whose_branches_are_no_single_group(branch: Filter) -> None:
    """A branch is one group: where two conditions would need the same place in it, nothing is sent."""
    assert translate(Group("or", (A, branch)), "service").search_filters == ()


def test_document_ids_are_told_to_services_only() -> None:
    """Examples of the retrieval service filter by `doc_id`; other routes have it in the answers alone."""
    by_id = Condition("doc_id", "in", ["file_fake_1", "file_fake_2"])
    assert translate(by_id, "service").search_filters == ({"doc_id": ["file_fake_1", "file_fake_2"]},)
    assert translate(by_id, "index").search_filters == ()


def test_services_that_take_tags_only() -> None:
    """Then the rest is left to the look at the answers, and tags are still sent."""
    told = translate(Group("and", (tags("eq", "A"), B)), "service", tags_only=True)
    assert (told.search_filters, told.check, told.is_complete) == (({"tags": ["A"]},), B, False)


@pytest.mark.parametrize(
    "filter",
    [
        tags("ne", "A"),
        tags("nin", ["A"]),
        tags("is_empty", None),
        tags("in", []),
        tags("text_match", "A"),
        Group("not", (tags("any", ["A", "B"]),)),
        Group("or", (tags("eq", "A"), B)),
        Group("or", (Group("and", (tags("eq", "A"), B)), A)),
    ],
)
@pytest.mark.parametrize("route", ROUTES)
def test_tags_that_cannot_be_told_are_refused(filter: Filter, route: Route) -> None:
    """Answers do not repeat a document's tags, so what the service cannot be told of them cannot be done at all."""
    with pytest.raises(UnsupportedOperationError, match="Tags can be filtered by"):
        translate(filter, route)


def test_tags_are_never_looked_for_in_answers() -> None:
    """They are not there: every chunk would be dropped."""
    assert translate(tags("eq", "A"), "index").check is None


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Condition("", "eq", 1), "needs a key"),
        (lambda: Condition("k", "like", "x"), "operator must be one of"),  # type: ignore[arg-type]
        (lambda: Condition("k", "in", "abc"), "list of values"),
        (lambda: Condition("k", "text_match", 1), "with a text"),
        (lambda: Group("and", ()), "at least one"),
    ],
)
def test_filters_that_mean_nothing(make: Any, text: str) -> None:
    """They are refused where they are made."""
    with pytest.raises(ConfigurationError, match=text):
        make()


def test_signed_groups_hold_texts_only() -> None:
    """Lists and operators become JSON text, a number an equality, texts stay; Chinese is not escaped."""
    groups = [{"tags": ["A", "B"]}, {"age": {"gte": 20, "lte": 27}}, {"n": 3}, {"作者": "张三"}]
    assert for_openapi(groups) == (
        '[{"tags":"[\\"A\\", \\"B\\"]"},{"age":"{\\"gte\\": 20, \\"lte\\": 27}"},{"n":"{\\"eq\\": 3}"},{"作者":"张三"}]'
    )


def test_filters_longer_than_a_service_takes() -> None:
    """80,000 bytes are too many, in UTF-8."""
    check_size([{"k": ["张" * 10_000]}])
    with pytest.raises(ConfigurationError, match="80000 bytes"):
        check_size([{"k": ["张" * 27_000]}])


# The property: whatever the service does where its documents leave a choice, what it lets through and the look at the
# answers together are what the filter means.


class Service:
    """A service that filters as documented, in one of the ways that the documents allow."""

    def __init__(self, *, folds_case: bool, finds_missing: bool = True, ignores: Sequence[str] = ()) -> None:
        self.folds_case = folds_case
        self.finds_missing = finds_missing
        self.ignores = ignores

    def lets_through(self, groups: Sequence[Mapping[str, Any]], chunk: Mapping[str, Any]) -> bool:
        """All groups hold."""
        return all(self._group(group, chunk) for group in groups)

    def _group(self, group: Mapping[str, Any], chunk: Mapping[str, Any]) -> bool:
        if group.get("_operator") == "OR":
            return any(self._group(inner, chunk) for inner in group["_conditions"])
        return all(key in self.ignores or self._member(value, chunk.get(key)) for key, value in group.items())

    def _member(self, value: Any, found: Any) -> bool:
        if not isinstance(value, dict):
            values = value if isinstance(value, list) else [value]
            return any(self._same(one, item) for one in values for item in self._items(found))
        return all(self._operator(operator, operand, found) for operator, operand in value.items())

    def _operator(self, operator: str, operand: Any, found: Any) -> bool:
        if operator == "neq":
            return (self.finds_missing or found is not None) and operand not in self._items(found)
        if operator == "like":
            pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in operand)
            flags = re.DOTALL | (re.IGNORECASE if self.folds_case else 0)
            return any(isinstance(item, str) and re.fullmatch(pattern, item, flags) for item in self._items(found))
        compare = {"gt": float.__gt__, "gte": float.__ge__, "lt": float.__lt__, "lte": float.__le__}[operator]
        return any(isinstance(item, int) and compare(float(item), float(operand)) for item in self._items(found))

    def _same(self, one: Any, other: Any) -> bool:
        if isinstance(one, str) and isinstance(other, str) and self.folds_case:
            return one.lower() == other.lower()
        return type(one) is type(other) and bool(one == other)

    def _items(self, found: Any) -> list[Any]:
        return found if isinstance(found, list) else [] if found is None else [found]


NUMBERS = st.integers(-3, 3)
TEXTS = st.text("aAb%_", max_size=3)
VALUES = NUMBERS | TEXTS
TAGS = st.sampled_from(["A", "B", "C"])
TAG_LISTS = st.lists(TAGS, min_size=1, max_size=2)


def conditions() -> st.SearchStrategy[Filter]:
    """Conditions on a field of numbers, one of texts, and one of several values."""
    several = st.lists(VALUES, max_size=3)
    keys = st.sampled_from(["n", "t", "list", "doc_id", "missing"])
    plain: st.SearchStrategy[Filter] = st.one_of(
        st.builds(Condition, keys, st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte", "contains"]), VALUES),
        st.builds(Condition, keys, st.sampled_from(["in", "nin", "any", "all"]), several),
        st.builds(Condition, keys, st.sampled_from(["text_match", "text_match_insensitive"]), TEXTS),
        st.builds(Condition, keys, st.just("is_empty")),
    )
    groups = st.sampled_from(["and", "or", "not"])
    return st.recursive(
        plain, lambda inner: st.builds(Group, groups, st.lists(inner, min_size=1, max_size=3).map(tuple)), max_leaves=6
    )


TAGGED: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Condition, st.just("tags"), st.sampled_from(["eq", "contains"]), TAGS),
    st.builds(Condition, st.just("tags"), st.sampled_from(["in", "any", "all"]), TAG_LISTS),
)
FILTERS = conditions() | st.builds(lambda tag, other: Group("and", (tag, other)), TAGGED, conditions()) | TAGGED
CHUNKS = st.fixed_dictionaries(
    {"tags": st.lists(TAGS, unique=True, max_size=3)},
    optional={"n": NUMBERS, "t": TEXTS, "list": st.lists(VALUES, min_size=1, max_size=3), "doc_id": TEXTS},
)


@settings(max_examples=300, deadline=None)
@given(
    filter=FILTERS,
    chunk=CHUNKS,
    route=st.sampled_from(ROUTES),
    tags_only=st.booleans(),
    folds_case=st.booleans(),
    finds_missing=st.booleans(),
    ignores=st.lists(st.sampled_from(["n", "t", "list", "doc_id"]), unique=True),
)
def test_told_and_looked_at_is_what_was_meant(
    filter: Filter,
    chunk: dict[str, Any],
    route: Route,
    tags_only: bool,
    folds_case: bool,
    finds_missing: bool,
    ignores: list[str],
) -> None:
    """Filters of any shape let through exactly the chunks that fit, on every route, by a service that minds upper case
    or does not, and that ignores fields which are not searchable. Its answers do not repeat the tags. If its `neq`
    does not find chunks without the field, those can be missing; none that does not fit ever comes.
    """
    told = translate(filter, route, tags_only=tags_only)
    service = Service(folds_case=folds_case, finds_missing=finds_missing, ignores=ignores)
    answer = {key: value for key, value in chunk.items() if key != "tags"}
    passes = service.lets_through(told.search_filters, chunk) and (told.check is None or matches(told.check, answer))
    fits = matches(filter, chunk)
    assert passes is fits or (fits and not finds_missing and "neq" in repr(told.search_filters))


@settings(max_examples=100, deadline=None)
@given(filter=FILTERS, chunk=CHUNKS, route=st.sampled_from(ROUTES))
def test_a_complete_translation_asks_for_no_more_than_is_meant(
    filter: Filter, chunk: dict[str, Any], route: Route
) -> None:
    """Told all, a service that does it to the letter sends what is meant, but for texts with wildcards in them."""
    told = translate(filter, route)
    if told.is_complete and "like" not in repr(told.search_filters):
        assert Service(folds_case=False).lets_through(told.search_filters, chunk) is matches(filter, chunk)
