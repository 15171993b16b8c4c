"""What may stand where a file belongs, and can be no file."""

import os
import socket
from pathlib import Path


def fifo(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def listening(path):
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's own path is short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


NO_FILES = [fifo, Path.mkdir, device, listening]
