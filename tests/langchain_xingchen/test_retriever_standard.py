"""LangChain's own suite for retrievers."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from langchain_xingchen import BailianIndex, BailianMemoryRetriever, BailianRetriever
from xingchen_core.emulator import Emulator

FACTS = ["红茶产自祁门", "绿茶产自杭州", "白茶产自福鼎", "黑茶产自安化"]


class TestBailianRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _emulator(self) -> Iterator[None]:
        with Emulator() as emulator:
            self.url = emulator.url
            for fact in FACTS:
                emulator.bailian.knowledge.add_document("kbdemo0001", f"{fact[:2]}.md", fact)
            yield

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return BailianRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"index_id": "kbdemo0001", "api_key": "test-key", "base_url": self.url}

    @property
    def retriever_query_example(self) -> str:
        return "茶产自哪里?"


class TestByAccessKey(TestBailianRetriever):
    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        signed = {"access_key_id": "testid", "access_key_secret": "testsecret", "workspace_id": "llm-demo"}
        return {"index_id": "kbdemo0001", "base_url": self.url, **signed}


class TestByOlderApi(TestBailianRetriever):
    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {**super().retriever_constructor_params, "route": "pipeline"}


class TestService(TestBailianRetriever):
    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"agent_id": "aid-demo", "api_key": "test-key", "base_url": self.url}


class TestOfAnIndex(TestBailianRetriever):
    @property
    def retriever_constructor(self) -> Any:
        return lambda **fields: BailianIndex(
            fields.pop("index_id"), api_key=fields.pop("api_key"), base_url=fields.pop("base_url")
        ).as_retriever(**fields)


class TestBailianMemoryRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _emulator(self) -> Iterator[None]:
        with Emulator() as emulator:
            self.url = emulator.url
            for fact in FACTS:
                emulator.bailian.memory.add("u1", fact)
            yield

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return BailianMemoryRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"user_id": "u1", "api_key": "test-key", "base_url": self.url}

    @property
    def retriever_query_example(self) -> str:
        return "茶产自哪里?"
