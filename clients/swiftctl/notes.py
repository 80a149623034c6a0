"""What is to be said of an answer beside its items: rows of a front end that start nothing.

A menu shows rows for sure, and its prompt not always, or only the beginning of it. So whoever asks gets these as rows,
where the front end has no better place for them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from swiftctl.jsonlines import Message


def of(answer: Message) -> list[str]:
    """The plugins' errors, or that nothing was found; nothing if all is well."""
    errors: list[Message] = answer["errors"]
    if errors or answer["items"]:
        return [f"{error['plugin'] or 'swiftd'}: {error['message']}" for error in errors]
    return ["nothing found"]


def unfinished(answer: Message) -> bool:
    """Whether the same text, asked again in a moment, may well be answered better."""
    return answer["status"] == "partial" or any(error["code"] == "compiling" for error in answer["errors"])
