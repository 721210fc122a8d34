"""What a server has answered, as JSON whose texts are whole."""

from __future__ import annotations

import json
from typing import Any

from rba.document import TOO_DEEP, parse_json


def parse_answer(body: bytes) -> Any:
    """The JSON of an answer, with U+FFFD for half a character: servers cut texts between the halves, no file takes one.

    Raises ValueError as `parse_json` does.
    """
    tree = parse_json(body)
    try:
        text = json.dumps(tree, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return tree if whole == text else parse_json(whole)
