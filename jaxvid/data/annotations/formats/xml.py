"""Reading of XML with the line of each element, for messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from jaxvid.data.annotations import lists
from jaxvid.errors import UserError


@dataclass
class Element:
    """An element of an XML file, with its line and its text."""

    tag: str
    attributes: dict[str, str]
    path: Path
    line: int
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    @property
    def where(self) -> str:
        """Return the file and line, for messages."""
        return f"{self.path}:{self.line}"

    def all(self, tag: str) -> Iterator["Element"]:
        """Yield the elements with this tag at any depth, in order."""
        for child in self.children:
            if child.tag == tag:
                yield child
            yield from child.all(tag)

    def first(self, tag: str) -> "Element | None":
        """Return the first element with this tag at any depth."""
        return next(self.all(tag), None)

    def get(self, key: str) -> str:
        """Return an attribute. Raises UserError if it is missing."""
        if key not in self.attributes:
            raise UserError(f'{self.where}: <{self.tag}> has no "{key}"')
        return self.attributes[key]

    def number(self, key: str) -> float:
        """Return an attribute as a number. Raises UserError if it is none."""
        value = self.get(key)
        if not lists.NUMBER.fullmatch(value):
            raise UserError(f'{self.where}: {key}="{value}"; expected a number')
        return float(value)


def parse(path: Path) -> Element:
    """Parse an XML file.

    Raises:
      UserError: it is not XML, or declares entities, which could expand without limit.
    """
    root = Element("", {}, path, 1)
    above = [root]
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, path, parser.CurrentLineNumber)
        above[-1].children.append(element)
        above.append(element)

    def end(tag: str) -> None:
        above.pop()

    def text(data: str) -> None:
        above[-1].text += data

    def refuse(*_) -> None:
        raise UserError(f"{path}:{parser.CurrentLineNumber}: entities are not supported")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, refuse
    try:
        parser.Parse(lists.read_text(path), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise UserError(f"{path}:{error.lineno}: this is not XML: {reason}") from None
    return root
