"""A server on the loopback address that speaks the protocols of endpoints, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Endpoint:
    """Answers as `behave` says; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.looked = 0
        """How often somebody looked whether it is there."""
        self.behave: list[str] = []
        """Behaviours of the next requests; `ok` when used up."""
        self.says: Callable[[str], str] | None = None
        """Words of a request -> its answer; by default the request's seed."""
        self.acts: Callable[[dict[str, Any]], str] | None = None
        """A chat request -> its answer, or a behaviour such as `call NAME ARGUMENT=TEXT`."""
        self.lock = threading.Lock()
        self.flying = self.most_flying = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"endpoint": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def words(self, body: dict[str, Any]) -> str:
        if self.says is None:
            return f"seed {body.get('seed')}"
        return self.says(body["prompt"] if "prompt" in body else json.dumps(body, ensure_ascii=False))

    def reply(self, body: dict[str, Any], path: str, how: str) -> dict[str, Any]:
        if self.acts is not None:
            how = self.acts(body)
        text = "\ud83d" if how == "surrogate" else how if self.acts else self.words(body)
        if path.endswith("/v1/messages"):
            return anthropic_reply(text, how)
        if path.endswith(":generateContent"):
            return gemini_reply(text, how)
        usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        if "messages" in body:
            choice: dict[str, Any] = {
                "message": {"role": "assistant", "content": text},
                "finish_reason": "content_filter" if how == "filtered" else "stop",
            }
            if how.startswith("call "):
                choice["message"] |= {"content": None, "tool_calls": [openai_call(how)]}
                choice["finish_reason"] = "tool_calls"
            if body.get("logprobs"):
                choice["logprobs"] = {"content": [{"token": t, "logprob": -0.5} for t in "ab"]}
        else:
            choice = {"text": text, "finish_reason": "length"}
        return {"choices": [{"index": 0, **choice}], "usage": usage}


def call_of(how: str) -> tuple[str, dict[str, str]]:
    """Name and arguments of `call NAME ARGUMENT=TEXT`."""
    _, name, argument = how.split(" ", 2)
    key, _, value = argument.partition("=")
    return name, {key: value}


def openai_call(how: str) -> dict[str, Any]:
    name, arguments = call_of(how)
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": "call_1", "type": "function", "function": function}


def anthropic_reply(text: str, how: str) -> dict[str, Any]:
    if how.startswith("call "):
        name, arguments = call_of(how)
        return {
            "type": "message",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 4, "output_tokens": 2},
        }
    return {
        "type": "message",
        "content": [] if how == "filtered" else [{"type": "thinking"}, {"type": "text", "text": text}],
        "stop_reason": "refusal" if how == "filtered" else "end_turn",
        "usage": {"input_tokens": 4, "cache_read_input_tokens": 1, "output_tokens": 2},
    }


def gemini_reply(text: str, how: str) -> dict[str, Any]:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2}
    if how == "filtered":
        return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}
    parts: list[dict[str, Any]] = [{"text": text}]
    if how.startswith("call "):
        name, arguments = call_of(how)
        parts = [{"functionCall": {"name": name, "args": arguments}, "thoughtSignature": "c2VhbA=="}]
    content = {"role": "model", "parts": parts}
    return {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}


class Handler(BaseHTTPRequestHandler):
    """One request to the endpoint it is made for."""

    endpoint: Endpoint

    def do_GET(self) -> None:
        with self.endpoint.lock:
            self.endpoint.looked += 1
        self.answer({"object": "list", "data": [], "name": "models/m"})

    def do_POST(self) -> None:
        endpoint = self.endpoint
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with endpoint.lock:
            endpoint.asked.append({**body, "path": self.path, "key": self.headers["Authorization"]})
            how = endpoint.behave.pop(0) if endpoint.behave else "ok"
            endpoint.flying += 1
            endpoint.most_flying = max(endpoint.flying, endpoint.most_flying)
        try:
            self.act(how, body)
        finally:
            with endpoint.lock:
                endpoint.flying -= 1

    def act(self, how: str, body: dict[str, Any]) -> None:
        if how == "hang":
            time.sleep(0.6)
        elif how == "slow":
            time.sleep(0.05)
        if how.isdigit():
            self.answer({"error": {"message": "no"}}, status=int(how))
        elif how == "malformed":
            self.answer(b'{"choices": [')
        elif how == "empty":
            self.answer({"choices": [], "content": 3})
        elif how in ("short", "drip"):
            self.dribble(how, body)
        elif how == "page":
            self.answer(b"<html>", kind="text/html")
        else:
            self.answer(self.endpoint.reply(body, self.path, how))

    def dribble(self, how: str, body: dict[str, Any]) -> None:
        """Announce a whole reply, and send half of it and hang up, or a byte at a time."""
        data = json.dumps(self.endpoint.reply(body, self.path, how)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.close_connection = True
        try:
            if how == "short":
                self.wfile.write(data[: len(data) // 2])
                return
            for place in range(len(data)):
                self.wfile.write(data[place : place + 1])
                time.sleep(0.02)
        except (BrokenPipeError, ConnectionResetError):
            return

    def answer(self, body: object, status: int = 200, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass
