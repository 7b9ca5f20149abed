"""Long-term memory: the Memory Library (记忆库), and the older memory bodies.

```python
with MemorySettings().client() as client:
    client.send(memory.add("喜欢喝茶，不喝咖啡", user_id="u1"))
    for node in client.send(memory.search("她喝什么？", user_id="u1")).nodes:
        print(node.score, node.text)
    client.run(memory.delete_node(node.id, user_id="u1"))
```

| file | about |
| --- | --- |
| `memory_adds.py` | adding, at once or in the background |
| `memory_finding.py` | search, and lists |
| `memory_owned.py` | one memory: read, change, delete |
| `memory_profiles.py` | profiles of users, and their schemas |
| `memory_projects.py` | projects, and forgetting a user |
| `memory_legacy.py` | memory bodies, signed |

A user's memories are kept apart by `user_id`, library and project. Without a library the account's default one is
meant, without a project that library's default one: list and search do not see what is in others, and **what is in the
default project expires after 180 days**. What the service certainly refuses raises `ConfigurationError` before anything
is sent. It allows 120 adds and 300 searches a minute, and bills both, by plan (`pro` unless you say `lite`).
"""

from typing import TYPE_CHECKING

from xingchen_core._lazy import lazy_names

if TYPE_CHECKING:
    from xingchen_core.bailian.memory_adds import (
        AddEvent,
        Content,
        EventPart,
        Skill,
        add,
        add_async,
        get_event,
        wait_for_event,
    )
    from xingchen_core.bailian.memory_finding import MemorySearch, all_nodes, list_nodes, search
    from xingchen_core.bailian.memory_legacy import (
        BodyNode,
        MemoryBody,
        all_bodies,
        all_body_nodes,
        create_body,
        create_body_node,
        delete_body,
        delete_body_node,
        get_body,
        get_body_node,
        list_bodies,
        list_body_nodes,
        update_body,
        update_body_node,
    )
    from xingchen_core.bailian.memory_nodes import MemoryChange, MemoryNode
    from xingchen_core.bailian.memory_owned import SkillText, delete_node, export_skill, get_node, update_node
    from xingchen_core.bailian.memory_profiles import (
        ProfileAttribute,
        ProfileItem,
        ProfileSchema,
        SchemaAttribute,
        UserProfile,
        all_profile_schemas,
        create_profile_schema,
        delete_profile_schema,
        edit_profile,
        get_profile,
        get_profile_schema,
        list_profile_schemas,
        update_profile_schema,
    )
    from xingchen_core.bailian.memory_projects import (
        MemoryProject,
        all_projects,
        create_project,
        forget_profile,
        forget_user,
        get_project,
        list_projects,
        update_project,
    )
    from xingchen_core.bailian.memory_settings import MemorySettings

__getattr__ = lazy_names(
    __name__,
    {
        "memory_adds": (
            "AddEvent",
            "Content",
            "EventPart",
            "Skill",
            "add",
            "add_async",
            "get_event",
            "wait_for_event",
        ),
        "memory_finding": (
            "MemorySearch",
            "all_nodes",
            "list_nodes",
            "search",
        ),
        "memory_legacy": (
            "BodyNode",
            "MemoryBody",
            "all_bodies",
            "all_body_nodes",
            "create_body",
            "create_body_node",
            "delete_body",
            "delete_body_node",
            "get_body",
            "get_body_node",
            "list_bodies",
            "list_body_nodes",
            "update_body",
            "update_body_node",
        ),
        "memory_nodes": (
            "MemoryChange",
            "MemoryNode",
        ),
        "memory_owned": (
            "SkillText",
            "delete_node",
            "export_skill",
            "get_node",
            "update_node",
        ),
        "memory_profiles": (
            "ProfileAttribute",
            "ProfileItem",
            "ProfileSchema",
            "SchemaAttribute",
            "UserProfile",
            "all_profile_schemas",
            "create_profile_schema",
            "delete_profile_schema",
            "edit_profile",
            "get_profile",
            "get_profile_schema",
            "list_profile_schemas",
            "update_profile_schema",
        ),
        "memory_projects": (
            "MemoryProject",
            "all_projects",
            "create_project",
            "forget_profile",
            "forget_user",
            "get_project",
            "list_projects",
            "update_project",
        ),
        "memory_settings": ("MemorySettings",),
    },
)

__all__ = [
    "AddEvent",
    "BodyNode",
    "Content",
    "EventPart",
    "MemoryBody",
    "MemoryChange",
    "MemoryNode",
    "MemoryProject",
    "MemorySearch",
    "MemorySettings",
    "ProfileAttribute",
    "ProfileItem",
    "ProfileSchema",
    "SchemaAttribute",
    "Skill",
    "SkillText",
    "UserProfile",
    "add",
    "add_async",
    "all_bodies",
    "all_body_nodes",
    "all_nodes",
    "all_profile_schemas",
    "all_projects",
    "create_body",
    "create_body_node",
    "create_profile_schema",
    "create_project",
    "delete_body",
    "delete_body_node",
    "delete_node",
    "delete_profile_schema",
    "edit_profile",
    "export_skill",
    "forget_profile",
    "forget_user",
    "get_body",
    "get_body_node",
    "get_event",
    "get_node",
    "get_profile",
    "get_profile_schema",
    "get_project",
    "list_bodies",
    "list_body_nodes",
    "list_nodes",
    "list_profile_schemas",
    "list_projects",
    "search",
    "update_body",
    "update_body_node",
    "update_node",
    "update_profile_schema",
    "update_project",
    "wait_for_event",
]
