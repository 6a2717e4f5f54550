"""Install the competitors in virtual environments of their own: `python -m bench.install_competitors`.

Needs the package index, so it is the one part of bench that runs outside the private namespace. Without it
the benchmark runs all the same and says which contestants are absent.
"""

import subprocess
import sys
import venv

from bench.paths import BUILD, PACKAGES


def install() -> None:
    """Make each environment that is missing or incomplete.

    Raises:
        subprocess.CalledProcessError: pip failed; the message above is pip's own.
    """
    for home, packages in PACKAGES.items():
        python = BUILD / home / "bin" / "python"
        if not python.exists():
            venv.create(BUILD / home, with_pip=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages],
            check=True,
        )


if __name__ == "__main__":
    try:
        install()
    except subprocess.CalledProcessError as error:
        sys.exit(f"bench.install_competitors: {error}")
