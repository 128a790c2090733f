"""The command line. Every command takes `--json`; bad input is one line with a remedy and a non-zero exit."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `sharpen`."""
    from cyclopts import CycloptsError, UnknownOptionError

    from sharpen.cli.app import build
    from sharpen.cli.output import explained, fail
    from sharpen.cli.unknown import unknown
    from sharpen.core.errors import SharpenError

    words = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        build(words)(words, exit_on_error=False, print_error=False)
    except BrokenPipeError:
        sys.stderr.close()
    except SharpenError as error:
        fail(error.problem, error.remedy, words)
    except UnknownOptionError as error:
        fail(*unknown(error), words)
    except CycloptsError as error:
        fail(explained(error), "`sharpen COMMAND --help` shows what is allowed", words)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}", "give a place that can be written, with space left", words)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing done is lost, the same command goes on from here\n")
        sys.exit(_INTERRUPTED)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
