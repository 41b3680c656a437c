"""Running shell lines in which ``mctool`` is this program."""

import os
import shutil
import subprocess
import sys

import pytest


class Shell:
    """A shell in a working directory, with a home of its own."""

    def __init__(self, place, working_directory):
        self.home, program = place / "home", place / "bin" / "mctool"
        self.home.mkdir()
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mctool "$@"\n')
        program.chmod(0o755)
        self.directory = working_directory
        self.path = f"{program.parent}:{os.environ['PATH']}"

    def run(self, lines, *options, name="bash", needs=(), **variables):
        """The finished process of ``name -c lines``; the test is skipped where a program is missing."""
        for program in (name, *needs):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        environment = os.environ | {"HOME": str(self.home), "PATH": self.path, "TERM": "dumb"} | variables
        environment.pop("ZDOTDIR", None)
        return subprocess.run(
            [name, *options, "-c", lines],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
            cwd=self.directory,
        )

    def out(self, lines, *options, **more):
        """What the lines print; they must end well."""
        done = self.run(lines, *options, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout
