"""How to reach long-term memory."""

from typing import ClassVar

from xingchen_core._errors import ConfigurationError
from xingchen_core._service import Service
from xingchen_core.bailian._openapi import KnowledgeSettings
from xingchen_core.bailian.memory_wire import MEMORY


class MemorySettings(KnowledgeSettings):
    """How to reach long-term memory: with an API key for the library, with an AccessKey for the older memory bodies.

    The fields are those of `KnowledgeSettings`. `region` is `cn-beijing`; for another give `base_url`. Without one, the
    library is called at the workspace's own host if `workspace_id` is known, else at `https://dashscope.aliyuncs.com`.
    """

    service: ClassVar[Service] = MEMORY

    def _require_credentials(self) -> None:
        try:
            super()._require_credentials()
        except ConfigurationError as error:
            if (self.access_key_id is None) != (self.access_key_secret is None):
                raise  # half of a pair is what is wrong
            raise ConfigurationError(
                "No credentials for Bailian's long-term memory: pass api_key=... or set DASHSCOPE_API_KEY (coding-plan "
                "keys, sk-sp-..., do not work). An AccessKey with workspace_id=... reaches only the older memory "
                "bodies. To try without any, run 'python -m xingchen_core.emulator', pass its URL as base_url and any "
                "text as api_key.",
                service=error.service,
            ) from None
