"""A teacher by its name."""

from __future__ import annotations

from rba.lm.preamble import System
from rba.services.service import is_service, parse_service
from rba.teachers.teacher import Teacher


def load_teacher(name: str, batch_size: int = 96, system: System = "") -> Teacher:
    """The teacher `name` (a registry name, a local folder, a hub id or a server), answering under `system`.

    Raises ModelError if it cannot be loaded, RecipeError for a server's name that cannot work.
    """
    if is_service(name):
        from rba.teachers.server import ServerTeacher

        return ServerTeacher(parse_service(name), system)
    from rba.lm.load import load_lm
    from rba.teachers.local import LocalTeacher

    return LocalTeacher(load_lm(name), batch_size, system)
