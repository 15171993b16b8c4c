"""Audits, for the time being as they were."""

from igaku.study.former_audits import *  # noqa: F403
