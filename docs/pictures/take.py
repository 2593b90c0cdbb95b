"""Take the picture of a report that the README shows.

    python docs/pictures/take.py runs/demo/report.html

Writes docs/pictures/report.png: the top of the page as headless Chromium draws it, at twice the pixels.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "report.png"

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=2",
)


def main() -> int:
    """Take the picture; return 0, or 2 when the page or the browser is missing."""
    arguments = parse_arguments()
    if not arguments.page.is_file():
        sys.stderr.write(f"{arguments.page} is not a file; give a run's report.html\n")
        return 2
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.stderr.write("chromium is not installed: apt-get install chromium\n")
        return 2
    take(browser, arguments.page, arguments.out, arguments.width, arguments.height, arguments.dark)
    sys.stdout.write(f"{arguments.out}\n")
    return 0


def parse_arguments() -> argparse.Namespace:
    """Return the page, the picture's place and its size in CSS pixels."""
    parser = argparse.ArgumentParser(description="Take a picture of a run's report.")
    parser.add_argument("page", type=Path, help="a run's report.html")
    parser.add_argument(
        "--out", type=Path, default=PICTURE, help="where the picture goes (default: %(default)s)"
    )
    parser.add_argument("--width", type=int, default=1240, help="CSS pixels (default: %(default)s)")
    parser.add_argument("--height", type=int, default=1560, help="CSS pixels (default: %(default)s)")
    parser.add_argument("--dark", action="store_true", help="as a reader with a dark theme sees it")
    return parser.parse_args()


def take(browser: str, page: Path, picture: Path, width: int, height: int, dark: bool) -> None:
    """Let `browser` draw the top of `page` into `picture`. Raises CalledProcessError when it fails."""
    with tempfile.TemporaryDirectory() as profile:
        theme = ("--force-dark-mode",) if dark else ()
        command = [
            browser,
            *FLAGS,
            *theme,
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            f"--screenshot={picture.resolve()}",
            page.resolve().as_uri(),
        ]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)


if __name__ == "__main__":
    sys.exit(main())
