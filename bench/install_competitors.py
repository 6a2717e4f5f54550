"""Install the competitors in virtual environments under `bench/build`: `python -m bench.install_competitors`.

This is the only part of bench that needs the package index, so it runs outside the private namespace. Without it, the
benchmark runs and reports which contestants are absent.
"""

import subprocess
import sys
import venv

from bench.paths import BUILD, PACKAGES


def install() -> None:
    """Create each environment that is missing and install its packages.

    Raises:
        subprocess.CalledProcessError: pip failed and has printed the reason.
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
