"""llama.cpp's prompt cache: what computing every prompt anew costs, and what it saves.

    python bench/bench_cache.py [--limit 48] [--effort low] [--rounds 3]

The lab's model is asked the same questions with two worked examples, one at a time,
with `cache_prompt` false and true in turn, on one server. Seconds are the fastest
round's. Replies that change are counted against the same way's first round, and against
those without the cache.
"""

import argparse
import time
from dataclasses import replace

from igaku.ask.plan import plan_of
from igaku.ask.run import questions_of
from igaku.lab.serve import serving
from igaku.params.settings import settings_from
from igaku.reading.reply import understood
from igaku.server.client import complete, connect, request_body, server_facts

MODEL = "lab-gguf-mxfp4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=int, default=48)
    parser.add_argument("--effort", default="low")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    given = {"exam": 2022, "shots": 2, "max_tokens": 192, "limit": options.limit}
    settings = settings_from(model=MODEL, reasoning_effort=options.effort, **given)
    with serving(MODEL) as server:
        settings = replace(settings, base_url=server.base_url)
        chats = [item.chat for item in plan_of(settings, questions_of(settings)).items]
        rounds = {False: [], True: []}
        for _ in range(options.rounds):
            for reused, told in rounds.items():
                told.append(asked(settings, chats, reused))
    print("| cache_prompt | seconds | tokens reused of | changed when asked again |")
    print("|---|---|---|---|")
    for reused, told in rounds.items():
        seconds, tokens, _ = min(told)
        again = changed(told[0][2], told[-1][2])
        print(f"| {reused} | {seconds:.1f} | {tokens[0]} of {tokens[1]} | {again} |")
    other = changed(rounds[False][-1][2], rounds[True][-1][2])
    print(f"\n{other} of {len(chats)} replies are others with the cache than without.")


def asked(settings, chats, reused) -> tuple[float, tuple[int, int], list[str]]:
    """Seconds for all chats, tokens of the prompts reused and in all, and the texts."""
    facts = server_facts(settings.base_url, settings.model)
    began = time.perf_counter()
    with connect(settings.base_url) as client:
        bodies = (request_body(settings, chat, facts=facts) for chat in chats)
        told = [{**body, "cache_prompt": reused} for body in bodies]
        replies = [understood(complete(client, body)) for body in told]
    seconds = time.perf_counter() - began
    tokens = (
        sum(reply.cached_tokens or 0 for reply in replies),
        sum(reply.prompt_tokens or 0 for reply in replies),
    )
    return seconds, tokens, [reply.content for reply in replies]


def changed(one: list[str], other: list[str]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main()
