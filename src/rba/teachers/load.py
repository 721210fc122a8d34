"""A teacher by its name."""

from __future__ import annotations

from rba.teachers.teacher import Teacher


def load_teacher(name: str, batch_size: int = 96, system: str = "") -> Teacher:
    """The teacher `name` (a registry name, a local folder or a hub id), answering under the turn `system`.

    Raises ModelError if it cannot be loaded.
    """
    from rba.lm.load import load_lm
    from rba.teachers.local import LocalTeacher

    return LocalTeacher(load_lm(name), batch_size, system)
