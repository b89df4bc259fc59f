"""Text tasks played by messages: episodes and scores of the tasks themselves, and a real run of verifiers."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from memgym.envs.text import Phase
from memgym.errors import InvalidOperation
from memgym.integrations.text_play import NOOP, TextPlay
from memgym.integrations.trl import make_text_env
from memgym.memory import MemoryOp, as_action

ID = "memgym/DialogueMemory-v0"
SHORT: dict[str, Any] = {
    "num_sessions": 2,
    "turns_per_session": 4,
    "num_facts": 3,
    "num_events": 1,
    "questions_per_session": 2,
}


def said(message: str) -> dict[str, Any]:
    """The data of a message."""
    match = re.fullmatch(r"<\|data\|>\n(.*)\n<\|/data\|>", message, re.DOTALL)
    assert match, message
    return json.loads(match[1])


def store(data: dict[str, Any]) -> str:
    """A model that adds what is said and answers nothing."""
    return json.dumps({"op": "ADD", "text": data["said"]}) if "said" in data else '{"answer": "Oslo"}'


def play(message: str | None, game: TextPlay, choose: Any = store) -> list[dict[str, Any]]:
    """Plays to the end; returns what was shown."""
    seen = []
    while message is not None:
        seen.append(said(message))
        message = game.reply(choose(seen[-1]))
    return seen


@pytest.mark.parametrize("reader", [None, "extractive"])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_episode_and_its_score_are_those_of_the_task(seed: int, reader: str | None) -> None:
    game = TextPlay(ID, reader=reader, **SHORT)
    shown = play(game.start(seed), game)
    env = make_text_env(ID, reader=reader, **SHORT)
    observation, info = env.reset(seed=seed)
    texts = []
    while observation["phase"] != Phase.END:
        item, text = observation["phase"] == Phase.ITEM, observation["text"]
        if item or reader is None:
            texts.append(text)
        action = as_action([MemoryOp.add(text)]) if item else as_action(answer="" if reader else "Oslo")
        observation, _, _, _, info = env.step(action)
    assert [data.get("said", data.get("asked")) for data in shown] == texts
    assert game.over
    assert game.malformed == 0
    assert game.finish() == info["score"]


def test_what_cannot_be_read_is_a_noop_and_counted() -> None:
    game, silent = (TextPlay(ID, reader="extractive", **SHORT) for _ in range(2))
    wrong = play(game.start(0), game, lambda _: "I will remember that.")
    right = play(silent.start(0), silent, lambda _: NOOP)
    assert wrong == right
    assert game.malformed == len(wrong) > 0 == silent.malformed


def test_what_the_bank_refused_stands_in_the_next_message() -> None:
    game = TextPlay(ID, reader="extractive", memory_budget=200, **SHORT)
    game.start(0)
    message = game.reply(json.dumps({"op": "ADD", "text": "x" * 300}))
    assert message is not None
    assert "budget" in said(message)["refused"][0]


@pytest.mark.parametrize(("reader", "kept"), [(None, False), ("extractive", True)])
def test_an_episode_left_early_counts_what_was_not_reached(reader: str | None, kept: bool) -> None:
    """Without a reader nothing more is earned; a reader goes on from the bank as it is."""
    game, whole = (TextPlay(ID, reader=reader, **SHORT) for _ in range(2))
    game.start(1)
    play(whole.start(1), whole, lambda data: NOOP if "said" in data else '{"answer": "no"}')
    assert game.finish() == (whole.finish() if kept else 0.0)


def test_a_reply_to_nothing_says_what_to_do() -> None:
    game = TextPlay(ID, **SHORT)
    with pytest.raises(InvalidOperation, match="call start"):
        game.reply(NOOP)
    with pytest.raises(InvalidOperation, match="call start"):
        game.finish()


# ---------------------------------------------------------------------- verifiers itself


class Model(BaseHTTPRequestHandler):
    """Stands in for a served model: stores every line."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        """A chat completion, streamed where asked for."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = store(said(body["messages"][-1]["content"]))
        base = {"id": "c", "created": 0, "model": body["model"]}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        delta = {"role": "assistant", "content": text}
        if body.get("stream"):
            choice = {"index": 0, "delta": delta, "finish_reason": "stop"}
            chunk = base | {"object": "chat.completion.chunk", "choices": [choice], "usage": usage}
            data = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
        else:
            choice = {"index": 0, "message": delta, "finish_reason": "stop"}
            data = json.dumps(base | {"object": "chat.completion", "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if body.get("stream") else "application/json")
        self.send_header("content-length", str(len(data.encode())))
        self.end_headers()
        self.wfile.write(data.encode())


@pytest.fixture
def server() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_address[1]}/v1"
    http.shutdown()
    http.server_close()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("verifiers") is None, reason="needs verifiers: pip install 'memgym[verifiers]'")
def test_verifiers_plays_the_episodes_and_records_their_scores(server: str, tmp_path: Path) -> None:
    program = shutil.which("vf-eval", path=str(Path(sys.executable).parent))
    assert program is not None
    arguments = {"reader": "extractive", **SHORT}
    command = [program, "memgym-verifiers", "-m", "stand-in", "-n", "2", "-c", "1", "--no-push", "--no-rich"]
    command += ["--client.base-url", server, "--env.manager.runtime.type", "subprocess"]
    command += ["--env.manager.harness.id", "null", "--env.taskset.first-seed", "5"]
    command += ["--env.taskset.arguments", json.dumps(arguments)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    (file,) = tmp_path.glob("outputs/*/traces.jsonl")
    episodes = [json.loads(line) for line in file.read_text().splitlines()]
    scores = {}
    for episode in episodes:
        (trace,) = episode["traces"]
        assert episode["ok"]
        assert trace["metrics"] == {"malformed": 0.0}
        scores[trace["task"]["data"]["seed"]] = trace["rewards"]["score"]["score"]
    expected = {}
    for seed in (5, 6):
        game = TextPlay(ID, **arguments)
        play(game.start(seed), game)
        expected[seed] = game.finish()
    assert scores == expected
