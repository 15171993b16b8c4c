"""Tokens, for the time being as they were."""

from igaku.study.former_tokens import *  # noqa: F403
