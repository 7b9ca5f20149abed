"""Bailian's long-term memory: its state, and knobs for tests."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xingchen_core.emulator.bailian_errors import Refusal
from xingchen_core.emulator.bailian_memory_extraction import changes, values
from xingchen_core.emulator.bailian_memory_store import Event, MemoryBody, Node, ProfileItem, Project, Schema

if TYPE_CHECKING:
    from xingchen_core.emulator.bailian import Bailian


class Memory:
    """State of the memory library and the older memory bodies, and knobs for tests.

    Nobody checks whose a memory is when it is read, changed or deleted by its id: the service does not either.
    Times are of `bailian.clock`; `bailian.advance` moves it.
    """

    def __init__(self, bailian: "Bailian") -> None:
        self.bailian = bailian
        self.polls_until_done = 2
        """So many looks find an asynchronous add unfinished: at its event, or (unseen) by a search or a list. 0: it
        is done at once."""
        self.event_seconds = 0.0
        """An asynchronous add takes at least this long. (About 30 seconds have been seen.)"""
        self.event_outcome = "SUCCEEDED"
        """How asynchronous adds end: also `FAILED` or `UNRECORDED`, and then nothing is stored."""
        self.event_detail = "InternalError: extraction failed"
        """What failed ones tell."""
        self.write_lag_seconds = 0.0
        """How long search does not find what was written; lists do."""
        self.delete_lag_seconds = 0.0
        """How long search and lists still show what was deleted."""
        self.legacy_pause_seconds = 0.0
        """The least time between two signed calls; 1 is documented."""
        self.default_library = "lib-demo"
        self.default_project = "proj-demo"
        self.nodes: dict[str, Node] = {}
        self.projects: dict[str, Project] = {
            self.default_project: Project(self.default_project, self.default_library),
        }
        self.libraries = {self.default_library}
        """A test may add more; their default project is their id with `-default`."""
        self.schemas: dict[str, Schema] = {}
        self.events: dict[str, Event] = {}
        self.bodies: dict[str, MemoryBody] = {}
        self._last_item = 5000

    @property
    def now(self) -> float:
        """The time here."""
        return self.bailian.clock()

    def library(self, library_id: str) -> str:
        """A known library; an empty name is the default one."""
        library_id = library_id or self.default_library
        if library_id not in self.libraries:
            raise Refusal("NotFound", f"The specified memory library {library_id} does not exist.", 404)
        return library_id

    def project(self, project_id: str, library_id: str) -> Project:
        """A project of a library; an empty name is its default one."""
        if not project_id:
            project_id = f"{library_id}-default"
            if library_id == self.default_library:
                project_id = self.default_project
            return self.projects.setdefault(project_id, Project(project_id, library_id))
        project = self.projects.get(project_id)
        if project is None or project.library_id != library_id:
            raise Refusal("NotFound", f"The specified project {project_id} does not exist.", 404)
        return project

    def add(
        self,
        user_id: str,
        content: str,
        *,
        project: Project | None = None,
        meta_data: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        skill: Mapping[str, Any] | None = None,
    ) -> Node:
        """Stores one memory, whatever is known already."""
        project = project or self.project("", self.default_library)
        now = int(self.now)
        node = Node(
            self.bailian.new_id("library-node"),
            user_id,
            project.library_id,
            project.project_id,
            content,
            project.memory_type,
            dict(meta_data or {}),
            now if timestamp is None else timestamp,
            now,
            now,
            skill=dict(skill or {}),
            seen_from=self.now + self.write_lag_seconds,
        )
        self.nodes[node.node_id] = node
        return node

    def learn(
        self,
        user_id: str,
        messages: Sequence[Mapping[str, Any]],
        project: Project,
        meta_data: Mapping[str, Any],
        timestamp: int | None,
    ) -> list[dict[str, Any]]:
        """Takes facts out of a conversation: memories are added, rewritten and deleted."""
        events: list[dict[str, Any]] = []
        for change in changes(messages):
            mine = self.visible(user_id, [project])
            about = [node for node in mine if change.about and change.about.lower() in node.content.lower()]
            if change.kind == "DELETE":
                for node in about:
                    self.delete(node)
                    events.append({"memory_node_id": node.node_id, "content": node.content, "event": "DELETE"})
            elif any(node.content == change.text for node in mine):
                continue
            elif about:
                old = about[0].content
                self.rewrite(about[0], change.text, meta_data, timestamp)
                told = {"memory_node_id": about[0].node_id, "content": change.text, "event": "UPDATE"}
                events.append({**told, "old_content": old})
            else:
                node = self.add(user_id, change.text, project=project, meta_data=meta_data, timestamp=timestamp)
                events.append({"memory_node_id": node.node_id, "content": node.content, "event": "ADD"})
        return events

    def fill_profile(self, user_id: str, messages: Sequence[Mapping[str, Any]], schema: Schema) -> list[dict[str, Any]]:
        """Takes a user's attributes out of a conversation. Attributes that cannot change are left alone."""
        events: list[dict[str, Any]] = []
        for attribute in schema.attributes:
            items = attribute.items.setdefault(user_id, [])
            for value in [] if attribute.immutable else values(attribute.name, messages):
                if all(item.value != value for item in items):
                    items.append(ProfileItem(self.next_item_id(), value))
                    told = {"memory_type": "user_profile", "name": attribute.name}
                    events.append({**told, "content": value, "event": "ADD"})
        return events

    def next_item_id(self) -> int:
        """Numbers of profile values."""
        self._last_item += 1
        return self._last_item

    def rewrite(self, node: Node, content: str, meta_data: Mapping[str, Any], timestamp: int | None) -> None:
        """Another content. Metadata is merged; the time of the fact stays unless another is given."""
        node.content = content
        node.meta_data = {**node.meta_data, **meta_data}
        node.updated_at = int(self.now)
        node.timestamp = node.timestamp if timestamp is None else timestamp

    def delete(self, node: Node) -> None:
        """Softly: it can still be read by its id."""
        if node.status == "valid":
            node.status, node.gone, node.updated_at = "delete", self.now + self.delete_lag_seconds, int(self.now)

    def visible(self, user_id: str, projects: Sequence[Project]) -> list[Node]:
        """What lists show of one user, newest first."""
        now, mine = self.now, {project.project_id: project for project in projects}
        return [
            node
            for node in reversed(self.nodes.values())
            if node.user_id == user_id
            and node.project_id in mine
            and now < node.gone
            and not mine[node.project_id].expired(node, now)
        ]

    def start(self, event: Event, work: Callable[[], list[list[dict[str, Any]]]]) -> None:
        """Begins an asynchronous add; `work` is done when it ends well."""
        event.request = work
        self.events[event.event_id] = event
        if not self.polls_until_done:
            self._step(event)

    def look(self, only: Event | None = None) -> None:
        """Somebody looks: pending work goes on, all of it or one event's."""
        for event in [only] if only else list(self.events.values()):
            if event.pending:
                event.polls += 1
                self._step(event)

    def _step(self, event: Event) -> None:
        due = event.polls > self.polls_until_done or not self.polls_until_done
        if not due or self.now < event.created_at + self.event_seconds:
            event.status = "PENDING" if event.polls <= 1 else "RUNNING"
            return
        event.status, event.updated_at = self.event_outcome, int(self.now)
        if event.status == "SUCCEEDED":
            event.results = event.request()
        elif event.status == "FAILED":
            event.detail = self.event_detail

    def node(self, node_id: str, library_id: str) -> Node:
        """A memory, whosever it is, deleted or not."""
        node = self.nodes.get(node_id)
        if node is None or (library_id and node.library_id != library_id):
            raise Refusal("NotFound", f"The specified memory node {node_id} does not exist.", 404)
        return node

    def forget_user(self, user_id: str, library_id: str) -> None:
        """Everything about one user; there must be something."""
        nodes = [each for each in self.nodes.values() if (each.user_id, each.library_id) == (user_id, library_id)]
        known = [each for each in nodes if each.gone == math.inf]
        attributes = [a for s in self.schemas.values() if s.library_id == library_id for a in s.attributes]
        if not known and not any(attribute.items.get(user_id) for attribute in attributes):
            raise Refusal("EntityNotFound", "The specified entity does not exist.", 404)
        for node in known:
            self.delete(node)
        for attribute in attributes:
            attribute.items.pop(user_id, None)
