"""The lab's engines: seconds to ready, replies and tokens per second, peak memory.

    python bench/bench_engines.py [--limit 40] [--effort medium] [slug …]

Every variant is asked the same stratified part of the calibration exam, greedily, first
one question at a time and then eight, each time from a server just started, so that no
reply comes out of the cache of the one before. One line of Markdown per variant.
"""

import argparse
import json
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from igaku.ask.prompt import load_prompt, messages
from igaku.exam.questions import load_exam, stratified
from igaku.lab.engines import missing_engine
from igaku.lab.recipes import VARIANTS
from igaku.lab.serve import Server, serving

SLUGS = [f"lab-{recipe}" for recipe in VARIANTS]
CONCURRENCY = (1, 8)
HEAD = "| variant | ready s | replies/s at 1, 8 | tokens/s at 1, 8 | peak MB |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("slugs", nargs="*", default=SLUGS)
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--effort", default="medium")
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()
    questions = load_exam("calibration", serial_context="joined")
    prompt = load_prompt("baseline")
    chats = [messages(prompt, q) for q in stratified(questions, options.limit)]
    print(f"{len(chats)} questions, effort {options.effort}\n\n{HEAD}")
    print("|---" * HEAD.count(" | ") + "|---|")
    for slug in options.slugs:
        if reason := missing_engine(slug):
            print(f"| {slug} | left out: {reason} |")
        else:
            print(row(slug, chats, options), flush=True)


def row(slug: str, chats: list, options: argparse.Namespace) -> str:
    replies, tokens, ready, peak = [], [], [], []
    for together in CONCURRENCY:
        began = time.perf_counter()
        with serving(slug, options.checkpoint) as server:
            ready.append(time.perf_counter() - began)
            count, seconds = ask_all(server, chats, options.effort, together)
            peak.append(peak_megabytes(server.pid))
        replies.append(f"{len(chats) / seconds:.1f}")
        tokens.append(f"{count / seconds:.0f}")
    cells = [slug, f"{min(ready):.1f}", ", ".join(replies), ", ".join(tokens)]
    return f"| {' | '.join(cells)} | {max(peak):.0f} |"


def ask_all(
    server: Server, chats: list, effort: str, together: int
) -> tuple[int, float]:
    """Tokens of all replies, and the seconds they took."""
    began = time.perf_counter()
    with ThreadPoolExecutor(together) as pool:
        counts = list(pool.map(lambda chat: ask(server, chat, effort), chats))
    return sum(counts), time.perf_counter() - began


def ask(server: Server, chat: list, effort: str) -> int:
    body = {"model": server.model, "messages": chat, "max_tokens": 256}
    body |= {"temperature": 0, "chat_template_kwargs": {"reasoning_effort": effort}}
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=600) as answer:
        return json.load(answer)["usage"]["completion_tokens"]


def peak_megabytes(pid: int) -> float:
    """The most memory a process has held; what it holds now where no peak is kept."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(t for t in status.read_text().splitlines() if "VmHWM" in t)
        return int(line.split()[1]) / 1024
    asked = ["ps", "-o", "rss=", "-p", str(pid)]
    return int(subprocess.run(asked, capture_output=True, check=True).stdout) / 1024


if __name__ == "__main__":
    main()
