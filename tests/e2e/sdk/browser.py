"""Takes a package through all scenarios in a headless Chromium, and prints what came of it.

It is a program of its own because it runs in the network namespace of a lab's client.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from openai import OpenAI

from tests.e2e.chromium import chromium
from tests.e2e.nodemodules import link
from tests.e2e.site import served

SCENARIOS = Path(__file__).parent
LIMIT = 300.0  # seconds for all scenarios
FLAGS = ["--allow-loopback-in-peer-connection", "--ignore-certificate-errors"]
RUN = """const [name, url, key, done] = arguments;
    take(name, url, key).then(done, (error) => done({ error: error.stack }))"""


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("package", choices=["agents", "openai"])
    parser.add_argument("url", help="the base URL of the API")
    parser.add_argument("wav", type=Path, help="what the microphone hears")
    asked = parser.parse_args()
    # A page gets a client secret of its server, which makes it as here.
    with OpenAI(api_key="none", base_url=asked.url) as api:
        key = api.realtime.client_secrets.create().value
    with (
        tempfile.TemporaryDirectory() as root,
        served(Path(root)) as site,
        chromium(site, asked.wav, microphone="allowed", origin="secure", further=FLAGS) as browser,
    ):
        link(Path(root), SCENARIOS)
        browser.driver.set_script_timeout(LIMIT)
        browser.get(f"{site}/page.html")
        seen = browser.driver.execute_async_script(RUN, asked.package, asked.url, key)
        seen["console"] = browser.console()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
