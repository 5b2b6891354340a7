"""What all parts of the configuration have in common."""

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A part of the configuration: frozen, and a key that it does not know is refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )


def problem(text: str, *path: str | int) -> PydanticCustomError:
    """An error about the value at ``path`` below the section being validated; ``text`` is what and the remedy."""
    return PydanticCustomError("problem", "{text}", {"path": path, "text": text})
