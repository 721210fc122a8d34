"""A client of OpenAI-compatible servers: many requests at once, repeated where it helps, each answer kept on disk.

    client = Client(parse_service("openai:http://localhost:8000/v1#model"))
    answers = client.post_all("completions", payloads, read)      # in order; one read answer per payload

An answer counts once `read` takes it. Overload, server errors, time-outs, broken connections and answers that `read`
refuses are tried again after a pause that doubles, with jitter, or as long as the server asks for (a minute at most); a
refused key, an unknown model or a refused request end the call with one line. What arrived until then is in the cache.
A request whose parameter the server refuses is asked without it where that is the same (`rba.services.dialect`).
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2

from rba.data.seeds import rng
from rba.errors import ModelError, RbaError, RecipeError, RefusalError
from rba.services import cache
from rba.services.answer import parse_answer
from rba.services.dialect import refused, spelled, to_spare
from rba.services.form import Form
from rba.services.service import Service
from rba.services.usage import Usage

T = TypeVar("T")
Payload = dict[str, Any] | Form

PAUSE = 0.5  # seconds before the second attempt
LONGEST_PAUSE = 60.0  # seconds
_AGAIN = frozenset({408, 409, 425, 429})
_REFUSALS = (400, 422)  # of what a request says


class _Passing(Exception):
    """A failure that may be gone at the next attempt, which `pause` seconds are to be waited for."""

    def __init__(self, reason: str, pause: float = 0.0):
        super().__init__(reason)
        self.pause = pause


class Client:
    """Asks one served model; `usage` counts the answers. Raises ModelError for a key that is not set.

    `decode` makes of an answer's bytes what is read: JSON, unless the server answers with something else.
    """

    def __init__(self, service: Service, pause: float = PAUSE, decode: Callable[[bytes], Any] = parse_answer):
        self.service, self.pause, self.decode, self.usage = service, pause, decode, Usage()
        self._without: set[str] = set()  # parameters that the server refuses
        key = os.environ.get(service.key_env, "").strip() if service.key_env else ""
        if service.key_env and not key:
            raise ModelError("the API key is not set", service.base_url, f"put it into ${service.key_env}")
        if not (key.isascii() and key.isprintable()):
            fix = f"put it into ${service.key_env} again, as the provider shows it"
            raise ModelError("the API key holds signs that no key has", service.base_url, fix)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def post_all(self, path: str, payloads: Sequence[Payload], read: Callable[[Any], T], keep: bool = True) -> list[T]:
        """`read` of the decoded answer to each payload at `path`, in order; equal payloads are asked once.

        A `Form` is sent as a form with its file, any other payload as JSON. Without `keep` the server is asked in any
        case, as for what changes its state.
        `read` raises ValueError, KeyError, IndexError or TypeError for an answer of another form. Raises ModelError
        where the server refuses, or fails until the retries are used up, RecipeError for an address that cannot be, and
        WorkspaceError where an answer cannot be kept.
        """
        return asyncio.run(self._post_all(path, payloads, read, keep))

    def forget(self, path: str, payloads: Sequence[Payload]) -> None:
        """Do not keep the answers to these payloads: they are asked for again."""
        for load in payloads:
            cache.remove(self._key(path, load))

    def _key(self, path: str, load: Payload) -> str:
        return cache.key_of(self.service, path, load.facts if isinstance(load, Form) else load)

    async def _post_all(self, path: str, payloads: Sequence[Payload], read: Callable[[Any], T], keep: bool) -> list[T]:
        keys = [self._key(path, load) for load in payloads]
        gate = asyncio.Semaphore(self.service.concurrency)
        limits = httpx2.Limits(max_connections=self.service.concurrency)
        try:
            client = httpx2.AsyncClient(headers=self._headers, timeout=None, limits=limits)  # see _post
        except (ImportError, OSError, ValueError) as error:  # of a proxy or certificates that the environment names
            fix = "mend or unset ALL_PROXY, HTTP_PROXY, HTTPS_PROXY and SSL_CERT_FILE"
            raise ModelError(f"servers cannot be asked: {error}", self.service.base_url, fix) from error
        async with client as http:

            async def one(key: str, payload: Payload) -> T:
                async with gate:
                    return await self._answer(http, path, key, payload, read, keep)

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = {key: group.create_task(one(key, load)) for key, load in dict(zip(keys, payloads)).items()}
            except* (RbaError, OSError) as errors:
                raise _told(errors) from None
        return [tasks[key].result() for key in keys]

    async def _answer(
        self, http: httpx2.AsyncClient, path: str, key: str, payload: Payload, read: Callable[[Any], T], keep: bool
    ) -> T:
        kept = cache.read(key) if keep else None
        if kept is not None:
            try:
                return self._taken(kept, read, cached=True)
            except _Passing:
                pass  # damaged on disk: ask again
        for attempt in range(self.service.retries + 1):
            try:
                body = await self._post(http, path, payload)
                answer = self._taken(body, read)
            except _Passing as failure:
                if attempt == self.service.retries:
                    fix = "check that the server runs, then run the same command again: what it answered is kept"
                    what = f"the server failed {attempt + 1} times: {failure}"
                    raise ModelError(what, f"{self.service.base_url}/{path}", fix) from failure
                doubled = self.pause * 2**attempt * rng("pause", key, attempt).uniform(0.5, 1.5)
                await asyncio.sleep(min(max(doubled, failure.pause), LONGEST_PAUSE))
            else:
                if keep:
                    cache.write(key, body)
                return answer
        raise AssertionError("the last attempt returns or raises")

    async def _post(self, http: httpx2.AsyncClient, path: str, payload: Payload) -> bytes:
        asked = {} if isinstance(payload, Form) else spelled(payload, self._without)
        sent: dict[str, Any] = {"json": asked}
        if isinstance(payload, Form):
            sent = {"data": payload.fields, "files": payload.files}
        limit = self.service.timeout  # on the whole answer: a client's own would be on each of its pieces
        try:
            async with asyncio.timeout(limit):
                response = await http.post(f"{self.service.base_url}/{path}", **sent)
        except TimeoutError as error:
            raise _Passing(f"no whole answer within {limit:g} s") from error
        except httpx2.InvalidURL as error:
            fix = "write openai:http://host:8000/v1#model"
            raise RecipeError(f"this is no address: {error}", self.service.base_url, fix) from error
        except httpx2.RequestError as error:
            raise _Passing(f"{type(error).__name__} {error}".strip()) from error
        if response.status_code >= 500 or response.status_code in _AGAIN:
            reason = f"status {response.status_code} {_said(response)}".strip()
            raise _Passing(reason, _seconds(response.headers.get("retry-after", "")))
        if response.status_code in _REFUSALS and (name := to_spare(response.text, asked)):
            self._without.add(name)
            return await self._post(http, path, payload)
        if response.status_code != 200:
            raise self._refusal(response, path)
        return response.content

    def _taken(self, body: bytes, read: Callable[[Any], T], cached: bool = False) -> T:
        try:
            tree = self.decode(body)
            answer = read(tree)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _Passing(f"an answer of another form ({error})") from error
        self.usage.add(tree.get("usage") if isinstance(tree, dict) else None, cached)
        return answer

    def _refusal(self, response: httpx2.Response, path: str) -> ModelError:
        status, where, said = response.status_code, f"{self.service.base_url}/{path}", _said(response)
        if status in (401, 403):
            variable = f"${self.service.key_env}" if self.service.key_env else "a variable that key_env= names"
            return ModelError("the server refuses the API key", where, f"put a valid one into {variable}")
        if status == 404:
            fix = "check the address, which ends in /v1, and the model's name after #"
            return ModelError(f'the server has no model "{self.service.model}" or no such endpoint: {said}', where, fix)
        if response.has_redirect_location:
            elsewhere = _line(response.headers["location"])
            what = f"the server sends requests elsewhere, status {status}: to {elsewhere}"
            return ModelError(what, where, "name that address, up to and with /v1, if it is the one you mean")
        what = f"the server refuses the request, status {status}: {said}"
        if (name := refused(said)) in ("temperature", "top_p"):
            fix = f"choose a model that takes it, or ask for a {name} of 1 where the recipe sets it"
            return RefusalError(what, where, fix)
        if "context length" in said or "max_model_len" in said:
            fix = "serve the model with a longer context (vLLM: --max-model-len), or ask for fewer tokens"
            return RefusalError(what, where, fix)
        return RefusalError(what, where, "check model and settings")


def _told(failure: BaseException) -> BaseException:
    """The failure to tell of out of a group: the first that says how to mend it, else the first."""
    found = list(_single(failure))
    return next((one for one in found if isinstance(one, RbaError)), found[0])


def _single(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for one in failure.exceptions:
            yield from _single(one)
    else:
        yield failure


def _said(response: httpx2.Response) -> str:
    """What a server says of its refusal, for one line: the message in its JSON, else all of it."""
    try:
        said = _message(parse_answer(response.content))
    except (ValueError, KeyError, TypeError, AttributeError):
        said = None
    return _line(said if isinstance(said, str) else response.text)


def _message(tree: Any) -> Any:
    """The message in a refusal as OpenAI puts it, or FastAPI: a text, or faults with their places."""
    if "detail" not in tree:
        return tree["error"]["message"]
    if not isinstance(tree["detail"], list):
        return tree["detail"]
    return "; ".join(": ".join([*map(str, fault.get("loc", ())), fault["msg"]]) for fault in tree["detail"])


def _line(text: str) -> str:
    """A text within one line."""
    return " ".join(text.split())[:200]


def _seconds(text: str) -> float:
    """How long a Retry-After header asks to wait, in seconds or until a date; 0 where it says neither."""
    try:
        if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text.strip()):
            return float(text)
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, until.timestamp() - time.time())
