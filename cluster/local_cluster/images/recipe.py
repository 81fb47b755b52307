"""An image as a value: what goes into it and how its context is made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TAG = "dev"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`key` names everything that goes into the image; `fill` writes its build context."""

    name: str
    containerfile: Path
    key: str
    fill: Callable[[Path], None]

    @property
    def image(self) -> str:
        """The image's name for people and manifests."""
        return f"{self.name}:{TAG}"

    @property
    def keyed_image(self) -> str:
        """The image's name that no image with other contents has."""
        return f"{self.name}:{self.key}"
