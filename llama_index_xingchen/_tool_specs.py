"""What the tool specs of this package do the same way."""

from inspect import getdoc

from llama_index.core.tools import ToolMetadata
from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE, BaseToolSpec
from llama_index.core.tools.utils import create_schema_from_function


class DocumentedToolSpec(BaseToolSpec):
    """Tools that are described by the docstrings of their methods."""

    def get_metadata_from_fn_name(
        self, fn_name: str, spec_functions: list[SPEC_FUNCTION_TYPE] | None = None
    ) -> ToolMetadata:
        """Describe a tool by its docstring; its parameters are described once, in the schema."""
        function = getattr(self, fn_name)
        return ToolMetadata(
            name=fn_name,
            description=getdoc(function) or "",
            fn_schema=create_schema_from_function(fn_name, function),
        )
